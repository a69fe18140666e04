// The unmodified x402-fetch: protocol version 1, which reads the challenge from the body.
import { createSigner, wrapFetchWithPayment } from "x402-fetch";

export const name = "x402-fetch";

/** Sends a request that pays when asked to, up to this client's default cap of $0.10. For `transport` see fetch_v2.mjs. */
export async function request(payer, url, { method = "GET", headers = {}, body, transport = fetch } = {}) {
  const signer = await createSigner("base", payer.key);
  const response = await wrapFetchWithPayment(transport, signer)(url, { method, headers, body });
  return { status: response.status, headers: response.headers, body: await response.text() };
}
