// The same payment sent again: it buys one thing, once.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as v1 from "./clients/fetch_v1.mjs";
import { assertPaidOnce } from "./lib/asserts.mjs";
import { challengeOf, encode, headersOf, sign } from "./lib/payment.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path  = "/weather"
price = "$0.001"

[[routes]]
path  = "/other"
price = "$0.001"

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"

[[plans]]
name     = "twin"
price    = "$0.05"
units    = 9_000
duration = "30d"
`;

let world, weather, trial;
before(async () => {
  world = await startWorld(TABLES);
  weather = `${world.url}/weather`;
  trial = `${world.url}/x402/purchase?plan=trial`;
});
after(() => world?.stop());

describe("a call's payment", () => {
  test("that is sent again gets the same answer without a second charge", async () => {
    const { payer, headers } = await prepared(weather);
    const first = await fetch(weather, { headers });
    assert.equal(first.status, 200);

    await assertSame(first, await fetch(weather, { headers }));

    await assertServedOnce(payer);
  });

  test("that is sent twenty times at once buys one answer", async () => {
    const { payer, headers } = await prepared(weather);

    const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(weather, { headers })));

    const others = answers.filter(answer => answer.status !== 200);
    assert.equal(answers.length - others.length, 1);
    for (const answer of others) await assertConflict(answer);
    await assertServedOnce(payer);
  });

  test("is known again however it is written", async () => {
    const { payer, payload } = await prepared(weather);
    assert.equal((await fetch(weather, { headers: headersOf(payload) })).status, 200);
    const { signature, authorization } = payload.payload;
    const rewritten = {
      accepted: payload.accepted,
      payload: {
        authorization: { ...authorization, from: authorization.from.toLowerCase(), nonce: authorization.nonce.toUpperCase().replace("0X", "0x") },
        signature: signature.toUpperCase().replace("0X", "0x"),
      },
      resource: payload.resource,
      x402Version: 2,
    };
    const asVersion1 = { x402Version: 1, scheme: "exact", network: "base", payload: payload.payload };

    // The quote is there, so it is the buyer; without it the payment is public knowledge.
    assert.equal((await fetch(weather, { headers: headersOf(rewritten) })).status, 200);
    await assertConflict(await fetch(weather, { headers: { "X-PAYMENT": encode(asVersion1) } }));

    await assertServedOnce(payer);
  });

  test("of the old client is known again too", async () => {
    const payer = await newPayer();
    let payment;
    const spy = (input, init) => {
      payment = init?.headers?.["X-PAYMENT"] ?? payment;
      return fetch(input, init);
    };
    assert.equal((await v1.request(payer, weather, { transport: spy })).status, 200);

    await assertConflict(await fetch(weather, { headers: { "X-PAYMENT": payment } }));

    await assertServedOnce(payer);
  });

  test("does not open another route of the same price", async () => {
    const { payer, headers } = await prepared(weather);
    assert.equal((await fetch(weather, { headers })).status, 200);

    const elsewhere = await fetch(`${world.url}/other`, { headers });

    assert.ok([402, 409].includes(elsewhere.status), String(elsewhere.status));
    assert.equal(world.upstream.hits("/other"), 0);
    await assertServedOnce(payer);
  });
});

/** The stored answer: status, body and receipt are those of the first time. */
async function assertSame(first, again) {
  assert.equal(again.status, first.status);
  assert.equal(again.headers.get("payment-response"), first.headers.get("payment-response"));
  assert.equal(again.headers.get("idempotent-replayed"), "true");
  assert.equal(await again.text(), await first.text());
}

describe("a plan's payment", () => {
  test("that is sent again gives the same key without a second charge", async () => {
    const { payer, headers } = await prepared(trial);
    const first = await fetch(trial, { headers });
    assert.equal(first.status, 200);
    const balance = await world.chain.balanceOf(payer.address);

    const second = await fetch(trial, { headers });

    assert.equal(second.status, 200);
    assert.deepEqual(await second.json(), await first.json());
    assert.equal(await world.chain.balanceOf(payer.address), balance);
    assert.equal(world.facilitator.count("/settle"), 1);
    await assertPaidOnce(world, payer, 50_000n);
  });

  test("that is sent twenty times at once buys one key", async () => {
    const { payer, headers } = await prepared(trial);

    const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(trial, { headers })));

    const keys = new Set();
    for (const answer of answers) {
      // Who comes while the first is still being settled may be told to come again, but never to pay again.
      assert.ok([200, 409, 503].includes(answer.status), String(answer.status));
      if (answer.status === 200) keys.add((await answer.json()).apiKey);
    }
    assert.equal(keys.size, 1);
    assert.equal(world.facilitator.count("/settle"), 1);
    await assertPaidOnce(world, payer, 50_000n);
  });

  test("gives nothing to somebody who has only seen it on the chain", async () => {
    const { payload, headers } = await prepared(trial);
    assert.equal((await fetch(trial, { headers })).status, 200);
    // All but the quote is public once the payment is settled.
    const { accepts: [stranger] } = await challengeOf(trial);

    const answer = await fetch(trial, { headers: headersOf({ ...payload, accepted: stranger }) });

    assert.notEqual(answer.status, 200);
    assert.ok(!(await answer.text()).includes("tg_live_"));
  });

  test("does not buy another plan of the same price", async () => {
    const { payer, headers } = await prepared(trial);
    world.facilitator.forget();

    const answer = await fetch(`${world.url}/x402/purchase?plan=twin`, { headers });

    assert.equal(answer.status, 402);
    assert.equal(world.facilitator.paymentCalls(), 0);
    // And it has not been spent by the attempt.
    assert.equal((await fetch(trial, { headers })).status, 200);
    await assertPaidOnce(world, payer, 50_000n);
  });
});

async function prepared(url) {
  const payer = await newPayer();
  const payload = await sign(await challengeOf(url), payer);
  return { payer, payload, headers: headersOf(payload) };
}

function newPayer() {
  world.upstream.requests.splice(0);
  world.facilitator.forget();
  return world.chain.newPayer();
}

async function assertConflict(answer) {
  assert.equal(answer.status, 409);
  assert.match(answer.headers.get("cache-control"), /\bno-store\b/);
  assert.equal(answer.headers.get("payment-required"), null, "no invitation to pay again");
  assert.equal((await answer.json()).code, 409);
}

async function assertServedOnce(payer) {
  assert.equal(world.upstream.hits("/weather"), 1);
  assert.equal(world.facilitator.count("/settle"), 1);
  await assertPaidOnce(world, payer, 1_000n);
}
