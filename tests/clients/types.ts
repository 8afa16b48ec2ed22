/** What the compiler knows of a denial. Nothing here runs: that it compiles is the test. */

import {
  type Denial,
  type DenialBase,
  type DenialCategory,
  DENIAL_CODES,
  type KnownDenialCode,
  parseDenial,
  type TokenExpiredDenial,
  type UnknownDenial,
} from "../../docs/errors/denial.js";

type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function holds<_ extends true>(): void {}

export function aCodeNamesItsMembers(denial: Denial): string | undefined {
  // @ts-expect-error Not every denial tells when something expired.
  denial.expired_at;
  switch (denial.code) {
    case "token_expired":
      holds<Same<typeof denial, TokenExpiredDenial>>();
      return denial.expired_at;
    case "insufficient_scope":
      // @ts-expect-error A misspelt member is found.
      denial.required_scops;
      return denial.required_scopes?.join(" ");
    case "rate_limited":
      return denial.limits?.[0]?.reset?.toFixed();
    default:
      return denial.remedy;
  }
}

export function whatIsNotListedIsUnknown(denial: Denial): unknown {
  if (DENIAL_CODES.some((code) => code === denial.code)) return undefined;
  const code: string = denial.code;
  const category: DenialCategory = denial.category;
  return [code, category];
}

/** Every code is a case of its own, and what remains is a denial with another one. */
export function nothingIsLeftOut(denial: Denial): UnknownDenial | undefined {
  type Listed = Exclude<Denial, UnknownDenial>;
  holds<Same<Listed["code"], KnownDenialCode>>();
  holds<Same<Extract<Denial, { code: "token_expired" }>, TokenExpiredDenial>>();
  // @ts-expect-error It may as well be a listed one.
  return denial;
}

interface OrderShippedDenial extends DenialBase {
  readonly code: "order_shipped";
  readonly shipped_on: string;
}

export async function codesOfTheApplicationCanBeTold(response: Response): Promise<string> {
  const denial = await parseDenial<OrderShippedDenial>(response);
  if (denial?.code === "order_shipped") return denial.shipped_on;
  if (denial?.code === "token_expired") return denial.expired_at;
  return denial?.title ?? "fine";
}
