/** What the module makes of responses, odd ones too. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { advice, type Denial, isDenial, parseDenial, recover, retryDelay } from "../../docs/errors/denial.js";

const whole = {
  type: "/errors/rate_limited",
  title: "Rate limited",
  status: 429,
  code: "rate_limited",
  category: "limit",
  remedy: "Wait.",
  action: "wait",
  actor: "client",
  retryable: true,
  retry_after: 2,
  instance: "urn:uuid:00000000-0000-4000-8000-000000000000",
  cost: 1,
  limits: [],
};
const problem = "application/problem+json";

function response(body: unknown, status = 403, type = problem): Response {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return new Response(text, { status, headers: { "content-type": type } });
}

const denial = (changes: Record<string, unknown>) => {
  const members = Object.entries({ ...whole, ...changes });
  return Object.fromEntries(members.filter(([, value]) => value !== undefined));
};

test("a denial is an error with the media type of problems", () => {
  for (const [is, status, type] of [
    [true, 403, problem],
    [true, 503, "Application/Problem+JSON; charset=utf-8"],
    [true, 400, ` ${problem} `],
    [false, 200, problem],
    [false, 403, "application/json"],
    [false, 403, "text/html"],
    [false, 403, `text/plain; is="${problem}"`],
  ] as const) {
    assert.equal(isDenial(response("", status, type)), is, `${status} ${type}`);
  }
  assert.equal(isDenial(new Response(null, { status: 403 })), false, "no media type");
});

test("what lacks a member that every denial has is none, and nothing throws", async () => {
  const odd: [string, unknown][] = [
    ["no body", ""],
    ["no JSON", "<html>"],
    ["cut off", JSON.stringify(whole).slice(0, -9)],
    ["null", "null"],
    ["an array", [whole]],
    ["text", '"denied"'],
    ["another problem", { type: "about:blank", title: "Not found", status: 404 }],
    ["status is text", denial({ status: "403" })],
    ["retryable is text", denial({ retryable: "true" })],
    ["retry_after is text", denial({ retry_after: "2" })],
    ["detail is a number", denial({ detail: 1 })],
    ["null for absent", denial({ support: null })],
    ...["type", "title", "status", "code", "category", "remedy", "action", "actor", "retryable", "instance"].map(
      (name): [string, unknown] => [`without ${name}`, denial({ [name]: undefined })],
    ),
  ];
  for (const [label, body] of odd) {
    assert.equal(await parseDenial(response(body)), undefined, label);
  }
  assert.equal(await parseDenial(response(whole, 200)), undefined, "a success");
});

test("unknown codes and members are kept, and the body can still be read", async () => {
  const body = denial({ code: "order_shipped", shipped_on: "2026-11-20", detail: "It left." });
  const sent = response(body);
  const read = await parseDenial(sent);
  assert.deepEqual(read, body);
  assert.deepEqual(await sent.json(), body);
  await assert.rejects(parseDenial(sent), TypeError, "a body that was read before");
});

test("advice on when to repeat", () => {
  const delayOf = (changes: Record<string, unknown>, attempt?: number) =>
    retryDelay(denial(changes) as unknown as Denial, attempt);
  for (const [label, delay, changes, attempt] of [
    ["a limit: as it says", 2000, {}, 1],
    ["a limit: each time", 2000, {}, 9],
    ["by default the first attempt", 2000, {}, undefined],
    ["a key of next week", 604_800_000, { category: "credentials", retry_after: 604_800 }, 1],
    ["not the same request", undefined, { retryable: false, retry_after: undefined }, 1],
    ["not even when there is a time", undefined, { retryable: false }, 1],
    ["ours: as it says", 5000, { category: "server", retry_after: 5 }, 1],
    ["ours: then more slowly", 20_000, { category: "server", retry_after: 5 }, 3],
    ["ours: up to a minute", 60_000, { category: "server", retry_after: 5 }, 1000],
    ["ours: never sooner than it says", 90_000, { category: "server", retry_after: 90 }, 4],
    ["a wait of nothing is none", 1000, { retry_after: 0 }, 1],
    ["nor is one into the past", 1000, { retry_after: -5 }, 1],
    ["nor one for ever", 2000, { retry_after: Infinity }, 2],
    ["no attempt is the first", 5000, { category: "server", retry_after: 5 }, NaN],
    ["no time: a second", 1000, { retry_after: undefined }, 1],
    ["no time: then more slowly", 8000, { retry_after: undefined }, 4],
  ] as const) {
    assert.equal(delayOf(changes, attempt), delay, label);
  }
});

const refusal = (action: string, changes: Record<string, unknown> = {}) =>
  denial({ code: action, category: "token", action, retryable: false, retry_after: undefined, ...changes });

test("the action says what a program can do", () => {
  const stop = { do: "stop" };
  for (const [action, changes, expected] of [
    ["renew", {}, { do: "renew" }],
    ["step_up", { required_scopes: ["a", "x"], any_scopes: ["x", "y"] }, { do: "step_up", scopes: ["a", "x"] }],
    ["step_up", { any_scopes: ["x", "y"] }, { do: "step_up", scopes: ["x"] }],
    ["step_up", {}, stop],
    ["step_up", { required_scopes: "a" }, stop],
    ["wait", { retryable: true, retry_after: 2 }, { do: "wait", delay: 2000 }],
    ["fix_request", {}, stop],
    ["ask", {}, stop],
    ["an action that is new", {}, stop],
  ] as const) {
    assert.deepEqual(advice(refusal(action, changes) as unknown as Denial), expected, action);
  }
});

/** What `recover` does where these refusals come one after the other, and then an answer. */
async function recovered(refusals: readonly unknown[], options = {}, refuses: readonly string[] = []) {
  const did: string[] = [];
  const left = [...refusals];
  const last = await recover(
    async (token) => {
      did.push(`sent ${token}`);
      const next = left.shift();
      return next === undefined ? new Response("ok") : response(next);
    },
    {
      token: "old",
      scopes: ["a"],
      obtain: async (scopes) => {
        did.push(`asked for ${scopes.join(" ")}`);
        return scopes.some((scope) => refuses.includes(scope)) ? undefined : `with-${scopes.join("-")}`;
      },
      sleep: async (delay) => void did.push(`waited ${delay}`),
      ...options,
    },
  );
  return [last.status, did] as const;
}

test("one loop renews once, steps up with all scopes, waits, and stops", async () => {
  const expired = refusal("renew");
  const lacks = (...scopes: string[]) => refusal("step_up", { required_scopes: scopes });
  assert.deepEqual(await recovered([expired]), [200, ["sent old", "asked for a", "sent with-a"]]);
  assert.deepEqual(await recovered([expired, expired]), [403, ["sent old", "asked for a", "sent with-a"]]);
  assert.deepEqual(await recovered([lacks("b"), lacks("b", "c")]), [
    200,
    ["sent old", "asked for a b", "sent with-a-b", "asked for a b c", "sent with-a-b-c"],
  ]);
  assert.deepEqual(await recovered([lacks("b"), lacks("b")]), [403, ["sent old", "asked for a b", "sent with-a-b"]]);
  assert.deepEqual(await recovered([lacks("b")], {}, ["b"]), [403, ["sent old", "asked for a b"]]);
  assert.deepEqual(await recovered([whole]), [200, ["sent old", "waited 2000", "sent old"]]);
  assert.deepEqual(await recovered([whole], { patience: 1999 }), [403, ["sent old"]]);
  assert.deepEqual(await recovered([whole, whole], { attempts: 2 }), [403, ["sent old", "waited 2000", "sent old"]]);
  for (const action of ["fix_request", "ask", "report", "stop", "an action that is new"]) {
    assert.deepEqual(await recovered([refusal(action)]), [403, ["sent old"]], action);
  }
});

test("waits without a time grow while the reason stays", async () => {
  const down = denial({ category: "server", retry_after: undefined });
  const [, did] = await recovered([down, down, down]);
  assert.deepEqual(did.filter((done) => done.startsWith("waited")), ["waited 1000", "waited 2000", "waited 4000"]);
});
