/** What the example writes for its clients (`--credentials FILE`). */

import { readFile } from "node:fs/promises";

export interface Credentials {
  readonly address: string;
  readonly keys: { readonly writer: string; readonly reader: string };
  readonly tokens: { readonly valid: string; readonly expired: string };
}

export async function readCredentials(file = "credentials.json"): Promise<Credentials> {
  return JSON.parse(await readFile(file, "utf8")) as Credentials;
}
