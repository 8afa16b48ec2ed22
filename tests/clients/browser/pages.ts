/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * The pages about denials in a real browser: whole, readable at any width and in the dark, and as
 * handy by keyboard as by mouse.
 *
 * Usage: node pages.js CREDENTIALS PICTURES
 */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

import type { BrowserContextOptions, Page } from "playwright-core";

import { readCredentials } from "../credentials.js";
import { launch } from "./launch.js";

const [credentials, pictures = "."] = process.argv.slice(2);
const { address } = await readCredentials(credentials);
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core"), "utf8");
const browser = await launch();

const phone = { width: 360, height: 740 };
const desktop = { width: 1280, height: 900 };

try {
  await allPagesAreWhole();
  await pagesAreAccessible();
  await theIndexIsFiltered();
  await samplesAreTabs();
  await pagesReadWellWithoutScriptsAndOnPaper();
  await aDeniedAddressLeadsToItsPage();
} finally {
  await browser.close();
}

/** Opens a page. Whatever it loads beside itself, and each error that it logs, is a mistake. */
async function open(path: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: desktop, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on("console", (message) => {
    if (message.type() === "error") assert.fail(`${path}: ${message.text()}`);
  });
  page.on("pageerror", (error) => assert.fail(`${path}: ${error.message}`));
  page.on("request", (request) => {
    assert.ok(request.isNavigationRequest(), `${path} loads ${request.url()}`);
  });
  await page.goto(address + path);
  return page;
}

async function allPagesAreWhole(): Promise<void> {
  const index = await open("/errors/");
  const links = await index.locator("ul.codes a").evaluateAll((all) =>
    all.map((link) => new URL((link as HTMLAnchorElement).href).pathname),
  );
  await index.context().close();
  assert.ok(links.length > 35, `${links.length} codes`);
  const paths = ["/errors", "/errors/", "/errors/handbook", ...links];
  const linked = new Set<string>();
  for (const viewport of [phone, desktop]) {
    for (const path of paths) {
      const page = await open(path, { viewport });
      const seen = await page.evaluate(() => ({
        width: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        headings: document.querySelectorAll("h1").length,
        lang: document.documentElement.lang,
        lost: [...document.querySelectorAll<HTMLAnchorElement>('a[href^="#"]')]
          .map(({ hash }) => hash.slice(1))
          .filter((id) => !document.getElementById(id)),
        links: [...document.querySelectorAll<HTMLAnchorElement>("a[href]")]
          .filter(({ origin }) => origin === location.origin)
          .map(({ href }) => href.split("#", 1)[0] ?? href),
      }));
      const { links, ...facts } = seen;
      assert.deepEqual(facts, { width: 0, headings: 1, lang: "en", lost: [] }, path);
      links.forEach((link) => linked.add(link));
      await page.context().close();
    }
  }
  for (const link of linked) assert.equal((await fetch(link)).status, 200, link);
  console.log(`${paths.length} pages, on a phone and on a desktop: whole, nothing else loaded`);
  console.log(`${linked.size} links lead somewhere`);
}

async function pagesAreAccessible(): Promise<void> {
  let rules = 0;
  for (const path of ["/errors/", "/errors/rate_limited", "/errors/token_expired", "/errors/handbook"]) {
    for (const colorScheme of ["light", "dark"] as const) {
      for (const viewport of [phone, desktop]) {
        const page = await open(path, { colorScheme, viewport });
        // Not as a script of the page, which its policy would keep out.
        await page.evaluate(axe);
        const { violations, passes } = await page.evaluate(async () => {
          const { axe } = window as unknown as { axe: typeof import("axe-core") };
          return axe.run();
        });
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
        assert.deepEqual(found, [], `${path}, ${colorScheme}, ${viewport.width}`);
        rules = Math.max(rules, passes.length);
        const kind = viewport === phone ? "phone" : "desktop";
        const name = `page-${path.split("/").pop() || "index"}-${kind}-${colorScheme}.png`;
        await page.screenshot({ path: join(pictures, name), fullPage: true });
        await page.context().close();
      }
    }
  }
  console.log(`accessible, in the light and in the dark: up to ${rules} rules of axe-core pass`);
}

async function theIndexIsFiltered(): Promise<void> {
  const page = await open("/errors/");
  const shown = () => page.locator("ul.codes > li:visible > a > code").allInnerTexts();
  const all = (await shown()).length;
  await page.keyboard.press("/");
  await page.keyboard.type("token EXPIRED");
  assert.ok((await shown()).includes("token_expired"));
  assert.ok((await shown()).length < 5);
  await page.keyboard.press("Escape");
  assert.equal((await shown()).length, all);
  // By the status that others would send, whatever this API sends.
  await page.fill("#filter", "429");
  assert.ok((await shown()).includes("rate_limited"));
  await page.fill("#filter", "no such thing");
  assert.deepEqual(await shown(), []);
  assert.ok(await page.isVisible(".nothing"));
  await page.context().close();

  const handbook = await open("/errors/handbook");
  await handbook.fill("#filter", "orders:write");
  const rules = await handbook.locator("article.rule:visible h3").allInnerTexts();
  assert.ok(rules.length > 0 && rules.every((rule) => rule.includes("/orders")), rules.join());
  await handbook.context().close();
  console.log("the filter finds words, statuses, paths and scopes, by keyboard alone");
}

async function samplesAreTabs(): Promise<void> {
  const page = await open("/errors/rate_limited");
  const chosen = () => page.locator('[role="tab"][aria-selected="true"]').innerText();
  assert.deepEqual(await page.locator('[role="tab"]').allInnerTexts(), ["curl", "TypeScript", "Python", "Rust"]);
  await page.locator('[role="tab"][aria-selected="true"]').focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  assert.equal(await chosen(), "Python");
  assert.equal(await page.locator('[role="tabpanel"]:visible').count(), 1);
  await page.goto(`${address}/errors/token_expired`);
  assert.equal(await chosen(), "Python", "the language is remembered");
  await page.context().close();
  console.log("samples are tabs, and the language is remembered");
}

async function pagesReadWellWithoutScriptsAndOnPaper(): Promise<void> {
  const plain = await open("/errors/rate_limited", { javaScriptEnabled: false });
  assert.equal(await plain.locator("[data-tab]:visible").count(), 4);
  await plain.context().close();
  const index = await open("/errors/", { javaScriptEnabled: false });
  assert.equal(await index.isVisible("#filter"), false, "what needs scripts is not there");
  await index.context().close();

  const paper = await open("/errors/rate_limited");
  await paper.emulateMedia({ media: "print" });
  for (const part of [".toc", "button"]) {
    assert.equal(await paper.locator(`${part}:visible`).count(), 0, `${part} is not printed`);
  }
  await paper.pdf({ path: join(pictures, "page-rate_limited.pdf"), format: "A4" });
  await paper.context().close();
  console.log("without scripts all is there, and what cannot be used on paper is not printed");
}

async function aDeniedAddressLeadsToItsPage(): Promise<void> {
  const context = await browser.newContext({ viewport: phone });
  const page = await context.newPage();
  const response = await page.goto(`${address}/orders`);
  assert.equal(response?.status(), 403);
  assert.equal(await page.locator("h1").innerText(), "Credentials missing");
  await page.screenshot({ path: join(pictures, "denial-phone.png") });
  await page.locator("a", { hasText: "credentials_missing" }).click();
  assert.equal(new URL(page.url()).pathname, "/errors/credentials_missing");
  assert.match(await page.locator("h1").innerText(), /Credentials missing/);
  await context.close();
  console.log("a denied address shows a page, and leads to that of its code");
}
