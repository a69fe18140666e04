// What must be true after any failure: who has paid was served, who was not served has not paid, and nobody paid twice.
import assert from "node:assert/strict";
import { startChild } from "./child.mjs";
import { withKey } from "./plan.mjs";
import { decode } from "./payment.mjs";
import { tollgateBin } from "./paths.mjs";
import { until } from "./until.mjs";

const START = 10_000_000n;
const sum = amounts => amounts.reduce((total, amount) => total + amount, 0n);

/** `wasted` calls were made of the upstream although their payments were refused after it had answered. */
export async function reckon(shop, deals, { wasted = 0 } = {}) {
  const served = deals.filter(({ answer }) => answer.status === 200);
  const refused = deals.filter(({ answer }) => answer.status === 402);
  assert.equal(served.length + refused.length, deals.length, "each is served or refused in the end");
  await assertOnChain(shop, deals);

  const payers = new Set(deals.map(({ payer }) => payer));
  for (const payer of payers) {
    const spent = sum(served.filter(deal => deal.payer === payer).map(({ price }) => price));
    assert.equal(await shop.chain.balanceOf(payer.address), START - spent);
  }
  assert.equal(await shop.chain.balanceOf(shop.payTo), sum(served.map(({ price }) => price)));

  const booked = await until("the books are closed", async () => {
    const rows = await books(shop);
    return rows.every(({ outcome }) => outcome !== "open") && rows.filter(({ outcome }) => outcome === "paid");
  }, { withinMs: 15_000, everyMs: 250 });
  const fact = ({ transaction, amount }) => `${transaction} ${amount}`;
  const paid = served.map(({ answer, price }) => fact({ transaction: receiptOf(answer).transaction, amount: price }));
  const inBooks = booked.map(row => fact({ transaction: row.transaction, amount: row.amount_atomic }));
  assert.deepEqual(inBooks.sort(), paid.sort(), "the books have what was served, and nothing else");

  const calls = served.filter(({ plan }) => !plan).length;
  assert.equal(shop.upstream.requests.length, calls + wasted, "the upstream worked for the answers that were served");
  await assertKeys(shop, served.filter(({ plan }) => plan));
}

/** An authorization is used for the receipt that its buyer has, or not at all. */
async function assertOnChain({ chain, payTo }, deals) {
  for (const payer of new Set(deals.map(({ payer }) => payer))) {
    const [uses, transfers] = [await chain.usesBy(payer.address), await chain.transfersFrom(payer.address)];
    for (const { answer, nonce, price } of deals.filter(deal => deal.payer === payer)) {
      const used = uses.get(nonce);
      assert.equal(used, answer.status === 200 ? receiptOf(answer).transaction : undefined);
      const moved = transfers.filter(({ transactionHash }) => transactionHash === used);
      if (used) assert.deepEqual(moved.map(({ to, value }) => ({ to, value })), [{ to: payTo, value: price }]);
      uses.delete(nonce);
    }
    assert.equal(uses.size, 0, "nothing else of the payer's was used");
  }
}

const receiptOf = ({ headers }) => decode(headers.get("payment-response"));

async function assertKeys(shop, plans) {
  const keys = plans.map(({ answer }) => JSON.parse(answer.body).apiKey);
  assert.equal(new Set(keys).size, plans.length, "each plan has a key of its own");
  const before = shop.upstream.requests.length;
  for (const key of keys) assert.equal((await fetch(`${shop.url}/data`, withKey(key))).status, 200);
  assert.equal(shop.upstream.requests.length - before, keys.length);
}

/** Every payment in the books. */
export async function books({ gateway }) {
  const args = ["payments", "export", gateway.file, "--format", "json"];
  const child = startChild(tollgateBin, args, { cwd: gateway.dir, env: { ...process.env, TEST_RPC_URL: "http://127.0.0.1:1" } });
  const { code } = await child.ended;
  assert.equal(code, 0, child.output);
  return child.output.split("\n").filter(line => line.startsWith("{")).map(line => JSON.parse(line));
}
