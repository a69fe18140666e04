// One of two facilitators fails while many buy: who has paid is served, and nobody pays twice or for nothing.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { watchBreaker } from "./lib/breaker.mjs";
import { askOn, buyMany } from "./lib/buyers.mjs";
import { startMarket } from "./lib/market.mjs";
import { books, reckon } from "./lib/reckoning.mjs";

let market;
before(async () => {
  market = await startMarket();
});
after(() => market?.stop());

const CHAINS = [{ onChain: true, how: "with the chain to ask" }, { onChain: false, how: "without a chain to ask" }];
const LIES = {
  talksGarbage: "talks garbage",
  settlesAndTalksGarbage: "settles and talks garbage",
  settlesAndHangsUp: "settles and hangs up",
};
const MANY = 200;
const SOME = 40;

describe("of two facilitators, one", () => {
  for (const { onChain, how } of CHAINS) {
    const [count, returns] = onChain ? [MANY, true] : [SOME, false];
    test(`is killed and started again, ${how}`, async t => {
      const { first: failing } = market;
      assertAllServed(await sell(t, { failing, onChain, count, fails: failing.kill, heals: failing.start, returns }));
    });

    test(`hangs and goes on, ${how}`, async t => {
      const { first: failing } = market;
      assertAllServed(await sell(t, { failing, onChain, count, fails: failing.hang, heals: failing.goOn, returns }));
    });

    for (const [lie, what] of Object.entries(LIES)) {
      test(`${what}, ${how}`, async t => {
        assertAllServed(await sellWithLies(t, lie, { onChain }));
      });
    }
  }

  test("is slow", async t => {
    const sold = await sellWithLies(t, "isSlow", { count: MANY, keys: { latency_budget: "300ms" } });
    assertAllServed(sold);
    assert.ok(sold.breaker.hasOpened(), "others are asked first");
  });

  test("denies what it has settled, and the chain knows better", async t => {
    assertAllServed(await sellWithLies(t, "settlesAndDenies"));
  });

  test("says that it has settled what it has not, and the chain is asked", async t => {
    const network = "confirm_settlements = true";
    const sold = await sellWithLies(t, "settlesNothing", { network });
    assertAllServed(sold);
    assert.ok(market.liar.lies() > 0, "its word alone buys nothing");
  });

  test("refuses all, and nobody is charged for it", async t => {
    const { deals, breaker } = await sellWithLies(t, "refusesAll");
    assert.ok(deals.some(({ answer }) => answer.status === 402));
    assert.equal(breaker.hasOpened(), false, "a refusal is an answer");
  });

  test("refuses to settle what it found good, and nobody is served or charged", async t => {
    const wasted = deals => deals.filter(({ answer, plan }) => answer.status === 402 && !plan).length;
    const { deals } = await sellWithLies(t, "refusesToSettle", { wasted });
    assert.ok(wasted(deals) > 0);
  });
});

function sellWithLies(t, lie, options = {}) {
  const { liar: failing } = market;
  const [fails, heals] = [() => failing.tells(lie), () => failing.tells("none")];
  return sell(t, { failing, count: SOME, fails, heals, ...options });
}

/** Opens a shop where `count` things are bought. After a quarter of them the facilitator fails, after three it heals;
 * `returns` if it is waited for until it is asked first again. */
async function sell(t, { count, fails, heals, returns, wasted = () => 0, ...options }) {
  const shop = await market.open(options);
  const breaker = watchBreaker(shop.gateway);
  const [failure, cure] = [async () => {
    breaker.failing();
    await fails();
  }, async () => {
    await heals();
    breaker.healed();
  }];
  try {
    const deals = await buyMany(shop, count, { [count / 4]: failure, [(count * 3) / 4]: cure });
    if (returns) await breaker.closes(async () => deals.push(...(await buyMany(shop, 1))));
    await askOn(shop, deals);
    await reckon(shop, deals, { wasted: wasted(deals) });
    await tell(t, shop, deals, breaker);
    return { deals, breaker };
  } finally {
    await heals().catch(() => {});
    await breaker.stop();
    await shop.gateway.remove();
  }
}

function assertAllServed({ deals }) {
  assert.deepEqual(deals.filter(({ answer }) => answer.status !== 200).map(({ target, answer }) => [target, answer.body]), []);
}

async function tell(t, shop, deals, breaker) {
  const counted = list => JSON.stringify(list.reduce((all, one) => ({ ...all, [one]: (all[one] ?? 0) + 1 }), {}));
  const times = deals.map(({ ms }) => Math.round(ms)).sort((one, other) => one - other);
  const at = part => times[Math.floor((times.length - 1) * part)];
  const { openedAfter = "never", closedAfter = "never" } = breaker.times();
  t.diagnostic(`first answers ${counted(deals.map(deal => deal.firstStatus))}`);
  t.diagnostic(`settled by ${counted((await books(shop)).map(row => row.facilitator))}`);
  t.diagnostic(`p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; breaker opened after ${openedAfter}, closed after ${closedAfter} ms`);
}
