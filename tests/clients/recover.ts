/**
 * The sample client against the live example: it recovers where it can, says why where it cannot.
 *
 * Usage: node recover.js CREDENTIALS
 */

import assert from "node:assert/strict";

import { OrdersClient, Refused } from "./client.js";
import { readCredentials } from "./credentials.js";

const { address, keys, tokens } = await readCredentials(process.argv[2]);

/** A request that was sent, and what came back. Times in milliseconds. */
interface Exchange {
  readonly request: string;
  readonly sent: number;
  readonly answered: number;
  readonly status: number;
  /** The code, where it was denied. */
  readonly code: string | undefined;
  readonly retryAfter: number | undefined;
}

/** `fetch` that keeps a record of what it did. */
function recording(record: Exchange[]): typeof fetch {
  return async (input, init) => {
    const sent = performance.now();
    const response = await fetch(input, init);
    const answered = performance.now();
    const body = response.ok ? {} : ((await response.clone().json()) as Record<string, unknown>);
    record.push({
      request: `${init?.method} ${new URL(String(input)).pathname}`,
      sent,
      answered,
      status: response.status,
      code: body["code"] as string | undefined,
      retryAfter: body["retry_after"] as number | undefined,
    });
    return response;
  };
}

const summary = (record: readonly Exchange[]) =>
  record.map(({ request, status, code }) => `${request} ${status}${code ? ` ${code}` : ""}`);

async function anExpiredTokenIsReplaced(): Promise<void> {
  const record: Exchange[] = [];
  const send = recording(record);
  const client = new OrdersClient({ address, key: keys.reader, token: tokens.expired, fetch: send });

  const response = await client.request("GET", "/orders/1");

  assert.deepEqual(await response.json(), { item: "pencils", quantity: 12 });
  assert.deepEqual(summary(record), [
    "GET /orders/1 403 token_expired",
    "POST /token 200",
    "GET /orders/1 200",
  ]);
  console.log("an expired token: replaced by a new one, and the request repeated with it");
}

async function aMissingScopeIsReported(): Promise<void> {
  const record: Exchange[] = [];
  const client = new OrdersClient({ address, key: keys.reader, fetch: recording(record) });

  const refused = await client
    .request("POST", "/orders", { item: "paper", quantity: 3 })
    .then(() => assert.fail("a reader may not write"))
    .catch((error: unknown) => error);

  assert.ok(refused instanceof Refused, String(refused));
  const { denial } = refused;
  assert.ok(denial.code === "insufficient_scope");
  assert.deepEqual(denial.required_scopes, ["orders:write"]);
  assert.deepEqual(denial.missing_scopes, ["orders:write"]);
  assert.equal(refused.message, `You may not do this: you lack orders:write. ${denial.remedy}`);
  assert.match(denial.remedy, /orders:write/);
  assert.deepEqual(summary(record), ["POST /token 200", "POST /orders 403 insufficient_scope"]);
  console.log(`a missing scope: told to the user: "${refused.message}"`);
}

async function aRateLimitIsWaitedOut(): Promise<void> {
  const record: Exchange[] = [];
  const client = new OrdersClient({ address, key: keys.writer, fetch: recording(record) });
  const hurried = new OrdersClient({ address, key: keys.writer, patience: 0 });
  const order = { item: "paper", quantity: 3 };

  // Without patience nothing is waited for, so this empties the bucket. On a slow machine it may
  // have filled a little when the next order comes: then once more.
  do {
    assert.ok(record.length < 20, "no limit was reached");
    await Promise.allSettled(Array.from({ length: 16 }, () => hurried.request("POST", "/orders", order)));
    const response = await client.request("POST", "/orders", order);
    assert.equal(response.status, 201);
  } while (!record.some(({ retryAfter }) => retryAfter));

  const [refused, repeated] = record.slice(-2);
  assert.deepEqual(summary(record.slice(-2)), ["POST /orders 403 rate_limited", "POST /orders 201"]);
  assert.ok(refused?.retryAfter && repeated);
  const waited = repeated.sent - refused.answered;
  const promised = refused.retryAfter * 1000;
  // A timer may fire a millisecond early by a clock of its own, and late on a busy machine.
  assert.ok(waited >= promised - 1 && waited < promised + 5000, `${waited} ms for ${promised} ms`);
  console.log(`a rate limit: waited out, ${waited.toFixed(0)} ms of ${promised} ms, in one go`);
}

await anExpiredTokenIsReplaced();
await aMissingScopeIsReported();
await aRateLimitIsWaitedOut();
