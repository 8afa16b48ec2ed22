/**
 * Clients that a generator made from OpenAPI documents, against the live example: paths,
 * parameters and denials are typed. One document is the API's own, with the denials of the gate
 * added; the other was made from its policy alone.
 *
 * Usage: node generated.js CREDENTIALS
 */

import assert from "node:assert/strict";

import createClient from "openapi-fetch";

import { readCredentials } from "./credentials.js";
import type { components, paths } from "./generated/orders.js";
import type { paths as PathsOfPolicy } from "./generated/policy.js";

const { address, keys, tokens } = await readCredentials(process.argv[2]);
const orders = createClient<paths>({ baseUrl: address });

/** What the generator knows of every denial, whatever its code. */
function show(denial: components["schemas"]["Denial"]): string {
  const wait: string = denial.retry_after === undefined ? "" : ` (${denial.retry_after.toFixed()} s)`;
  return `${denial.title}${wait}: ${denial.remedy}`;
}

const admitted = await orders.GET("/orders/{id}", {
  params: { path: { id: 1 } },
  headers: { "x-api-key": keys.reader },
});
assert.equal(admitted.response.status, 200);
assert.deepEqual(admitted.data, { item: "pencils", quantity: 12 });

const gate = createClient<PathsOfPolicy>({ baseUrl: address });
const denied = await gate.GET("/orders", {
  headers: { authorization: `Bearer ${tokens.expired}` },
});
assert.ok(denied.error);
assert.equal(denied.error.code, "token_expired");
assert.match(show(denied.error), /^Token expired: Get a new token/);
console.log(`a generated client: ${show(denied.error)}`);

// The code tells the denials of a response apart, that of the application too.
const own = await orders.DELETE("/orders/{id}", {
  params: { path: { id: 1 } },
  headers: { "x-api-key": keys.writer },
});
assert.ok(typeof own.error === "object" && own.error.code === "order_shipped");
const shipped: string | undefined = own.error.shipped_on;
assert.equal(shipped, "2026-11-20");
const misspelt = await orders.GET("/orders", { headers: { "x-api-key": "tg_nonsense" } });
assert.ok(misspelt.error?.code === "api_key_malformed");
const check: string | undefined = misspelt.error.failed_check;
assert.equal(check, "length");
// @ts-expect-error: only another code has this member.
assert.equal(misspelt.error.limits, undefined);
console.log(`openapi-typescript: ${misspelt.error.code} and ${own.error.code} are narrowed by code`);
