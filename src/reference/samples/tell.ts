import { parseDenial } from "./denial.ts";

/** Asking again does not help: says what does. */
export async function listOrders(api: string, key: string): Promise<Response> {
  const response = await fetch(`${api}/orders`, { headers: { "x-api-key": key } });
  const denial = await parseDenial(response);
  if (denial?.code === "insufficient_scope") {
    throw new Error(`${denial.title}. ${denial.remedy}`);
  }
  return response;
}
