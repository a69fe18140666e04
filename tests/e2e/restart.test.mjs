// The gateway dies without a word and is started again on the same folder.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { assertPaidOnce, assertRefused } from "./lib/asserts.mjs";
import { paidHeaders } from "./lib/payment.mjs";
import { buyPlan, withKey } from "./lib/plan.mjs";
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

[[plans]]
name     = "tiny"
price    = "$0.01"
units    = 3
duration = "1d"
`;

let world, weather, trial;
let release = () => {};
before(async () => {
  world = await startWorld(TABLES);
  weather = `${world.url}/weather`;
  trial = `${world.url}/x402/purchase?plan=trial`;
});
after(() => world?.stop());
afterEach(() => release());

async function crash() {
  await world.gateway.kill();
  await world.gateway.start();
}

describe("after a crash", () => {
  test("a key still works, and its payment still gives the same key", async () => {
    const { payer, headers } = await prepared(trial);
    const sale = await (await fetch(trial, { headers })).json();

    await crash();

    assert.equal((await fetch(`${world.url}/data`, withKey(sale.apiKey))).status, 200);
    const again = await fetch(trial, { headers });
    assert.equal(again.status, 200);
    assert.deepEqual(await again.json(), sale);
    assert.equal(world.facilitator.count("/settle"), 1);
    await assertPaidOnce(world, payer, 50_000n);
  });

  test("a call's payment is still spent, and its answer still there", async () => {
    const { payer, headers } = await prepared(weather);
    assert.equal((await fetch(weather, { headers })).status, 200);
    // The gateway notes the delivery after the answer has left; a repeat waits for that.
    assert.equal((await fetch(weather, { headers })).status, 200);

    await crash();

    const again = await fetch(weather, { headers });
    assert.equal(again.status, 200);
    assert.equal(again.headers.get("idempotent-replayed"), "true");
    assert.equal(world.upstream.hits("/weather"), 1);
    await assertPaidOnce(world, payer, 1_000n);
  });

  test("an offer made before is still good", async () => {
    const { payer, headers } = await prepared(weather);

    await crash();

    assert.equal((await fetch(weather, { headers })).status, 200);
    await assertPaidOnce(world, payer, 1_000n);
  });

  test("in the middle of a purchase the buyer gets the key, and pays once", async () => {
    const { payer, headers } = await prepared(trial);
    world.facilitator.rememberSettlements();
    release = world.facilitator.holdAnswers();
    const lost = fetch(trial, { headers }).catch(() => "connection lost");
    await until("the money has moved", async () => (await world.chain.transfersFrom(payer.address)).length === 1);

    await crash();
    assert.equal(await lost, "connection lost");
    release();
    const answer = await until("the sale is completed", async () => {
      const again = await fetch(trial, { headers });
      if (again.status === 503) return undefined;
      assert.equal(again.status, 200);
      return again;
    }, { withinMs: 15_000, everyMs: 200 });

    const { apiKey } = await answer.json();
    assert.equal((await fetch(`${world.url}/data`, withKey(apiKey))).status, 200);
    await assertPaidOnce(world, payer, 50_000n);
  });
});

describe("after an orderly stop", () => {
  test("no used unit is forgotten", async () => {
    const key = await buyPlan(world, "tiny");
    for (let i = 0; i < 3; i++) assert.equal((await fetch(`${world.url}/data`, withKey(key))).status, 200);

    await world.gateway.stop();
    await world.gateway.start();

    await assertRefused(await fetch(`${world.url}/data`, withKey(key)), "quota_exhausted");
  });
});

async function prepared(url) {
  const payer = await world.chain.newPayer();
  const headers = await paidHeaders(url, payer);
  world.upstream.requests.splice(0);
  world.facilitator.forget();
  return { payer, headers };
}
