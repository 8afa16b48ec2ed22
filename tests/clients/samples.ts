/**
 * Writes the programs of the pages to files, as a reader would copy them from there.
 *
 * Usage: node samples.js ADDRESS FOLDER
 */

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const [address = "", folder = "."] = process.argv.slice(2);
const headers = { accept: "application/json" };
const index = await fetch(`${address}/errors`, { headers });
const { codes } = (await index.json()) as { codes: { code: string }[] };
const endings: Readonly<Record<string, string>> = { sh: "sh", ts: "ts", python: "py" };

await mkdir(folder, { recursive: true });
let count = 0;
for (const { code } of codes) {
  const page = await fetch(`${address}/errors/${code}`, { headers: { accept: "text/markdown" } });
  const [, programs = ""] = (await page.text()).split("Handle it in code");
  for (const [, language = "", text = ""] of programs.matchAll(/```(\w+)\n([^]*?)```/g)) {
    const ending = endings[language];
    if (!ending) continue; // programs in Rust are compiled and run with the crate
    await writeFile(join(folder, `${code}.${ending}`), text);
    count += 1;
  }
}
assert.equal(count, codes.length * 3);
console.log(`${count} programs of ${codes.length} pages`);
