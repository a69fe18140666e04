// The unmodified clients of both versions, paying on Solana. They ask the chain themselves before they sign.
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactSvmScheme } from "@x402/svm/exact/client";
import { createSigner, wrapFetchWithPayment as wrapFetchV1 } from "x402-fetch";

const V1_MAX = 100_000n;

export const clients = [
  {
    name: "@x402/fetch",
    async request(chain, payer, url, { transport = fetch } = {}) {
      const client = new x402Client().register("solana:*", new ExactSvmScheme(payer.signer, { rpcUrl: chain.url }));
      return read(await wrapFetchWithPayment(transport, client)(url));
    },
  },
  {
    name: "x402-fetch",
    async request(chain, payer, url, { transport = fetch } = {}) {
      const signer = await createSigner("solana", payer.key);
      const config = { svmConfig: { rpcUrl: chain.url } };
      return read(await wrapFetchV1(transport, signer, V1_MAX, undefined, config)(url));
    },
  },
];

async function read(response) {
  return { status: response.status, headers: response.headers, body: await response.text() };
}
