import { parseDenial } from "./denial.ts";

/** Gets a new token, once, and asks again with it. */
export async function listOrders(
  api: string,
  token: string,
  newToken: () => Promise<string>,
): Promise<Response> {
  const ask = (token: string) =>
    fetch(`${api}/orders`, { headers: { authorization: `Bearer ${token}` } });
  const response = await ask(token);
  const denial = await parseDenial(response);
  return denial?.code === "token_expired" ? ask(await newToken()) : response;
}
