// A gateway that can look at the chain: what is proved there is paid, and nothing else is.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { assertPaidOnce, assertReceipt } from "./lib/asserts.mjs";
import { challengeOf, decode, encode, headersOf, sign } from "./lib/payment.mjs";
import { burn, cancel, rebuilt, submit } from "./lib/stranger.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path  = "/weather"
price = "$0.001"

[[routes]]
path  = "/data"
units = 1.0

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

let world;
before(async () => {
  world = await startWorld(TABLES, { onChain: true, facilitatorKeys: { settle_timeout: "2s", resolve_timeout: "3s" } });
});
after(() => world?.stop());
afterEach(() => world.facilitator.beforeNextSettle(undefined));

describe("a facilitator that settles and forgets", () => {
  let release = () => {};
  afterEach(() => release());

  for (const { target, price } of KINDS) {
    test(`leaves no doubt about ${target}: the first answer is the good one`, async () => {
      const { payer, url, headers } = await prepared(target);
      release = world.facilitator.holdFirstAnswer();

      const answer = await fetch(url, { headers });

      assert.equal(answer.status, 200);
      await assertReceipt(world, answer.headers, payer);
      await assertPaidOnce(world, payer, price);
    });
  }
});

describe("a payment that a stranger puts on the chain", () => {
  for (const { target, price } of KINDS) {
    test(`before it is presented for ${target} is served once`, async () => {
      const { payer, payload, url, headers } = await prepared(target);
      await submit(world.chain, payload);
      const hits = world.upstream.hits(CALL);

      const first = await fetch(url, { headers });
      const again = await fetch(url, { headers });

      assert.deepEqual([first.status, again.status], [200, 200]);
      const [one, two] = [await first.text(), await again.text()];
      assert.equal(one, two, "the same answer, or the same key");
      assert.equal(world.upstream.hits(CALL) - hits, target === CALL ? 1 : 0);
      await assertReceipt(world, first.headers, payer);
      await assertPaidOnce(world, payer, price);
    });

    test(`between verification and settlement of ${target} is served once`, async () => {
      const { payer, payload, url, headers } = await prepared(target);
      world.facilitator.beforeNextSettle(() => submit(world.chain, payload));

      const answer = await fetch(url, { headers });

      assert.equal(answer.status, 200);
      await assertReceipt(world, answer.headers, payer);
      await assertPaidOnce(world, payer, price);
    });
  }

  test("without a quote is not served: it may have been made for something else", async () => {
    const { payer, payload, url } = await prepared(CALL);
    await submit(world.chain, payload);
    const { extra, ...accepted } = payload.accepted;
    const { quote, ...rest } = extra;

    const answer = await fetch(url, { headers: headersOf({ ...payload, accepted: { ...accepted, extra: rest } }) });

    assert.equal(answer.status, 402);
    await assertPaidOnce(world, payer, 1_000n);
  });
});

describe("a nonce that its payer uses up", () => {
  for (const [how, act] of [["with a transfer to itself", burn], ["by cancelling", cancel]]) {
    for (const { target } of KINDS) {
      test(`${how} is never taken for a payment of ${target}`, async () => {
        const { payer, payload, url, headers } = await prepared(target);
        world.facilitator.beforeNextSettle(() => act(world.chain, payload, payer));

        const answer = await fetch(url, { headers });

        assert.equal(answer.status, 402);
        assert.equal(decode(answer.headers.get("payment-response")).success, false);
        assert.doesNotMatch(await answer.text(), /upstream|apiKey/);
        const again = await fetch(url, { headers });
        assert.equal(again.status, 402);
        assert.doesNotMatch(await again.text(), /upstream|apiKey/);
        const received = (await world.chain.transfersFrom(payer.address)).filter(({ to }) => to === world.payTo);
        assert.deepEqual(received, []);
      });
    }
  }

  test("before it is presented is refused", async () => {
    const { payer, payload, url, headers } = await prepared(CALL);
    await burn(world.chain, payload, payer);

    assert.equal((await fetch(url, { headers })).status, 402);
  });
});

describe("a payment rebuilt from the calldata of its transaction", () => {
  for (const { target, price } of KINDS) {
    test(`gets nothing of ${target}`, async () => {
      const { payer, url, headers } = await prepared(target);
      const bought = await fetch(url, { headers });
      const { transaction } = decode(bought.headers.get("payment-response"));
      const body = await bought.text();

      const stolen = await rebuilt(world.chain, transaction, await challengeOf(url));
      const { quote, ...bare } = stolen.accepted.extra;
      const asVersion1 = { x402Version: 1, scheme: "exact", network: "base", payload: stolen.payload };
      for (const attempt of [
        headersOf(stolen),
        headersOf({ ...stolen, accepted: { ...stolen.accepted, extra: bare } }),
        { "X-PAYMENT": encode(asVersion1) },
        { ...headersOf(stolen), "payment-identifier": "guessed_0123456789" },
      ]) {
        const answer = await fetch(url, { headers: attempt });
        assert.equal(answer.status, 409);
        const text = await answer.text();
        assert.equal(JSON.parse(text).details.reason, "payment_already_used");
        assert.doesNotMatch(text, /apiKey|"from":"upstream"/);
        assert.notEqual(text, body);
      }
      await assertPaidOnce(world, payer, price);
      assert.equal((await fetch(url, { headers })).status, 200, "the buyer still gets it");
    });
  }
});

async function prepared(target) {
  const url = world.url + target;
  const payer = await world.chain.newPayer();
  const payload = await sign(await challengeOf(url), payer);
  return { payer, payload, url, headers: headersOf(payload) };
}
