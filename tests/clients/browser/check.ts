/**
 * The page in a real browser: it is refused by an API of another origin, shows what the denial
 * says, and makes its next attempt when the time has come.
 *
 * Usage: node check.js CREDENTIALS PICTURES
 */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";

import type { Response } from "playwright-core";

import { readCredentials } from "../credentials.js";
import { launch } from "./launch.js";

const [credentials, pictures = "."] = process.argv.slice(2);
const { address, keys } = await readCredentials(credentials);

/** Serves the page and the compiled modules, and nothing else. */
const types: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript" };
const site = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  const file = pathname === "/" ? "browser/index.html" : `.${pathname}`;
  const type = types[extname(file)];
  const body = type && !file.includes("..") ? readFile(file) : Promise.reject(new Error(file));
  body.then(
    (text) => response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(text),
    () => response.writeHead(404).end(),
  );
});
await new Promise<void>((listening) => site.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;

const browser = await launch();

try {
  await aRateLimitIsCountedDown();
  await aMissingScopeIsShown();
  await scriptsMayReadTheHeaders();
} finally {
  await browser.close();
  site.close();
}

async function open(key: string) {
  const page = await browser.newPage({ viewport: { width: 720, height: 560 } });
  page.setDefaultTimeout(30_000);
  await page.goto(`${origin}/?${new URLSearchParams({ api: address, key })}`);
  return page;
}

/** A page whose order was refused for its rate just now, and what it was answered so far. */
async function limited() {
  const headers = { "x-api-key": keys.writer, "content-type": "application/json" };
  const body = JSON.stringify({ item: "paper", quantity: 3 });
  // The bucket fills by the second: where this machine is slow, it takes another round.
  for (let round = 0; round < 20; round++) {
    const page = await open(keys.writer);
    const answers: Response[] = [];
    page.on("response", (response) => {
      if (response.request().method() === "POST") answers.push(response);
    });
    // Its seconds pass where they are told to.
    await page.clock.install();
    await page.clock.pauseAt(Date.now() + 60_000);
    await Promise.all(
      Array.from({ length: 16 }, () => fetch(`${address}/orders`, { method: "POST", headers, body })),
    );
    await page.click("#order");
    await page.locator("#countdown:not([hidden]), #result:not(:empty)").waitFor();
    if (await page.isVisible("#countdown")) return { page, answers };
    await page.close();
  }
  throw new Error("no limit was reached");
}

async function aRateLimitIsCountedDown(): Promise<void> {
  const { page, answers } = await limited();
  await page.screenshot({ path: join(pictures, "browser-refused.png") });
  const denial = ((await answers[0]?.json()) ?? {}) as Record<string, unknown>;
  assert.equal(denial["code"], "rate_limited");
  assert.equal(await page.textContent("#title"), denial["title"]);
  assert.equal(await page.textContent("#remedy"), denial["remedy"]);
  const more = await page.getAttribute("#more", "href");
  assert.equal(more, `${address}/errors/rate_limited`);
  const seconds = denial["retry_after"] as number;
  assert.equal(await page.textContent("#countdown"), `Trying again in ${seconds} s`);
  const shown = await page.locator("#headers").innerText();
  assert.match(shown, new RegExp(`Retry-After\\s+${seconds}\\s`));
  assert.match(shown, /RateLimit\s+"per-client";r=\d/);
  assert.match(shown, /X-Request-Id\s+[0-9a-f-]{36}/);

  // For the API they pass by themselves, and the page makes no attempt before its own have.
  await new Promise((passed) => setTimeout(passed, seconds * 1000));
  await page.clock.runFor(seconds * 1000 - 1);
  assert.equal(await page.textContent("#countdown"), "Trying again in 1 s");
  assert.equal(answers.length, 1);
  await page.clock.runFor(1);
  await page.locator("#result:not(:empty)").waitFor();
  await page.screenshot({ path: join(pictures, "browser-succeeded.png") });
  assert.match((await page.textContent("#result")) ?? "", /^Thank you: order \d+ of shop/);
  assert.equal(await page.isVisible("#refusal"), false);
  assert.deepEqual(answers.map((answer) => answer.status()), [403, 201]);
  await page.goto(more);
  assert.match(await page.locator("h1").innerText(), /Rate limited/);
  console.log(`a page of another origin: refused, counted down ${seconds} s, then admitted`);
  await page.close();
}

async function aMissingScopeIsShown(): Promise<void> {
  const page = await open(keys.reader);
  await page.click("#order");
  await page.waitForSelector("#refusal:not([hidden])");
  assert.equal(await page.textContent("#title"), "Insufficient scope");
  assert.match((await page.textContent("#remedy")) ?? "", /orders:write/);
  assert.equal(await page.isVisible("#countdown"), false);
  await page.screenshot({ path: join(pictures, "browser-scope.png") });
  console.log("a page of another origin: a missing scope is shown, and nothing is repeated");
  await page.close();
}

/** Every header of a denial that helps is exposed to other origins. */
async function scriptsMayReadTheHeaders(): Promise<void> {
  const page = await open(keys.reader);
  const read = (method: string, path: string, header: string) =>
    page.evaluate(
      async ([method, url, header]) => (await fetch(url, { method })).headers.get(header),
      [method, address + path, header] as const,
    );
  assert.match((await read("GET", "/orders", "www-authenticate")) ?? "", /^Bearer realm="orders", scope="orders:read", ApiKey /);
  assert.equal(await read("GET", "/orders", "x-should-retry"), "false");
  assert.match((await read("DELETE", "/orders", "allow")) ?? "", /GET.*POST/);
  assert.match((await read("GET", "/orders", "x-request-id")) ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(await read("GET", "/orders", "content-type"), "application/problem+json");
  console.log("a page of another origin: reads WWW-Authenticate, Allow and X-Request-Id");
  await page.close();
}
