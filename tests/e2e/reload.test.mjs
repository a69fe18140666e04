// The file changes while the gateway runs.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as v1 from "./clients/fetch_v1.mjs";
import { assertPaidNothing, assertPaidOnce } from "./lib/asserts.mjs";
import { challengeOf, headersOf, paidHeaders, sign } from "./lib/payment.mjs";
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
`;

const SOON = { withinMs: 2_000 };

let world, gateway, weather;
before(async () => {
  world = await startWorld(TABLES);
  gateway = world.gateway;
  weather = `${world.url}/weather`;
});
after(() => world?.stop());

const amountOf = async url => (await challengeOf(url)).accepts[0].amount;
const priceSeen = (url, amount) => until(`the price is ${amount}`, async () => (await amountOf(url)) === amount, SOON);

describe("a price that changes in the file", () => {
  test("is the price two seconds later, when the file is written in place", async () => {
    gateway.edit(tables => tables.replace('"$0.001"', '"$0.002"'));

    await priceSeen(weather, "2000");
  });

  test("is the price two seconds later, when the file is replaced", async () => {
    gateway.replace(tables => tables.replace('"$0.002"', '"$0.003"'));
    await priceSeen(weather, "3000");

    // And again, since a watch on the old file would have ended with it.
    gateway.replace(tables => tables.replace('"$0.003"', '"$0.004"'));
    await priceSeen(weather, "4000");
  });

  test("is the price that the next buyer pays", async () => {
    gateway.edit(tables => tables.replace(/price = "\$0\.00\d"/, 'price = "$0.005"'));
    await priceSeen(weather, "5000");
    const payer = await world.chain.newPayer();

    const answer = await fetch(weather, { headers: await paidHeaders(weather, payer) });

    assert.equal(answer.status, 200);
    await assertPaidOnce(world, payer, 5_000n);
  });

  test("does not change what was quoted before", async () => {
    const payer = await world.chain.newPayer();
    const before = await challengeOf(weather);
    gateway.edit(tables => tables.replace(/price = "\$0\.00\d"/, 'price = "$0.009"'));
    await priceSeen(weather, "9000");

    const answer = await fetch(weather, { headers: headersOf(await sign(before, payer)) });

    assert.equal(answer.status, 200);
    await assertPaidOnce(world, payer, BigInt(before.accepts[0].amount));
  });

  test("is what a payment without a quote must match", async () => {
    const payer = await world.chain.newPayer();
    // The old client has no place for a quote, so its payment can only be held to the price of today.
    const spy = async (input, init) => {
      if (init?.headers?.["X-PAYMENT"]) {
        gateway.edit(tables => tables.replace('"$0.009"', '"$0.008"'));
        await priceSeen(weather, "8000");
        world.facilitator.forget();
        world.upstream.requests.splice(0);
      }
      return fetch(input, init);
    };

    const answer = await v1.request(payer, weather, { transport: spy });

    assert.equal(answer.status, 402);
    assert.equal(JSON.parse(answer.body).accepts[0].maxAmountRequired, "8000");
    assert.equal(world.facilitator.paymentCalls(), 0);
    assert.equal(world.upstream.requests.length, 0);
    await assertPaidNothing(world, payer);
  });
});

describe("a plan that changes in the file", () => {
  test("has its new price, and the keys sold before go on", async () => {
    const key = await buyPlan(world, "trial");
    gateway.edit(tables => tables.replace('"$0.05"', '"$0.06"'));
    await priceSeen(`${world.url}/x402/purchase?plan=trial`, "60000");

    const { plans } = await (await fetch(`${world.url}/x402/pricing`)).json();

    assert.deepEqual(plans.map(plan => plan.priceUsd), [0.06]);
    assert.equal((await fetch(`${world.url}/data`, withKey(key))).status, 200);
  });
});

describe("a file that is wrong", () => {
  const cases = [
    {
      how: "with a price that is too fine",
      spoil: tables => tables.replace(/price = "\$0\.00\d"/, 'price = "$0.0000001"'),
      complaint: /tollgate\.toml:\d+:\d+.*routes\[0\]\.price/,
    },
    {
      how: "that is not TOML",
      spoil: tables => `${tables}\n[[routes\n`,
      complaint: /tollgate\.toml:\d+:\d+/,
    },
    {
      how: "with a key that does not exist",
      spoil: tables => `${tables}\n[[routes]]\npath = "/new"\nprise = "$1"\n`,
      complaint: /tollgate\.toml:\d+:\d+.*prise/,
    },
  ];
  for (const { how, spoil, complaint } of cases) {
    test(`${how} is reported and changes nothing until it is put right`, async () => {
      const price = await amountOf(weather);
      const logged = gateway.log().length;
      let good;
      gateway.edit(tables => {
        good = tables;
        return spoil(tables);
      });
      try {
        await until("the gateway complains", () => complaint.test(gateway.log().slice(logged)));

        assert.equal(await amountOf(weather), price);
        const key = await buyPlan(world, "trial");
        assert.equal((await fetch(`${world.url}/data`, withKey(key))).status, 200);
      } finally {
        gateway.edit(() => good.replace(/price = "\$0\.00\d"/, 'price = "$0.001"'));
      }
      await priceSeen(weather, "1000");
      gateway.edit(tables => tables.replace('"$0.001"', '"$0.002"'));
      await priceSeen(weather, "2000");
    });
  }
});
