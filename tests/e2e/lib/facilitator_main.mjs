// A facilitator as a program of its own: RPC_URL, GAS_KEY and PORT say where and with whose gas. It has no memory, so it
// asks the chain what it settled before: the same payment gets the same receipt, also after a restart.
import { clientOf, transactionOf } from "./chain.mjs";
import { startFacilitator } from "./facilitator.mjs";

const { RPC_URL: url, GAS_KEY: key, PORT: port } = process.env;
const client = clientOf(url);

async function earlier({ paymentPayload, paymentRequirements: { network } }) {
  const { authorization } = paymentPayload.payload;
  const transaction = await transactionOf(client, authorization);
  return transaction && { success: true, transaction, network, payer: authorization.from };
}

await startFacilitator({ url, client }, { key, port: Number(port), earlier });
