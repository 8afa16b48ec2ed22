import { parseDenial, retryDelay } from "./denial.ts";

/** Waits as long as the denial says, but not for more than a minute, and asks again. */
export async function listOrders(api: string, key: string): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(`${api}/orders`, { headers: { "x-api-key": key } });
    const denial = await parseDenial(response);
    if (denial?.code !== "rate_limited" || attempt === 3) return response;
    const delay = retryDelay(denial, attempt);
    if (delay === undefined || delay > 60_000) return response;
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}
