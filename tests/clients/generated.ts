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
