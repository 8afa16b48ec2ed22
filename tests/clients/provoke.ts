/**
 * Provokes every denial that the example can give, reads each with the module, and writes the
 * documents to a folder, for a validator to look at.
 *
 * Usage: node provoke.js CREDENTIALS FOLDER [any]
 *
 * With `any`, which codes come is not looked at: at `disclosure = "minimal"` there are few.
 */

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { DENIAL_CODES, parseDenial } from "../../docs/errors/denial.js";
import { readCredentials } from "./credentials.js";

const [credentials, folder = "denials", codes] = process.argv.slice(2);
const { address, keys, tokens } = await readCredentials(credentials);

const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString("base64url");
const [header = "", claims = "", signature = ""] = tokens.valid.split(".");
const known = JSON.parse(Buffer.from(header, "base64url").toString()) as object;
const bearer = (...parts: string[]) => ({ authorization: `Bearer ${parts.join(".")}` });
const [reader, writer] = [{ "x-api-key": keys.reader }, { "x-api-key": keys.writer }];

/** Code, request, headers; in this order, since the last ones empty buckets. */
const requests: readonly (readonly [string, string, Record<string, string>])[] = [
  ["credentials_missing", "GET /orders", {}],
  ["credentials_multiple", "GET /orders", { ...reader, ...bearer(tokens.valid) }],
  ["credentials_unsupported", "POST /token", bearer(tokens.valid)],
  ["api_key_malformed", "GET /orders", { "x-api-key": keys.reader.slice(0, -4) }],
  ["token_malformed", "GET /orders", bearer("opaque")],
  ["token_too_large", "GET /orders", bearer("x".repeat(9000))],
  ["token_issuer_unknown", "GET /orders", bearer(header, encode({ iss: "https://other.example.com" }), signature)],
  ["token_algorithm_not_allowed", "GET /orders", bearer(encode({ ...known, alg: "HS256" }), claims, signature)],
  ["token_key_unknown", "GET /orders", bearer(encode({ ...known, kid: "other" }), claims, signature)],
  ["token_signature_invalid", "GET /orders", bearer(header, claims, signature.replace(/^.{4}/, "AAAA"))],
  ["token_expired", "GET /orders", bearer(tokens.expired)],
  ["insufficient_scope", "POST /orders", bearer(tokens.valid)],
  ["insufficient_scope", "POST /orders", reader],
  ["no_matching_rule", "GET /ordres", reader],
  ["method_not_allowed", "PUT /orders", reader],
  ["order_shipped", "DELETE /orders/1", writer],
  ["decision_failed", "GET /forgotten", reader],
  ...Array.from({ length: 10 }, () => ["", "GET /orders", reader] as const),
  ["rate_limited", "GET /orders", reader],
  ...Array.from({ length: 20 }, () => ["", "GET /orders", { "x-api-key": "nonsense" }] as const),
  ["too_many_failures", "GET /orders", { "x-api-key": "nonsense" }],
];

await mkdir(folder, { recursive: true });
const seen = new Set<string>();
for (const [code, request, headers] of requests) {
  const [method = "GET", path = "/"] = request.split(" ");
  const response = await fetch(address + path, { method, headers });
  const denial = await parseDenial(response);
  if (code === "") continue;
  assert.ok(denial, `${request} is denied with ${code}, not ${response.status}`);
  assert.ok(codes === "any" || denial.code === code, `${request}: ${denial.code}, not ${code}`);
  // A document of the module is the document that was sent, and that can still be read.
  const body = await response.text();
  assert.deepEqual(JSON.parse(body), denial);
  seen.add(denial.code);
  await writeFile(join(folder, `${code}-${method}.json`), body);
}

const unlisted = [...seen].filter((code) => !DENIAL_CODES.some((known) => known === code));
assert.deepEqual(unlisted.filter((code) => code !== "order_shipped"), []);
assert.equal(await parseDenial(await fetch(`${address}/health`)), undefined);
assert.equal(await parseDenial(await fetch(`${address}/orders`, { method: "HEAD" })), undefined);
console.log(`${seen.size} codes in ${folder}: ${[...seen].join(" ")}`);
