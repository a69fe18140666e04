// What several tests demand of an answer.
import assert from "node:assert/strict";
import { decode } from "./payment.mjs";

/** The answer carries a receipt for `payer` whose transaction is on the chain. Returns the receipt. */
export async function assertReceipt({ chain }, headers, payer) {
  const receipt = headers.get("payment-response");
  assert.ok(receipt, "PAYMENT-RESPONSE is there");
  assert.equal(headers.get("x-payment-response"), receipt, "X-PAYMENT-RESPONSE is the same");
  const settled = decode(receipt);
  assert.equal(settled.success, true);
  assert.equal(settled.payer.toLowerCase(), payer.address.toLowerCase());
  assert.equal((await chain.client.getTransactionReceipt({ hash: settled.transaction })).status, "success");
  assert.match(headers.get("cache-control") ?? "", /\bprivate\b/);
  return settled;
}

/** The payer has paid `amount` to the gateway's receiver in one transfer, and nothing else. */
export async function assertPaidOnce({ chain, payTo }, payer, amount) {
  const transfers = await chain.transfersFrom(payer.address);
  assert.deepEqual(transfers.map(({ to, value }) => ({ to, value })), [{ to: payTo, value: amount }]);
}

export async function assertPaidNothing({ chain }, payer) {
  assert.deepEqual(await chain.transfersFrom(payer.address), []);
}

/** The request that reached the upstream shows nothing of how it was paid for. */
export function assertNoSecrets(request) {
  for (const name of ["payment-signature", "x-payment", "x-api-key", "authorization", "access-control-expose-headers"]) {
    assert.equal(request.headers[name], undefined, `the upstream does not see ${name}`);
  }
}

/** A refusal that tells a buyer how to go on. Returns the body. */
export async function assertRefused(response, reason) {
  assert.equal(response.status, 402);
  assert.match(response.headers.get("cache-control") ?? "", /\bno-store\b/);
  const body = await response.json();
  assert.equal(body.details.reason, reason);
  assert.match(body.purchaseUrl, /\/x402\/purchase/);
  return body;
}
