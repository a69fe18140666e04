// The unmodified @x402/fetch: protocol version 2.
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm";

export const name = "@x402/fetch";

/**
 * Sends a request that pays when asked to. `maxAmountPerPayment` raises the default cap of $1;
 * `transport` takes the place of `fetch` below the client, to look at what it sends.
 */
export async function request(payer, url, options = {}) {
  const { method = "GET", headers = {}, body, maxAmountPerPayment, transport = fetch } = options;
  const client = new x402Client().register("eip155:8453", new ExactEvmScheme(payer.account));
  if (maxAmountPerPayment) client.setSpendControls({ maxAmountPerPayment });
  const response = await wrapFetchWithPayment(transport, client)(url, { method, headers, body });
  return { status: response.status, headers: response.headers, body: await response.text() };
}
