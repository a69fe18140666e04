// A test's world that is paid on Solana, and what is demanded of it.
import assert from "node:assert/strict";
import { decode } from "./payment.mjs";
import { newAccount, startSvm, USDC_MINT } from "./svm.mjs";
import { startSvmFacilitator } from "./svm_facilitator.mjs";
import { until } from "./until.mjs";
import { startWorld } from "./world.mjs";

const onSolana = {
  network: "solana",
  startChain: startSvm,
  startFacilitator: startSvmFacilitator,
  newReceiver,
};

/** As `startWorld`. Nothing can be offered before the facilitator has said who pays the fees. */
export async function startSolanaWorld(tables, options) {
  const world = await startWorld(tables, { parts: onSolana, ...options });
  await until("Solana is offered", () => offered(world.url));
  return world;
}

/** Who pays the fees of what is offered now. */
export async function offered(url) {
  const challenge = (await fetch(`${url}/weather`)).headers.get("payment-required");
  return challenge && decode(challenge).accepts[0].extra.feePayer;
}

/** A wallet that can be paid: no payment makes the account for it. */
async function newReceiver(chain) {
  const { address } = await newAccount();
  await chain.setBalance(address, 0n);
  return address;
}

/** The answer carries a receipt for `payer` whose transaction is on the chain. Returns the receipt. */
export function assertReceipt({ chain }, headers, payer) {
  const receipt = headers.get("payment-response");
  assert.ok(receipt, "PAYMENT-RESPONSE is there");
  assert.equal(headers.get("x-payment-response"), receipt, "X-PAYMENT-RESPONSE is the same");
  const settled = decode(receipt);
  assert.equal(settled.success, true);
  assert.equal(settled.payer, payer.address);
  assert.equal(chain.transaction(settled.transaction)?.err, null, "the transaction is on the chain");
  return settled;
}

/** The payer has paid `value` to the gateway's receiver in one transfer, and nothing else. */
export async function assertPaidOnce({ chain, payTo }, payer, value, mint = USDC_MINT) {
  const transfers = chain.transfersFrom(payer.address).map(({ mint, to, value }) => ({ mint, to, value }));
  assert.deepEqual(transfers, [{ mint, to: await chain.tokenAccount(payTo, mint), value }]);
}

export function assertPaidNothing({ chain }, payer) {
  assert.deepEqual(chain.transfersFrom(payer.address), []);
}

/** Nobody knows whether it was paid: the buyer is told to come again, and never to pay again. */
export async function assertInDoubt(answer) {
  assert.equal(answer.status, 503);
  assert.match(answer.headers.get("retry-after"), /^\d+$/);
  assert.match(answer.headers.get("cache-control"), /\bno-store\b/);
  assert.equal(answer.headers.get("payment-required"), null, "no invitation to pay again");
  assert.doesNotMatch(await answer.text(), /"from":"upstream"|tg_live_/);
}
