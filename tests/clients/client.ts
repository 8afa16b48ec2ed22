/** A client of the orders API that does what its denials say. */

import { type Denial, parseDenial, recover } from "../../docs/errors/denial.js";

/** A denial that only a person can do something about. Its message is for that person. */
export class Refused extends Error {
  readonly denial: Denial;

  constructor(denial: Denial) {
    super(explain(denial));
    this.name = "Refused";
    this.denial = denial;
  }
}

export interface Options {
  /** Where the API is, such as `http://127.0.0.1:3000`. */
  readonly address: string;
  /** The API key that tokens are had for. */
  readonly key: string;
  /** A token from last time, perhaps too old by now. */
  readonly token?: string;
  /** The longest that a request may wait for its turn, in milliseconds. */
  readonly patience?: number;
  readonly fetch?: typeof fetch;
}

export class OrdersClient {
  readonly #address: string;
  readonly #key: string;
  readonly #patience: number;
  readonly #fetch: typeof fetch;
  /** One for all requests that are under way, so that a new one is asked for once. */
  #token: Promise<string> | undefined;

  constructor({ address, key, token, patience = 10_000, fetch: send = fetch }: Options) {
    this.#address = address;
    this.#key = key;
    this.#token = token === undefined ? undefined : Promise.resolve(token);
    this.#patience = patience;
    this.#fetch = send;
  }

  /**
   * Sends a request, and repeats it where that helps.
   *
   * @throws Refused if it does not help, or would take too long.
   */
  async request(method: string, path: string, body?: unknown): Promise<Response> {
    const token = await (this.#token ??= this.#newToken());
    const response = await recover(
      (token) => this.#send(method, path, `Bearer ${token}`, body),
      { token, patience: this.#patience, obtain: (scopes) => this.#replace(token, scopes) },
    );
    const denial = await parseDenial(response);
    if (denial) throw new Refused(denial);
    return response;
  }

  /** A token in the place of one that is no good any more. */
  async #replace(old: string, scopes: readonly string[]): Promise<string | undefined> {
    // Tokens have the scopes of the key: more are not to be had.
    if (scopes.length > 0) return undefined;
    if ((await this.#token) === old) this.#token = undefined;
    return (this.#token ??= this.#newToken());
  }

  async #newToken(): Promise<string> {
    const response = await this.#send("POST", "/token", `ApiKey ${this.#key}`);
    if (!response.ok) this.#token = undefined;
    const denial = await parseDenial(response);
    if (denial) throw new Refused(denial);
    const { access_token: token } = (await response.json()) as { access_token: string };
    return token;
  }

  #send(method: string, path: string, authorization: string, body?: unknown): Promise<Response> {
    return this.#fetch(this.#address + path, {
      method,
      headers: { authorization, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }
}

/** What to tell the person in front of the screen. */
function explain(denial: Denial): string {
  switch (denial.code) {
    case "insufficient_scope": {
      const missing = (denial.missing_scopes ?? denial.any_scopes ?? []).join(", ");
      return `You may not do this: you lack ${missing}. ${denial.remedy}`;
    }
    case "rate_limited": {
      const [tightest] = denial.limits ?? [];
      return tightest
        ? `Too many requests: ${tightest.limit} allows ${tightest.rate}. ${denial.remedy}`
        : `${denial.title}. ${denial.remedy}`;
    }
    default:
      return `${denial.title}. ${denial.remedy}`;
  }
}
