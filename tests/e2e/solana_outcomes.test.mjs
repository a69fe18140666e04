// Paid on Solana, and something goes wrong half way: nobody pays twice, and nobody pays for nothing.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { clients } from "./clients/solana.mjs";
import { decode, headersOf } from "./lib/payment.mjs";
import { assertInDoubt, assertPaidNothing, assertPaidOnce, assertReceipt, offered, startSolanaWorld } from "./lib/solana.mjs";
import { asVersion1, prepare } from "./lib/svm_payment.mjs";
import { until } from "./lib/until.mjs";

const TABLES = `
[[routes]]
path  = "/weather"
price = "$0.001"

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"
`;
const CALL = "/weather";
const PLAN = "/x402/purchase?plan=trial";
const KINDS = [
  { target: CALL, price: 1_000n },
  { target: PLAN, price: 50_000n },
];
const IMPATIENT = { facilitatorKeys: { settle_timeout: "1s", resolve_timeout: "1s" } };

describe("a gateway that can look at the chain", () => {
  const current = worldFor({ ...IMPATIENT, onChain: true });

  for (const { target, price } of KINDS) {
    test(`finds the payment of ${target} whose facilitator died after it had sent it`, async () => {
      const world = current();
      const { payer, url, headers } = await prepared(world, target);
      world.facilitator.beforeNextSettle(world.facilitator.stop);

      const answer = await fetch(url, { headers });

      assert.equal(answer.status, 200);
      await assertSold(world, answer, payer, price);
      assert.ok(world.chain.rpc.asked.includes("getSignaturesForAddress"), "it has looked itself");
      assert.ok(world.chain.rpc.asked.includes("getTransaction"));
    });

    test(`finds the payment of ${target} that is sent and not confirmed`, async () => {
      const world = current();
      const { payer, url, headers } = await prepared(world, target);
      world.facilitator.delayConfirmations(true);

      const answer = await fetch(url, { headers });

      assert.equal(answer.status, 200);
      await assertSold(world, answer, payer, price);
    });

    test(`serves ${target} once if somebody else had it settled before it came here`, async () => {
      const world = current();
      const { payer, payload, url, headers } = await prepared(world, target);
      assert.equal((await world.facilitator.settleElsewhere(payload)).success, true);

      const [first, again] = [await fetch(url, { headers }), await fetch(url, { headers })];

      assert.deepEqual([first.status, again.status], [200, 200]);
      await assertSold(world, first, payer, price);
      assert.equal(again.headers.get("payment-response"), first.headers.get("payment-response"));
      assert.equal(world.upstream.hits(CALL), target === CALL ? 1 : 0);
    });

    test(`serves ${target} if somebody else has it settled between its verification and its settlement`, async () => {
      const world = current();
      const { payer, payload, url, headers } = await prepared(world, target);
      world.facilitator.beforeNextSettle(() => world.facilitator.settleElsewhere(payload));

      const answer = await fetch(url, { headers });

      assert.equal(answer.status, 200);
      await assertSold(world, answer, payer, price);
    });

    test(`gives nothing of ${target} for a blockhash that grows too old before the settlement`, async () => {
      const world = current();
      const { payer, url, headers } = await prepared(world, target);
      world.facilitator.beforeNextSettle(() => world.chain.expire());

      await assertNotSold(await fetch(url, { headers }));
      assertPaidNothing(world, payer);
    });

    test(`gives nothing of ${target} to a payer who spends the money before the settlement`, async () => {
      const world = current();
      const { payer, url, headers } = await prepared(world, target);
      world.facilitator.beforeNextSettle(() => world.chain.setBalance(payer.address, price - 1n));

      await assertNotSold(await fetch(url, { headers }));
      assertPaidNothing(world, payer);
    });

    test(`knows at last that the payment of ${target} was lost on its way, whatever else its payer has paid`, async () => {
      const world = current();
      const { payer, url, headers } = await prepared(world, target);
      assert.equal((await pay(world, target, payer)).status, 200);
      world.facilitator.delayConfirmations(true);
      world.chain.dropTransactions(true);

      await assertInDoubt(await fetch(url, { headers }));
      await assertInDoubt(await fetch(url, { headers }));
      world.chain.expire(200);
      const answer = await until("the chain is past the payment", async () => {
        const answer = await fetch(url, { headers });
        return answer.status === 503 ? undefined : answer;
      });

      await assertNotSold(answer);
      await assertPaidOnce(world, payer, price);
      await recovered(world);
      assert.equal((await pay(world, target, payer)).status, 200);
      assert.equal(world.chain.transfersFrom(payer.address).length, 2);
    });
  }

  test("does not ask for a second payment when the old client's is sent and not confirmed", async () => {
    const world = current();
    const payer = await world.chain.newPayer();
    world.facilitator.delayConfirmations(true);

    const answer = await clients[1].request(world.chain, payer, world.url + CALL);

    assert.equal(answer.status, 200, answer.body);
    assertReceipt(world, answer.headers, payer);
    await assertPaidOnce(world, payer, 1_000n);
  });

  test("does not serve a payment without a quote that was on the chain before: it may be for something else", async () => {
    const world = current();
    const { payer, payload, url } = await prepared(world, CALL);
    await world.facilitator.settleElsewhere(payload);
    const { extra: { quote, ...extra }, ...accepted } = payload.accepted;

    for (const headers of [headersOf({ ...payload, accepted: { ...accepted, extra } }), asVersion1(payload)]) {
      assert.ok([402, 409].includes((await fetch(url, { headers })).status));
    }
    assert.equal(world.upstream.hits(CALL), 0);
  });
});

describe("a gateway that cannot look at the chain", () => {
  const current = worldFor(IMPATIENT);

  for (const { target, price } of KINDS) {
    test(`has a payment of ${target} kept whose facilitator dies between verification and settlement`, async () => {
      const world = current();
      const { payer, url, headers } = await prepared(world, target);
      world.facilitator.afterNextVerify(world.facilitator.stop);

      const answer = await fetch(url, { headers });

      assert.equal(answer.status, 503);
      assert.equal(answer.headers.get("payment-required"), null, "no invitation to pay again");
      assertPaidNothing(world, payer);
      await recovered(world);
      await assertSold(world, await fetch(url, { headers }), payer, price);
    });

    test(`waits with ${target} until the transaction is confirmed`, async () => {
      const world = current();
      const { payer, url, headers } = await prepared(world, target);
      world.facilitator.delayConfirmations(true);
      await assertInDoubt(await fetch(url, { headers }));
      await assertPaidOnce(world, payer, price);

      world.facilitator.delayConfirmations(false);
      const answer = await until("the payment is known to have arrived", async () => {
        const answer = await fetch(url, { headers });
        return answer.status === 503 ? undefined : answer;
      });

      await assertSold(world, answer, payer, price);
    });

    test(`never asks for a second payment of ${target} when its facilitator died after it had sent the first`, async () => {
      const world = current();
      const { payer, url, headers } = await prepared(world, target);
      world.facilitator.beforeNextSettle(world.facilitator.stop);

      await assertInDoubt(await fetch(url, { headers }));
      await recovered(world);
      await assertInDoubt(await fetch(url, { headers }));

      await assertPaidOnce(world, payer, price);
    });
  }

  test("never asks for a second payment when the old client's is sent and not confirmed", async () => {
    const world = current();
    const { payer, payload, url } = await prepared(world, CALL);
    world.facilitator.delayConfirmations(true);

    await assertInDoubt(await fetch(url, { headers: asVersion1(payload) }));
    const again = await fetch(url, { headers: asVersion1(payload) });

    assert.ok([409, 503].includes(again.status), String(again.status));
    await assertPaidOnce(world, payer, 1_000n);
  });
});

describe("a facilitator with several fee payers", () => {
  const current = worldFor({});

  test("may name another one at any time: a payment for the first is still good", async () => {
    const world = current();
    const first = await offered(world.url);
    const { payer, url, headers } = await prepared(world, CALL);
    const named = new Set();
    while (named.size < 2) {
      const { kinds } = await (await fetch(`${world.facilitator.url}/supported`)).json();
      named.add(kinds.find(({ x402Version }) => x402Version === 2).extra.feePayer);
    }
    const lamports = world.chain.lamportsOf(first);

    assert.equal((await fetch(url, { headers })).status, 200);

    assert.equal(await offered(world.url), first);
    assert.ok(world.chain.lamportsOf(first) < lamports, "it has paid the fee");
    await assertPaidOnce(world, payer, 1_000n);
  });

  test("may drop the one that was named: nobody is charged, and the next challenge has another", async () => {
    const world = current();
    const gone = await offered(world.url);
    const { payer, url, headers } = await prepared(world, CALL);
    const left = world.facilitator.feePayers.find(address => address !== gone);
    world.facilitator.onlyFeePayer(left);

    assert.equal((await fetch(url, { headers })).status, 402);
    await world.gateway.stop();
    await world.gateway.start();
    await until("the facilitator's new word is known", async () => await offered(world.url) === left);
    assert.equal((await fetch(url, { headers })).status, 402);
    assertPaidNothing(world, payer);
    assert.equal((await pay(world, CALL, payer)).status, 200);
    await assertPaidOnce(world, payer, 1_000n);
  });
});

/** A world for the tests of one suite, in order again after each. Returns a function, since it exists only once they run. */
function worldFor(options) {
  let world;
  before(async () => {
    world = await startSolanaWorld(TABLES, options);
  });
  afterEach(() => recovered(world));
  after(() => world?.stop());
  return () => world;
}

async function recovered({ chain, facilitator }) {
  facilitator.beforeNextSettle(undefined);
  facilitator.afterNextVerify(undefined);
  facilitator.delayConfirmations(false);
  chain.dropTransactions(false);
  await facilitator.start().catch(() => {});
}

async function prepared(world, target) {
  world.upstream.requests.splice(0);
  world.chain.rpc.asked.splice(0);
  return prepare(world, target, await world.chain.newPayer());
}

async function pay(world, target, payer) {
  const { url, headers } = await prepare(world, target, payer);
  return fetch(url, { headers });
}

async function assertSold(world, answer, payer, price) {
  assert.equal(answer.status, 200);
  assertReceipt(world, answer.headers, payer);
  assert.match(await answer.text(), /"from":"upstream"|tg_live_/);
  await assertPaidOnce(world, payer, price);
}

async function assertNotSold(answer) {
  assert.equal(answer.status, 402);
  const receipt = answer.headers.get("payment-response");
  if (receipt) assert.equal(decode(receipt).success, false);
  assert.doesNotMatch(await answer.text(), /"from":"upstream"|tg_live_/);
}
