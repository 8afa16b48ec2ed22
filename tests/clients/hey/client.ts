/**
 * A client that hey-api made from the document of the example, against the live example: the union of
 * its denials is narrowed by `code`, codes of the application too.
 *
 * Usage: node client.js CREDENTIALS
 */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import type { Auth } from "./generated/client/index.js";
import { client } from "./generated/client.gen.js";
import { cancelOrder, listOrders } from "./generated/index.js";
import type { LimitState } from "./generated/index.js";

const { address, keys } = JSON.parse(await readFile(process.argv[2] ?? "credentials.json", "utf8")) as {
  address: string;
  keys: { reader: string; writer: string };
};
client.setConfig({ baseUrl: address });
// It asks for the credential of each scheme that is accepted: one of them is enough.
const withKey = (key: string) => ({ auth: (scheme: Auth) => (scheme.name === "x-api-key" ? key : undefined) });

const misspelt = (await listOrders(withKey("tg_nonsense"))).error;
assert.ok(misspelt && typeof misspelt === "object");
if (misspelt.code === "api_key_malformed") {
  const check: string | undefined = misspelt.failed_check;
  assert.equal(check, "length");
  // @ts-expect-error: only another code has this member.
  assert.equal(misspelt.limits, undefined);
} else if (misspelt.code === "rate_limited") {
  const limits: LimitState[] | undefined = misspelt.limits;
  assert.fail(`a limit was short: ${JSON.stringify(limits)}`);
} else {
  assert.fail(`another code: ${misspelt.code}`);
}

const cancelled = (await cancelOrder({ path: { id: 1 }, ...withKey(keys.writer) })).error;
assert.ok(cancelled && typeof cancelled === "object" && cancelled.code === "order_shipped");
const shipped: string | undefined = cancelled.shipped_on;
assert.equal(shipped, "2026-11-20");

console.log(`hey-api: ${misspelt.code} and ${cancelled.code} are narrowed by code`);
