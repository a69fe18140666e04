// A plan is bought, and its key used.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { clients } from "./clients/all.mjs";
import * as v2 from "./clients/fetch_v2.mjs";
import { assertNoSecrets, assertPaidNothing, assertPaidOnce, assertReceipt, assertRefused } from "./lib/asserts.mjs";
import { challengeOf, decode } from "./lib/payment.mjs";
import { buyPlan, withKey } from "./lib/plan.mjs";
import { until } from "./lib/until.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path  = "/data/{rest...}"
units = 1.0

[[routes]]
path  = "/cheap"
units = 0.25

[[routes]]
path  = "/status/{code}"
units = 1.0

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"

[[plans]]
name     = "nano"
price    = "$5"
units    = 500_000
duration = "30d"

[[plans]]
name     = "tiny"
price    = "$0.01"
units    = 3
duration = "1d"

[[plans]]
name     = "blink"
price    = "$0.02"
duration = "2s"
`;

let world;
before(async () => {
  world = await startWorld(TABLES);
});
after(() => world?.stop());

describe("a plan is bought", () => {
  for (const client of clients) {
    test(`${client.name} buys the trial plan and its key works at once`, async () => {
      const { chain, upstream } = world;
      const payer = await chain.newPayer();
      upstream.requests.splice(0);
      const asked = Date.now();

      const response = await client.request(payer, `${world.url}/x402/purchase?plan=trial`);

      assert.equal(response.status, 200, response.body);
      const sale = JSON.parse(response.body);
      const { expiresAt, txHash, apiKey, address, ...rest } = sale;
      assert.deepEqual(rest, { status: "ok", plan: "trial", chain: "evm" });
      assert.equal(address.toLowerCase(), payer.address.toLowerCase());
      assert.match(expiresAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assertBetween(Date.parse(expiresAt), asked + 30 * 86_400_000 - 2_000, Date.now() + 30 * 86_400_000 + 2_000);
      assert.match(apiKey, /^tg_live_[0-9A-Za-z]{20,}$/);
      assert.match(response.headers.get("cache-control"), /\bno-store\b/);
      const receipt = await assertReceipt(world, response.headers, payer);
      assert.equal(receipt.transaction, txHash);
      await assertPaidOnce(world, payer, 50_000n);

      const used = await fetch(`${world.url}/data/first`, withKey(apiKey));
      assert.equal(used.status, 200);
      assert.equal(upstream.requests.length, 1);
      const [seen] = upstream.requests;
      assertNoSecrets(seen);
      assert.equal(seen.headers["x-tollgate-plan"], "trial");
      assert.equal(seen.headers["x-tollgate-payer"].toLowerCase(), payer.address.toLowerCase());
    });
  }

  test("a dear plan is refused by a careful client and sold to one with a higher cap", async () => {
    const payer = await world.chain.newPayer();
    const url = `${world.url}/x402/purchase?plan=nano`;
    world.facilitator.forget();

    await assert.rejects(v2.request(payer, url), /spend|amount|cap|max/i);
    assert.equal(world.facilitator.paymentCalls(), 0);
    await assertPaidNothing(world, payer);

    const response = await v2.request(payer, url, { maxAmountPerPayment: "$10" });
    assert.equal(response.status, 200, response.body);
    assert.equal(JSON.parse(response.body).plan, "nano");
    await assertPaidOnce(world, payer, 5_000_000n);
  });

  test("POST buys as well as GET", async () => {
    const payer = await world.chain.newPayer();

    const response = await v2.request(payer, `${world.url}/x402/purchase?plan=trial`, { method: "POST" });

    assert.equal(response.status, 200, response.body);
    assert.match(JSON.parse(response.body).apiKey, /^tg_live_/);
  });

  test("the offer names the plan and its price", async () => {
    const challenge = await challengeOf(`${world.url}/x402/purchase?plan=trial`);

    assert.equal(challenge.resource.url, `${world.url}/x402/purchase?plan=trial`);
    assert.match(challenge.resource.description, /trial/);
    assert.equal(challenge.accepts[0].amount, "50000");
  });

  test("a plan that is missing, unknown or named twice is an error and no offer", async () => {
    for (const query of ["", "?plan=", "?plan=platinum", "?plan=trial&plan=nano"]) {
      const response = await fetch(`${world.url}/x402/purchase${query}`);
      assert.ok([400, 404].includes(response.status), `${query}: ${response.status}`);
      assert.equal(response.headers.get("payment-required"), null);
    }
  });

  test("the plans are listed for nothing, in the order of the file", async () => {
    const response = await fetch(`${world.url}/x402/pricing`);

    assert.equal(response.status, 200);
    const { plans, currency } = await response.json();
    assert.equal(currency, "USD");
    assert.deepEqual(plans.map(plan => [plan.name, plan.priceUsd, plan.quotaTotal, plan.durationDays]).slice(0, 3), [
      ["trial", 0.05, 1_000, 30],
      ["nano", 5, 500_000, 30],
      ["tiny", 0.01, 3, 1],
    ]);
  });
});

describe("a key is used", () => {
  test("as X-API-KEY and as a bearer token", async () => {
    const key = await buyPlan(world, "trial");

    for (const headers of [{ "X-API-KEY": key }, { Authorization: `Bearer ${key}` }]) {
      world.upstream.requests.splice(0);
      assert.equal((await fetch(`${world.url}/data/both`, { headers })).status, 200);
      assertNoSecrets(world.upstream.requests[0]);
    }
  });

  test("a hundred times at once, and every use is counted", async () => {
    const key = await buyPlan(world, "trial");
    assert.deepEqual((await statusOf(key)).quota, { used: 0, total: 1_000 });

    const answers = await Promise.all(
      Array.from({ length: 100 }, () => fetch(`${world.url}/cheap`, withKey(key)).then(answer => answer.status)),
    );

    assert.deepEqual(answers, Array(100).fill(200));
    const status = await statusOf(key);
    assert.deepEqual(status.quota, { used: 25, total: 1_000 });
    assert.equal(status.plan, "trial");
    assert.equal(status.active, true);
    assert.match(status.expiresAt, /^\d{4}-.*\.\d{3}Z$/);
  });

  test("until its units are used up, and not beyond, however many ask at once", async () => {
    const key = await buyPlan(world, "tiny");
    world.upstream.requests.splice(0);

    const answers = await Promise.all(Array.from({ length: 10 }, () => fetch(`${world.url}/data/x`, withKey(key))));

    const refused = answers.filter(answer => answer.status !== 200);
    assert.equal(answers.length - refused.length, 3);
    assert.equal(world.upstream.hits("/data/x"), 3);
    for (const answer of refused) await assertRefused(answer, "quota_exhausted");
    assert.deepEqual((await statusOf(key)).quota, { used: 3, total: 3 });
  });

  test("and a call that the upstream failed costs no units", async () => {
    const key = await buyPlan(world, "tiny");

    assert.equal((await fetch(`${world.url}/status/500`, withKey(key))).status, 500);

    await until("the unit is given back", async () => (await statusOf(key)).quota.used === 0);
  });

  test("until its plan has run out", async () => {
    const key = await buyPlan(world, "blink");
    const use = () => fetch(`${world.url}/data/blink`, withKey(key));
    assert.equal((await use()).status, 200);

    const refusal = await until("the plan runs out", async () => {
      const answer = await use();
      return answer.status === 402 && answer;
    });

    await assertRefused(refusal, "expired_api_key");
  });

  test("and an unknown one is told from none", async () => {
    const real = await buyPlan(world, "trial");
    const forged = real.slice(0, -1) + (real.endsWith("A") ? "B" : "A");
    const ask = headers => fetch(`${world.url}/data/forged`, { headers });
    world.upstream.requests.splice(0);

    await assertRefused(await ask({ "X-API-KEY": forged }), "invalid_api_key");
    await assertRefused(await ask({ "X-API-KEY": "tg_live_nonsense" }), "invalid_api_key");
    await assertRefused(await ask({}), "missing_credentials");
    assert.equal(world.upstream.requests.length, 0);
  });

  test("and is never written to the log", async () => {
    const payer = await world.chain.newPayer();
    let payment;
    const spy = (input, init) => {
      payment = new Request(input, init).headers.get("payment-signature") ?? payment;
      return fetch(input, init);
    };
    const response = await v2.request(payer, `${world.url}/x402/purchase?plan=trial`, { transport: spy });
    const { apiKey } = JSON.parse(response.body);
    await fetch(`${world.url}/data/log`, withKey(apiKey));

    const log = world.gateway.log();
    assert.ok(!log.includes(apiKey), "the key");
    assert.ok(!log.includes(payment), "the payment header");
    assert.ok(!log.includes(decode(payment).payload.signature), "the signature");
  });
});

async function statusOf(key) {
  const response = await fetch(`${world.url}/x402/status`, withKey(key));
  assert.equal(response.status, 200);
  return response.json();
}

function assertBetween(value, lowest, highest) {
  assert.ok(lowest <= value && value <= highest, `${lowest} <= ${value} <= ${highest}`);
}
