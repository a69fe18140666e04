// The money has moved but the gateway was not told: the same payment, sent again, gets what it paid for.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import * as v1 from "./clients/fetch_v1.mjs";
import { assertPaidOnce, assertReceipt } from "./lib/asserts.mjs";
import { paidHeaders } from "./lib/payment.mjs";
import { withKey } from "./lib/plan.mjs";
import { until } from "./lib/until.mjs";
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

const IMPATIENT = { facilitatorKeys: { settle_timeout: "1s", resolve_timeout: "2s" } };

describe("a facilitator that settles but answers too late", () => {
  const current = worldFor(TABLES, IMPATIENT);
  let release = () => {};
  afterEach(() => release());

  test("leaves a call in doubt until the same payment is sent again", async () => {
    const world = current();
    const { payer, headers, url } = await prepared(world, "/weather");
    world.facilitator.rememberSettlements();
    release = world.facilitator.holdAnswers();

    await assertInDoubt(await fetch(url, { headers }));
    await assertPaidOnce(world, payer, 1_000n);
    release();
    const answer = await resolved(url, headers);

    await assertReceipt(world, answer.headers, payer);
    assert.equal((await answer.json()).from, "upstream");
    await assertPaidOnce(world, payer, 1_000n);
    assert.equal((await fetch(url, { headers })).status, 200);
    assert.equal(world.upstream.hits("/weather"), 1, "what it said the first time was kept");
  });

  test("leaves a purchase in doubt until the same payment is sent again", async () => {
    const world = current();
    const { payer, headers, url } = await prepared(world, "/x402/purchase?plan=trial");
    world.facilitator.rememberSettlements();
    release = world.facilitator.holdAnswers();

    await assertInDoubt(await fetch(url, { headers }));
    await assertPaidOnce(world, payer, 50_000n);
    release();
    const answer = await resolved(url, headers);

    const { apiKey } = await answer.json();
    assert.equal((await fetch(`${world.url}/data`, withKey(apiKey))).status, 200);
    await assertPaidOnce(world, payer, 50_000n);
  });
});

describe("a facilitator that waits for the chain", () => {
  const current = worldFor(TABLES, IMPATIENT);
  afterEach(() => current().facilitator.delayConfirmations(false));

  for (const { target, price } of [
    { target: "/weather", price: 1_000n },
    { target: "/x402/purchase?plan=trial", price: 50_000n },
  ]) {
    test(`leaves ${target} in doubt until the transaction is confirmed`, async () => {
      const world = current();
      const { payer, headers, url } = await prepared(world, target);
      world.facilitator.delayConfirmations(true);

      await assertInDoubt(await fetch(url, { headers }));
      world.facilitator.delayConfirmations(false);
      const answer = await resolved(url, headers);

      await assertReceipt(world, answer.headers, payer);
      await assertPaidOnce(world, payer, price);
    });
  }

  // Of version 1 the packages name no transaction then, and give the exception's words for a reason.
  test("never makes the gateway ask the old client for a second payment", async () => {
    const world = current();
    const payer = await world.chain.newPayer();
    world.facilitator.delayConfirmations(true);

    const { status, headers, body } = await v1.request(payer, `${world.url}/weather`);

    assert.equal(status, 503, body);
    assert.match(headers.get("retry-after"), /^\d+$/);
    await assertPaidOnce(world, payer, 1_000n);
  });
});

describe("a facilitator that has forgotten what it settled", () => {
  const current = worldFor(TABLES, IMPATIENT);
  let release = () => {};
  afterEach(() => release());

  test("never makes the gateway ask for a second payment", async () => {
    const world = current();
    const { payer, headers, url } = await prepared(world, "/weather");
    release = world.facilitator.holdAnswers();
    await assertInDoubt(await fetch(url, { headers }));
    release();

    // "Nonce already used" is no proof that we were paid, nor that we were not.
    await assertInDoubt(await fetch(url, { headers }));
    await assertPaidOnce(world, payer, 1_000n);
  });
});

/** A world for the tests of one suite. Returns a function, since it exists only once they run. */
function worldFor(tables, options) {
  let world;
  before(async () => {
    world = await startWorld(tables, options);
  });
  after(() => world?.stop());
  return () => world;
}

async function prepared(world, target) {
  const url = world.url + target;
  const payer = await world.chain.newPayer();
  return { payer, url, headers: await paidHeaders(url, payer) };
}

async function assertInDoubt(answer) {
  assert.equal(answer.status, 503);
  assert.match(answer.headers.get("retry-after"), /^\d+$/);
  assert.match(answer.headers.get("cache-control"), /\bno-store\b/);
  assert.equal(answer.headers.get("payment-required"), null, "no invitation to pay again");
  const body = await answer.json();
  assert.equal(body.code, 503);
  assert.ok(body.details.reason);
  assert.ok(body.details.paymentId);
}

/** The answer to the same payment once the gateway knows; until then it may say 503. */
function resolved(url, headers) {
  return until("the payment is known to have arrived", async () => {
    const answer = await fetch(url, { headers });
    if (answer.status === 503) return undefined;
    assert.equal(answer.status, 200);
    return answer;
  }, { withinMs: 15_000, everyMs: 200 });
}
