// Solana payments made by hand with the real client's own parts, for tests that send one twice or spoil it first.
import { x402Client, x402HTTPClient } from "@x402/core/client";
import { ExactSvmScheme } from "@x402/svm/exact/client";
import { challengeOf, encode, headersOf } from "./payment.mjs";

/** Signs what `challenge` asks for and returns the payload, unsent. */
export function sign(chain, challenge, payer) {
  const client = new x402Client().setSpendControls(false).register("solana:*", new ExactSvmScheme(payer.signer, { rpcUrl: chain.url }));
  return new x402HTTPClient(client).createPaymentPayload(challenge);
}

/** Signs other terms than those of `challenge`, and says that they are those. */
export async function signOther(chain, challenge, payer, change) {
  const [accepted] = challenge.accepts;
  const payload = await sign(chain, { ...challenge, accepts: [{ ...accepted, ...change }] }, payer);
  return { ...payload, accepted };
}

/** Asks for a challenge and signs it, unsent: all that a test may want of it. */
export async function prepare(world, target, payer) {
  const url = world.url + target;
  const challenge = await challengeOf(url);
  const payload = await sign(world.chain, challenge, payer);
  return { payer, url, challenge, payload, headers: headersOf(payload) };
}

/** The same payment as clients of version 1 send it: without a quote. */
export const asVersion1 = ({ payload }) => ({ "X-PAYMENT": encode({ x402Version: 1, scheme: "exact", network: "solana", payload }) });

/** The transaction with other bytes where the fee payer is going to sign: the same message in another spelling. */
export function respelled({ payload, ...rest }, byte) {
  const bytes = Buffer.from(payload.transaction, "base64").fill(byte, 1, 65);
  return { ...rest, payload: { transaction: bytes.toString("base64") } };
}
