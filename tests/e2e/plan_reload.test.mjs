// What a changed file means for plans: those that are quoted, those that are sold, and what they are spent on.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import * as v2 from "./clients/fetch_v2.mjs";
import { assertPaidOnce } from "./lib/asserts.mjs";
import { challengeOf, headersOf, sign } from "./lib/payment.mjs";
import { purchase, statusOf, withKey } from "./lib/plan.mjs";
import { until } from "./lib/until.mjs";
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
rate     = "1000/s"

[[plans]]
name     = "other"
price    = "$0.10"
duration = "30d"
`;
const CHANGED = TABLES.replace('"$0.05"', '"$0.09"')
  .replace("1_000", "500")
  .replace('"30d"', '"1d"')
  .replace('"1000/s"', '"7/s"');
const REMOVED = TABLES.replace(/\[\[plans\]\]\nname {5}= "trial"[^[]*/, "");

const DAY_MS = 86_400_000;

let world, trial;
before(async () => {
  world = await startWorld(TABLES);
  trial = `${world.url}/x402/purchase?plan=trial`;
});
after(() => world?.stop());
beforeEach(() => becomes(TABLES, { trial: 0.05, other: 0.1 }));

/** Writes the file and waits until the plans are sold at these prices. */
async function becomes(tables, prices) {
  world.gateway.edit(() => tables);
  await until("the file is in force", async () => {
    const { plans } = await (await fetch(`${world.url}/x402/pricing`)).json();
    const seen = Object.fromEntries(plans.map(plan => [plan.name, plan.priceUsd]));
    return JSON.stringify(seen) === JSON.stringify(prices);
  });
}

const quoted = { units: 1_000, rate: "1000/s", days: 30 };
const offered = { units: 500, rate: "7/s", days: 1 };

async function assertHas(key, { units, rate, days }) {
  const status = await statusOf(world, withKey(key));
  assert.deepEqual([status.plan, status.quota.total, status.rate, status.active], ["trial", units, rate, true]);
  assert.ok(Math.abs(Date.parse(status.expiresAt) - Date.now() - days * DAY_MS) < 60_000);
}

describe("a plan that changes between the quote and the payment", () => {
  test("is sold to the real client as it was quoted: price, units, duration and rate", async () => {
    const payer = await world.chain.newPayer();
    const spy = async (input, init) => {
      const paid = new Request(input, init).headers.has("payment-signature");
      if (paid) await becomes(CHANGED, { trial: 0.09, other: 0.1 });
      return fetch(input, init);
    };

    const answer = await v2.request(payer, trial, { transport: spy });

    assert.equal(answer.status, 200, answer.body);
    await assertPaidOnce(world, payer, 50_000n);
    await assertHas(JSON.parse(answer.body).apiKey, quoted);
  });

  test("is sold to the next buyer as it is now", async () => {
    await becomes(CHANGED, { trial: 0.09, other: 0.1 });
    const payer = await world.chain.newPayer();

    const { apiKey } = await purchase(world, "trial", payer);

    await assertPaidOnce(world, payer, 90_000n);
    await assertHas(apiKey, offered);
  });

  test("is sold as it was quoted though it is gone, and to nobody else", async () => {
    const payer = await world.chain.newPayer();
    const payment = await sign(await challengeOf(trial), payer);
    await becomes(REMOVED, { other: 0.1 });
    assert.equal((await fetch(trial)).status, 404);

    const answer = await fetch(trial, { headers: headersOf(payment) });

    assert.equal(answer.status, 200);
    await assertPaidOnce(world, payer, 50_000n);
    await assertHas((await answer.json()).apiKey, quoted);
  });
});

describe("a plan that was sold", () => {
  test("keeps what was sold, whatever becomes of the plan in the file", async () => {
    const { apiKey } = await purchase(world, "trial", await world.chain.newPayer());
    for (const [tables, prices] of [[CHANGED, { trial: 0.09, other: 0.1 }], [REMOVED, { other: 0.1 }]]) {
      await becomes(tables, prices);
      await assertHas(apiKey, quoted);
      assert.equal((await fetch(`${world.url}/data`, withKey(apiKey))).status, 200);
    }
    assert.equal((await fetch(trial)).status, 404);

    // Not only what is in memory.
    await world.gateway.stop();
    await world.gateway.start();
    await assertHas(apiKey, quoted);
    assert.deepEqual((await statusOf(world, withKey(apiKey))).quota, { used: 2, total: 1_000 });
    assert.equal((await fetch(`${world.url}/data`, withKey(apiKey))).status, 200);
  });

  test("is spent at the units of now, while calls go on, and every call at what it was told", async () => {
    const { apiKey } = await purchase(world, "other", await world.chain.newPayer());
    const costs = [];
    let changing = true;
    const calling = Array.from({ length: 4 }, async () => {
      while (changing) {
        const answer = await fetch(`${world.url}/data`, withKey(apiKey));
        assert.equal(answer.status, 200);
        costs.push(Number(answer.headers.get("x-units-cost")));
      }
    });
    const stopped = Promise.all(calling);

    try {
      for (const units of ["0.25", "0.5"]) {
        world.gateway.edit(() => TABLES.replace("units = 1.0", `units = ${units}`));
        await until(`a call costs ${units}`, () => costs.at(-1) === Number(units));
      }
    } finally {
      changing = false;
      await stopped;
    }

    const sum = costs.reduce((sum, cost) => sum + cost, 0);
    assert.deepEqual((await statusOf(world, withKey(apiKey))).quota, { used: sum, total: -1 });
    assert.deepEqual([...new Set(costs)].sort(), [0.25, 0.5, 1]);
  });
});
