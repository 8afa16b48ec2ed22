import { parseDenial } from "./denial.ts";

/** The server is at fault: gives its people the name of this denial in their log. */
export async function listOrders(api: string, key: string): Promise<Response> {
  const response = await fetch(`${api}/orders`, { headers: { "x-api-key": key } });
  const denial = await parseDenial(response);
  if (denial?.code === "decision_failed") {
    const where = denial.support ?? "the provider";
    throw new Error(`Report ${denial.instance} to ${where}, with time and path.`);
  }
  return response;
}
