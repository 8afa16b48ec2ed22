/**
 * Orders paper from an API of another origin, and shows what its denials say: title, remedy and
 * a countdown to the next attempt, which it then makes by itself.
 *
 * `?api=ADDRESS&key=KEY` says where the API is.
 */

import { type Denial, parseDenial, retryDelay } from "../../../docs/errors/denial.js";

const settings = new URLSearchParams(location.search);
const api = settings.get("api") ?? "";
const key = settings.get("key") ?? "";

/** Headers that the API lets scripts of other origins read. */
const EXPOSED = ["Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate", "Allow", "X-Request-Id"];

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found;
}

async function order(attempt = 1): Promise<void> {
  const response = await fetch(`${api}/orders`, {
    method: "POST",
    headers: { "x-api-key": key, "content-type": "application/json" },
    body: JSON.stringify({ item: "paper", quantity: 3 }),
  });
  const denial = await parseDenial(response);
  if (!denial) {
    element("refusal").hidden = true;
    element("result").textContent = `Thank you: ${await response.text()}`;
    return;
  }
  show(denial, response);
  const delay = retryDelay(denial, attempt);
  if (delay === undefined || delay > 60_000) return;
  await countDown(delay);
  await order(attempt + 1);
}

function show(denial: Denial, { headers, url }: Response): void {
  element("title").textContent = denial.title;
  element("remedy").textContent = denial.remedy;
  // The page about the code; its address may be relative to that of the API.
  element("more").setAttribute("href", new URL(denial.type, url).href);
  element("headers").replaceChildren(
    ...EXPOSED.flatMap((name) => {
      const value = headers.get(name);
      if (value === null) return [];
      const [term, description] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      description.textContent = value;
      return [term, description];
    }),
  );
  element("countdown").hidden = true;
  element("refusal").hidden = false;
}

/** Shows the seconds that are left, until none are. */
async function countDown(delay: number): Promise<void> {
  const end = performance.now() + delay;
  element("countdown").hidden = false;
  for (let left = delay; left > 0; left = end - performance.now()) {
    element("countdown").textContent = `Trying again in ${Math.ceil(left / 1000)} s`;
    await new Promise((resolve) => setTimeout(resolve, left % 1000 || 1000));
  }
}

element("order").addEventListener("click", () => void order());
