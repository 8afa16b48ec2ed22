/** Exists for the compiler alone. See {@link UnknownDenialCode}. */
declare enum UnlistedCode {
  mark = "",
}

/**
 * A code that this module does not know: of the application itself, or of a newer server.
 *
 * It is any string. To the compiler it is a type of its own, so that comparing `code` with a
 * known code leaves the denial of that code and no other. Tell the compiler of codes of your own
 * with the parameter of {@link Denial}, or compare them as strings.
 */
export type UnknownDenialCode = UnlistedCode;

/**
 * A denial with a code that this module does not know.
 *
 * Its `category` says what kind of reason it is, and all else that every denial has is there
 * too. Members of its own are `unknown`: look before you use them.
 */
export interface UnknownDenial extends DenialBase {
  readonly code: UnknownDenialCode;
  readonly [member: string]: unknown;
}

/**
 * Why a request was refused: the body of the response.
 *
 * Codes are added in time, so the union is open. Compare `code` to get at the members of one
 * code, and treat the others alike, or by `category`:
 *
 * ```ts
 * switch (denial.code) {
 *   case "token_expired":
 *     return signInAgain(denial.expired_at);
 *   case "insufficient_scope":
 *     return askFor(denial.missing_scopes ?? []);
 *   default:
 *     return show(denial.title, denial.remedy);
 * }
 * ```
 *
 * @typeParam Own - Denials with codes of the application itself that are not listed here:
 *
 * ```ts
 * interface OrderShippedDenial extends DenialBase {
 *   readonly code: "order_shipped";
 *   readonly shipped_on: string;
 * }
 * const denial = await parseDenial<OrderShippedDenial>(response);
 * if (denial?.code === "order_shipped") show(denial.shipped_on);
 * ```
 */
export type Denial<Own extends DenialBase = never> = KnownDenial | Own | UnknownDenial;

/**
 * Whether a response looks like a denial: its status is an error, and its media type is
 * `application/problem+json` (RFC 9457).
 *
 * The status alone does not tell. An API may answer with 403 whatever the reason is, and the
 * application itself and proxies in front of it send 403 and 429 too, with other bodies.
 *
 * Nothing is read here, so it is cheap. {@link parseDenial} looks into the body, and tells a
 * denial from a problem of another kind.
 */
export function isDenial(response: Response): boolean {
  const [mediaType] = (response.headers.get("content-type") ?? "").split(";", 1);
  return response.status >= 400 && mediaType?.trim().toLowerCase() === "application/problem+json";
}

/**
 * Reads the denial from a response, or gives `undefined` where there is none: the response is a
 * success, another kind of error, or has no body (the answer to `HEAD` has the headers only).
 *
 * A copy of the response is read, so that its own body can still be read afterwards. A body is
 * taken for a denial if it has the members that every denial has, with the right types; that a
 * known code has its own members is the server's promise. Members that this module does not know
 * are kept.
 *
 * ```ts
 * const response = await fetch(url);
 * const denial = await parseDenial(response);
 * if (denial) console.error(`${denial.title}. ${denial.remedy}`);
 * ```
 *
 * @throws TypeError if the body was read before; and what `fetch` throws if the connection
 * breaks, or the request is aborted, while the body comes in. No body makes it throw.
 */
export async function parseDenial<Own extends DenialBase = never>(
  response: Response,
): Promise<Denial<Own> | undefined> {
  if (!isDenial(response)) return undefined;
  const body = parseJson(await response.clone().text());
  return hasMembersOfDenial(body) ? (body as Denial<Own>) : undefined;
}

/**
 * How long to wait before the same request is sent again, in milliseconds; `undefined` if it
 * should not be: something has to change first, and the denial's `remedy` says what.
 *
 * 1. It is not `retryable`: `undefined`.
 * 2. It names a time, and the fault is not the server's: exactly `retry_after`. A request that
 *    is sent sooner is refused again.
 * 3. Otherwise: `retry_after`, or a second, at first; then twice as long with each attempt, up to
 *    a minute, but never less than `retry_after`.
 *
 * Count from the moment the response came. The time may be days, for a key that is valid from
 * next week, so decide how long you are willing to wait. (`setTimeout` takes 24 days at most,
 * and fires at once when it is given more.)
 *
 * ```ts
 * const delay = retryDelay(denial);
 * if (delay !== undefined && delay <= 60_000) {
 *   await new Promise((resolve) => setTimeout(resolve, delay));
 *   response = await fetch(request);
 * }
 * ```
 *
 * @param attempt - How many times in a row the request was refused, this time included.
 */
export function retryDelay(denial: DenialBase, attempt = 1): number | undefined {
  if (!denial.retryable) return undefined;
  // A time that is no whole number of seconds from 1 on is none: it would make a hot loop.
  const told = denial.retry_after ?? 0;
  const isTold = Number.isSafeInteger(told) && told >= 1;
  const first = (isTold ? told : 1) * 1000;
  if (isTold && denial.category !== "server") return first;
  const doubled = first * 2 ** (attempt > 1 ? attempt - 1 : 0);
  return Math.max(first, Math.min(doubled, 60_000));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function hasMembersOfDenial(body: unknown): body is DenialBase {
  if (typeof body !== "object" || body === null) return false;
  const members = body as Readonly<Record<string, unknown>>;
  const has = (type: "string" | "number" | "boolean", names: readonly string[]) =>
    names.every((name) => typeof members[name] === type);
  const mayHave = (type: "string" | "number", names: readonly string[]) =>
    names.every((name) => members[name] === undefined || typeof members[name] === type);
  return (
    has("string", ["type", "title", "code", "category", "remedy", "instance"]) &&
    has("number", ["status"]) &&
    has("boolean", ["retryable"]) &&
    mayHave("string", ["detail", "support"]) &&
    mayHave("number", ["retry_after"])
  );
}
