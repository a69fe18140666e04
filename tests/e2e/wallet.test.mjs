// A lost API key comes back to the wallet that paid, by x402's sign-in-with-x. The message is viem's own EIP-4361.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertPaidOnce } from "./lib/asserts.mjs";
import { challengeOf, headersOf, paidHeaders, sign } from "./lib/payment.mjs";
import { withKey } from "./lib/plan.mjs";
import { signInHeader } from "./lib/siwx.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path  = "/data"
units = 1.0

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"
`;

let world, trial, status;
before(async () => {
  world = await startWorld(TABLES);
  trial = `${world.url}/x402/purchase?plan=trial`;
  status = `${world.url}/x402/status`;
});
after(() => world?.stop());

const signedIn = (...who) => signInHeader(trial, ...who);

describe("a wallet that bought a plan", () => {
  test("gets the key again at both places, and pays once", async () => {
    const payer = await world.chain.newPayer();
    const bought = await (await fetch(trial, { headers: await paidHeaders(trial, payer) })).json();
    const calls = world.facilitator.paymentCalls();

    const again = await fetch(trial, { headers: await signedIn(payer) });
    const shown = await fetch(status, { headers: await signedIn(payer) });

    assert.equal(again.status, 200);
    assert.deepEqual(await again.json(), bought);
    assert.equal((await shown.json()).apiKey, bought.apiKey);
    assert.equal((await fetch(`${world.url}/data`, withKey(bought.apiKey))).status, 200);
    assert.equal(world.facilitator.paymentCalls(), calls, "nobody was asked about money");
    await assertPaidOnce(world, payer, 50_000n);
  });

  test("is not shown to another wallet, or to one that signs for another site", async () => {
    const [payer, other] = [await world.chain.newPayer(), await world.chain.newPayer()];
    await fetch(trial, { headers: await paidHeaders(trial, payer) });

    assert.equal((await fetch(trial, { headers: await signedIn(other) })).status, 402);
    const elsewhere = await signedIn(payer, { domain: "elsewhere.example.com" });
    assert.equal((await fetch(status, { headers: elsewhere })).status, 401);
    const borrowed = await signedIn(other, {}, payer.address);
    assert.equal((await fetch(status, { headers: borrowed })).status, 401);
  });
});

describe("a payment-identifier", () => {
  test("stands for one payment: the same again is answered, another is refused unpaid", async () => {
    const payer = await world.chain.newPayer();
    const named = async () => {
      const payload = await sign(await challengeOf(trial), payer);
      payload.extensions["payment-identifier"].info.id = "order_0123456789abcdef";
      return headersOf(payload);
    };
    const first = await named();

    const bought = await fetch(trial, { headers: first });
    const again = await fetch(trial, { headers: first });
    const other = await fetch(trial, { headers: await named() });

    assert.deepEqual([bought.status, again.status, other.status], [200, 200, 409]);
    assert.deepEqual(await again.json(), await bought.json());
    assert.equal((await other.json()).details.reason, "payment_identifier_conflict");
    await assertPaidOnce(world, payer, 50_000n);
  });
});
