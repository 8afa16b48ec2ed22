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

/**
 * What a program can do about a denial by itself.
 *
 * - `wait`: send the same request after `delay` milliseconds.
 * - `renew`: get a new token with the same rights, then send the request with it, once. Where the
 *   request carried an API key, it means `stop`.
 * - `step_up`: get a token that has `scopes` beside those that the old one had. They are the least
 *   that is enough here: all that are required, and the first of those of which one is.
 * - `stop`: something has to change first, and the denial's `remedy` says what.
 */
export type Advice =
  | { readonly do: "wait"; readonly delay: number }
  | { readonly do: "renew" }
  | { readonly do: "step_up"; readonly scopes: readonly string[] }
  | { readonly do: "stop" };

/**
 * What a program can do about a denial by itself: to wait where {@link retryDelay} gives a time, else
 * what `action` says. An action that this module does not know means `stop`.
 *
 * @param attempt - How many times in a row the request was refused, this time included.
 */
export function advice(denial: DenialBase, attempt = 1): Advice {
  const delay = retryDelay(denial, attempt);
  if (delay !== undefined) return { do: "wait", delay };
  if (denial.action === "renew") return { do: "renew" };
  if (denial.action !== "step_up") return { do: "stop" };
  const members = denial as DenialBase & { readonly [member: string]: unknown };
  const needed = [...texts(members["required_scopes"]), ...texts(members["any_scopes"]).slice(0, 1)];
  const scopes = [...new Set(needed)];
  return scopes.length === 0 ? { do: "stop" } : { do: "step_up", scopes };
}

/** What {@link recover} works with. */
export interface RecoverOptions {
  /**
   * Gets a new token with these scopes; `undefined` where there is none. No scopes mean
   * those of the old token.
   */
  readonly obtain: (scopes: readonly string[]) => Promise<string | undefined>;
  /** The token to begin with; without one, `obtain` is asked first. */
  readonly token?: string | undefined;
  /** The scopes that it has, so that none of them is lost where more are needed. */
  readonly scopes?: readonly string[];
  /** The longest that the request waits at a time, in milliseconds; a minute if nothing is said. */
  readonly patience?: number;
  /** How often the request is sent at most; four times if nothing is said. */
  readonly attempts?: number;
  /** Waits so many milliseconds; with `setTimeout` if nothing is said. */
  readonly sleep?: (delay: number) => Promise<unknown>;
}

/**
 * The one loop around a request: it follows the {@link advice} of each denial, renews the token once,
 * steps up with all scopes that were ever needed, waits, and stops. A scope that was asked for once
 * and is missing all the same is not asked for again.
 *
 * The last response is returned: the answer, or the refusal that nothing helps against, for
 * {@link parseDenial}.
 *
 * ```ts
 * const response = await recover(
 *   (token) => fetch(url, { headers: { authorization: `Bearer ${token}` } }),
 *   { obtain: (scopes) => askIssuer(scopes) },
 * );
 * ```
 *
 * @throws What `send`, `obtain` and `sleep` throw; and an error if there is no token to begin with.
 */
export async function recover(
  send: (token: string) => Promise<Response>,
  options: RecoverOptions,
): Promise<Response> {
  const { obtain, patience = 60_000, attempts = 4 } = options;
  const sleep = options.sleep ?? ((delay) => new Promise((done) => setTimeout(done, delay)));
  const scopes = new Set(options.scopes);
  let token = options.token ?? (await obtain([...scopes]));
  if (token === undefined) throw new Error("there is no token to begin with");
  let hasRenewed = false;
  let last: string | undefined;
  let inARow = 0;
  for (let sent = 1; ; sent += 1) {
    const response = await send(token);
    const denial = sent < attempts ? await parseDenial(response) : undefined;
    if (!denial) return response;
    inARow = denial.code === last ? inARow + 1 : 1;
    last = denial.code;
    const next = advice(denial, inARow);
    if (next.do === "wait" && next.delay <= patience) {
      await sleep(next.delay);
      continue;
    }
    const known = scopes.size;
    if (next.do === "step_up") next.scopes.forEach((scope) => scopes.add(scope));
    const helps = next.do === "renew" ? !hasRenewed : scopes.size > known;
    if (!helps) return response;
    if (next.do === "renew") hasRenewed = true;
    const renewed = await obtain([...scopes]);
    if (renewed === undefined) return response;
    token = renewed;
  }
}

function texts(list: unknown): readonly string[] {
  return Array.isArray(list) ? list.filter((item) => typeof item === "string") : [];
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
    has("string", ["type", "title", "code", "category", "remedy", "action", "actor", "instance"]) &&
    has("number", ["status"]) &&
    has("boolean", ["retryable"]) &&
    mayHave("string", ["detail", "help", "support"]) &&
    mayHave("number", ["retry_after"])
  );
}
