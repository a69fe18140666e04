// The unmodified @x402/fetch: protocol version 2.
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm";

export const name = "@x402/fetch";

/** Sends a request that pays when asked to. `maxAmountPerPayment` raises the default cap of $1. */
export async function request(payer, url, { method = "GET", headers = {}, body, maxAmountPerPayment } = {}) {
  const client = new x402Client().register("eip155:8453", new ExactEvmScheme(payer.account));
  if (maxAmountPerPayment) client.setSpendControls({ maxAmountPerPayment });
  const response = await wrapFetchWithPayment(fetch, client)(url, { method, headers, body });
  return { status: response.status, headers: response.headers, body: await response.text() };
}
