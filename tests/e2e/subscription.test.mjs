// The life of a subscription as a client sees it: bought on the chain, used, used up, bought again, upgraded, run out.
//
// Its other steps are shown elsewhere: the challenge's fields in challenge.test.mjs; buying with every client, and keys
// as such, in purchase.test.mjs; repeats in replay.test.mjs; lost answers in unknown_outcome.test.mjs; spoiled payments in
// tampered.test.mjs; a facilitator that is away in failures.test.mjs; paid calls in pay_per_call.test.mjs; a changed file
// in reload.test.mjs and plan_reload.test.mjs; a crash in restart.test.mjs; wallets and tokens in credentials.test.mjs;
// streams in metered_streams.test.mjs; payers who may not pay in tests/gateway/screening.rs; evasion in
// tests/gateway/paths.rs.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as python from "./clients/python.mjs";
import { assertNoSecrets, assertRefused } from "./lib/asserts.mjs";
import { purchase, statusOf, withKey } from "./lib/plan.mjs";
import { sdkFetch } from "./lib/sdk.mjs";
import { until } from "./lib/until.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path = "/free/{rest...}"
free = true

[[routes]]
path  = "/token/search"
units = 0.25

[[routes]]
path  = "/token/{chain}/{address}"
units = 1.0

[[routes]]
path  = "/status/{code}"
units = 1.0

[[routes]]
path  = "/flaky"
units = 1.0

[[plans]]
name     = "nano"
price    = "$5"
units    = 500_000
duration = "30d"

[[plans]]
name     = "starter"
price    = "$199"
units    = 10_000_000
duration = "30d"

[[plans]]
name     = "mini"
price    = "$0.05"
units    = 3
duration = "1d"

[[plans]]
name     = "brief"
price    = "$0.05"
units    = 100
duration = "3s"

[[plans]]
name     = "slow"
price    = "$0.05"
units    = 100
duration = "1d"
rate     = "2/s"
`;
const REPLACING = `${TABLES}\n[subscriptions]\nstatus_by_address = true\n`;
const EXTENDING = `${TABLES}\n[subscriptions]\non_repurchase = "extend"\n`;

const DAY_MS = 86_400_000;
const RICH = 300_000_000n;

let world;
before(async () => {
  world = await startWorld(REPLACING);
});
after(() => world?.stop());

const search = key => fetch(`${world.url}/token/search`, withKey(key));
const detail = key => fetch(`${world.url}/token/sol/So111`, withKey(key));
const quota = async key => (await statusOf(world, withKey(key))).quota;

describe("the interactive client", () => {
  test("meets a 402, shows the plans, buys one and goes on with its key", async () => {
    const { chain, upstream, url } = world;
    const payer = await chain.newPayer(RICH);
    upstream.requests.splice(0);
    assert.equal((await fetch(`${url}/free/health`)).status, 200);
    const refusal = await assertRefused(await fetch(`${url}/token/sol/So111`), "missing_credentials");
    assert.equal(upstream.hits("/token/sol/So111"), 0);

    const { plans, currency } = await (await fetch(refusal.pricingUrl)).json();
    assert.equal(currency, "USD");
    assert.deepEqual(plans.map(plan => [plan.name, plan.priceUsd, plan.quotaTotal, plan.durationDays]).slice(0, 3), [
      ["nano", 5, 500_000, 30],
      ["starter", 199, 10_000_000, 30],
      ["mini", 0.05, 3, 1],
    ]);

    const sale = await purchase(world, plans[0].name, payer);
    assert.deepEqual([sale.status, sale.plan, sale.chain], ["ok", "nano", "evm"]);
    const [{ transactionHash, to, value }] = await chain.transfersFrom(payer.address);
    assert.deepEqual([transactionHash, to, value], [sale.txHash, world.payTo, 5_000_000n]);

    for (const headers of [{ "X-API-KEY": sale.apiKey }, { Authorization: `Bearer ${sale.apiKey}` }]) {
      assert.equal((await fetch(`${url}/token/sol/So111`, { headers })).status, 200);
    }
    const seen = upstream.to("/token/sol/So111");
    assert.equal(seen.length, 2);
    seen.forEach(assertNoSecrets);
    assert.ok(!JSON.stringify(seen).includes(sale.apiKey));
  });
});

describe("the client without a person", () => {
  test("asks how its wallet stands, buys, and sees the plan it has", async () => {
    const payer = await world.chain.newPayer(RICH);
    const asked = `?chain=evm&address=${payer.address}`;
    const nothing = { plan: null, quota: { used: 0, total: 0 }, expiresAt: null, active: false };
    assert.deepEqual(await statusOf(world, {}, asked), nothing);

    const sale = await purchase(world, "nano", payer);

    const { rate, ...status } = await statusOf(world, {}, asked);
    const bought = { plan: "nano", quota: { used: 0, total: 500_000 }, expiresAt: sale.expiresAt, active: true };
    assert.deepEqual(status, bought);
    assert.equal(rate, null);
    assert.equal((await search(sale.apiKey)).status, 200);
    assert.deepEqual((await statusOf(world, {}, asked)).quota, { used: 0.25, total: 500_000 });
  });

  test("tries 429 and 5xx again, and pays for the success alone", async () => {
    const slow = (await purchase(world, "slow", await world.chain.newPayer())).apiKey;
    const mini = (await purchase(world, "mini", await world.chain.newPayer())).apiKey;

    const failing = await sdkFetch(`${world.url}/flaky?fails=2`, withKey(mini));
    assert.deepEqual(failing.statuses, [503, 503, 200]);
    assert.deepEqual(await quota(mini), { used: 1, total: 3 });

    const hurried = await Promise.all(
      Array.from({ length: 4 }, () => sdkFetch(`${world.url}/token/search`, withKey(slow))),
    );
    assert.deepEqual(hurried.map(({ response }) => response.status), [200, 200, 200, 200]);
    assert.ok(hurried.some(({ statuses }) => statuses.includes(429)));
    assert.deepEqual(await quota(slow), { used: 1, total: 100 });
  });

  test("does not try again what it has to pay for or may not have", async () => {
    const mini = (await purchase(world, "mini", await world.chain.newPayer())).apiKey;
    for (let i = 0; i < 3; i++) assert.equal((await detail(mini)).status, 200);

    const unpaid = await sdkFetch(`${world.url}/token/search`, withKey(mini));
    const unknown = await sdkFetch(`${world.url}/x402/status`, withKey("tg_live_nonsense"));

    assert.deepEqual([unpaid.statuses, unknown.statuses], [[402], [401]]);
  });
});

describe("units", () => {
  test("of dear and cheap routes add up exactly, and every answer says so", async () => {
    const { apiKey } = await purchase(world, "mini", await world.chain.newPayer());
    const told = [];

    for (const ask of [search, search, search, detail, search]) {
      const { status, headers } = await ask(apiKey);
      assert.equal(status, 200);
      told.push([headers.get("x-units-cost"), headers.get("x-quota-remaining")]);
    }

    assert.deepEqual(told, [["0.25", "2.75"], ["0.25", "2.5"], ["0.25", "2.25"], ["1", "1.25"], ["0.25", "1"]]);
    assert.deepEqual(await quota(apiKey), { used: 2, total: 3 });
  });

  test("are never overspent, however many ask at once, and all can be spent", async () => {
    const { apiKey } = await purchase(world, "mini", await world.chain.newPayer());
    world.upstream.requests.splice(0);

    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => (i % 4 ? search : detail)(apiKey)));
    while ((await search(apiKey)).status === 200);

    const served = 0.25 * world.upstream.hits("/token/search") + world.upstream.hits("/token/sol/So111");
    assert.equal(served, 3);
    assert.deepEqual(await quota(apiKey), { used: 3, total: 3 });
    for (const answer of answers.filter(({ status }) => status !== 200)) await assertRefused(answer, "quota_exhausted");
  });

  test("come back if the upstream fails, and can be spent on something better", async () => {
    const { apiKey } = await purchase(world, "mini", await world.chain.newPayer());

    for (const code of [500, 502, 503, 500]) {
      assert.equal((await fetch(`${world.url}/status/${code}`, withKey(apiKey))).status, code);
    }

    for (let i = 0; i < 3; i++) assert.equal((await detail(apiKey)).status, 200);
    await assertRefused(await detail(apiKey), "quota_exhausted");
  });
});

describe("buying again", () => {
  test("opens a plan that is used up, for the key of then as for the one of now", async () => {
    const payer = await world.chain.newPayer();
    const first = await purchase(world, "mini", payer);
    for (let i = 0; i < 3; i++) assert.equal((await detail(first.apiKey)).status, 200);
    const refusal = await assertRefused(await detail(first.apiKey), "quota_exhausted");

    // The same wallet in the hands of another client, at the URL that the refusal names.
    const answer = await python.request(payer, `${refusal.purchaseUrl}?plan=mini`);

    assert.equal(answer.status, 200, answer.body);
    const second = JSON.parse(answer.body);
    assert.notEqual(second.apiKey, first.apiKey);
    assert.equal((await detail(first.apiKey)).status, 200);
    assert.equal((await detail(second.apiKey)).status, 200);
    for (const key of [first.apiKey, second.apiKey]) assert.deepEqual(await quota(key), { used: 2, total: 3 });
    assert.equal((await world.chain.transfersFrom(payer.address)).length, 2);
  });

  test("a bigger plan takes the place of the smaller one, with its full quota", async () => {
    const payer = await world.chain.newPayer(RICH);
    const small = await purchase(world, "nano", payer);
    assert.equal((await detail(small.apiKey)).status, 200);

    const big = await purchase(world, "starter", payer);

    for (const key of [small.apiKey, big.apiKey]) {
      const status = await statusOf(world, withKey(key));
      assert.equal(status.plan, "starter");
      assert.deepEqual(status.quota, { used: 0, total: 10_000_000 });
      assert.equal(status.expiresAt, big.expiresAt);
    }
    assert.equal((await detail(small.apiKey)).headers.get("x-quota-remaining"), "9999999");
  });

  test("is not needed by somebody else: another wallet's plan is its own", async () => {
    const [one, other] = [await world.chain.newPayer(), await world.chain.newPayer()];
    const mine = await purchase(world, "mini", one);
    for (let i = 0; i < 3; i++) await detail(mine.apiKey);

    const theirs = await purchase(world, "mini", other);

    await assertRefused(await detail(mine.apiKey), "quota_exhausted");
    assert.deepEqual(await quota(theirs.apiKey), { used: 0, total: 3 });
  });
});

describe("a plan that has run out", () => {
  test("is refused, and open again when it is bought again", async () => {
    const payer = await world.chain.newPayer();
    const { apiKey, expiresAt } = await purchase(world, "brief", payer);
    assert.equal((await search(apiKey)).status, 200);

    const refusal = await until("the plan runs out", async () => {
      const answer = await search(apiKey);
      return answer.status === 402 && answer;
    });
    assert.ok(Date.now() >= Date.parse(expiresAt));
    await assertRefused(refusal, "expired_api_key");
    assert.equal((await statusOf(world, withKey(apiKey))).active, false);

    await purchase(world, "mini", payer);
    assert.equal((await search(apiKey)).status, 200);
    assert.deepEqual(await quota(apiKey), { used: 0.25, total: 3 });
  });
});

describe("a plan with a rate", () => {
  test("says how long to wait, takes nothing for it, and goes on after that", async () => {
    const { apiKey } = await purchase(world, "slow", await world.chain.newPayer());

    const answers = await Promise.all(Array.from({ length: 8 }, () => search(apiKey)));

    const served = answers.filter(({ status }) => status === 200).length;
    const refused = answers.filter(({ status }) => status === 429);
    assert.equal(served + refused.length, 8);
    assert.ok(served >= 2 && refused.length > 0, `${served} were served`);
    for (const answer of refused) {
      assert.equal(answer.headers.get("retry-after"), "1");
      const { details } = await answer.json();
      assert.deepEqual([details.reason, details.limit, details.remaining], ["rate_limited", "2/s", 0]);
      assert.ok(Math.abs(details.reset_at - Date.now() / 1_000) < 60);
    }
    await until("it goes on", async () => (await search(apiKey)).status === 200);
    assert.deepEqual(await quota(apiKey), { used: 0.25 * (served + 1), total: 100 });
  });
});

describe("where the same plan extends the one before", () => {
  let extending;
  before(async () => {
    extending = await startWorld(EXTENDING);
  });
  after(() => extending?.stop());

  test("what was left is kept, not a unit more, and the days are added", async () => {
    const payer = await extending.chain.newPayer();
    const use = key => fetch(`${extending.url}/token/sol/So111`, withKey(key));
    const first = await purchase(extending, "mini", payer);
    assert.equal((await use(first.apiKey)).status, 200);

    const second = await purchase(extending, "mini", payer);

    const added = Date.parse(second.expiresAt) - Date.parse(first.expiresAt);
    assert.ok(Math.abs(added - DAY_MS) < 1_000, `${added} ms`);
    extending.upstream.requests.splice(0);
    while ((await use(first.apiKey)).status === 200);
    assert.equal(extending.upstream.requests.length, 5);
    await assertRefused(await use(second.apiKey), "quota_exhausted");
  });

  test("another plan takes its place all the same", async () => {
    const payer = await extending.chain.newPayer();
    const { apiKey } = await purchase(extending, "mini", payer);

    const { expiresAt } = await purchase(extending, "slow", payer);

    const status = await statusOf(extending, withKey(apiKey));
    assert.deepEqual([status.plan, status.quota, status.expiresAt], ["slow", { used: 0, total: 100 }, expiresAt]);
    assert.equal(status.rate, "2/s");
  });
});
