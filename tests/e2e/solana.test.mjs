// Paid on Solana: real clients, a real facilitator, the real token programs.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { clients } from "./clients/solana.mjs";
import { assertNoSecrets } from "./lib/asserts.mjs";
import { challengeOf, headersOf } from "./lib/payment.mjs";
import { withKey } from "./lib/plan.mjs";
import { assertPaidNothing, assertPaidOnce, assertReceipt, startSolanaWorld } from "./lib/solana.mjs";
import { PYUSD_MINT, USDT_MINT, newAccount } from "./lib/svm.mjs";
import { asVersion1, prepare, respelled, signOther } from "./lib/svm_payment.mjs";

const TABLES = `
[[routes]]
path  = "/weather"
price = "$0.001"

[[routes]]
path  = "/other"
price = "$0.001"

[[routes]]
path  = "/status/{code}"
price = "$0.001"

[[routes]]
path  = "/bytes"
price = { amount = "2500", asset = "${PYUSD_MINT}" }

[[routes]]
path  = "/data"
units = 1.0

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"
`;
/** Two signatures, and twenty thousand compute units at one microlamport, rounded up. */
const FEE = 10_001n;

let world;
before(async () => {
  world = await startSolanaWorld(TABLES);
  await world.chain.setBalance(world.payTo, 0n, PYUSD_MINT);
  await world.chain.setBalance(world.payTo, 0n, USDT_MINT);
});
after(() => world?.stop());

describe("a call", () => {
  for (const { name, request } of clients) {
    test(`is paid by ${name} to the atomic unit`, async t => {
      const { chain, payTo } = world;
      const payer = await chain.newPayer(1_500n);
      const [received, lamports] = [await chain.balanceOf(payTo), feeMoney()];

      const answer = await request(chain, payer, `${world.url}/weather`);

      assert.equal(answer.status, 200, answer.body);
      assert.equal(JSON.parse(answer.body).from, "upstream");
      await assertPaidOnce(world, payer, 1_000n);
      const { transaction, network } = assertReceipt(world, answer.headers, payer);
      assert.equal(network, name === "x402-fetch" ? "solana" : "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp");
      assert.equal(chain.transfersFrom(payer.address)[0].transaction, transaction);
      assert.equal(await chain.balanceOf(payer.address), 500n);
      assert.equal(await chain.balanceOf(payTo) - received, 1_000n);
      assert.equal(lamports - feeMoney(), FEE);
      assertNoSecrets(world.upstream.to("/weather").at(-1));
      t.diagnostic(`payer 1500 -> 500, receiver +1000 USDC units, fee payer -${FEE} lamports`);
    });
  }

  test("is paid in a token of the Token-2022 program", async () => {
    const payer = await world.chain.newPayer(2_500n, PYUSD_MINT);
    const { url, headers } = await prepare(world, "/bytes?n=10", payer);

    const answer = await fetch(url, { headers });

    assert.equal(answer.status, 200);
    await assertPaidOnce(world, payer, 2_500n, PYUSD_MINT);
    assert.equal(await world.chain.balanceOf(payer.address, PYUSD_MINT), 0n);
  });

  test("that the upstream fails costs nobody anything", async () => {
    const { payer, url, headers } = await prepared("/status/500");
    const lamports = feeMoney();

    const answer = await fetch(url, { headers });

    assert.equal(answer.status, 500);
    assert.equal(answer.headers.get("payment-response"), null);
    assert.equal(world.facilitator.count("/settle"), 0);
    assertPaidNothing(world, payer);
    assert.equal(lamports, feeMoney());
  });
});

describe("a plan", () => {
  test("is bought by @x402/fetch, and its repeat gives the same key", async () => {
    const payer = await world.chain.newPayer();
    const url = `${world.url}/x402/purchase?plan=trial`;
    let payment;
    const transport = (input, init) => {
      payment = new Request(input, init).headers.get("payment-signature") ?? payment;
      return fetch(input, init);
    };

    const bought = await clients[0].request(world.chain, payer, url, { transport });
    const again = await fetch(url, { headers: { "PAYMENT-SIGNATURE": payment } });

    assert.equal(bought.status, 200, bought.body);
    assertReceipt(world, bought.headers, payer);
    assert.equal(again.status, 200);
    const { apiKey } = JSON.parse(bought.body);
    assert.equal((await again.json()).apiKey, apiKey);
    assert.equal((await fetch(`${world.url}/data`, withKey(apiKey))).status, 200);
    await assertPaidOnce(world, payer, 50_000n);
  });
});

describe("a payment is refused", () => {
  const spoiled = {
    "that is one unit short": { change: { amount: "999" }, reason: /amount_mismatch$/ },
    "that is one unit over": { change: { amount: "1001" }, reason: /amount_mismatch$/ },
    "in another token": { change: { asset: USDT_MINT }, reason: /mint_mismatch$/ },
    "to another receiver": { change: async () => ({ payTo: await stranger() }), reason: /recipient_mismatch$/ },
    "with another fee payer": {
      change: async ({ extra }) => ({ extra: { ...extra, feePayer: (await newAccount()).address } }),
      reason: /fee_payer_mismatch$/,
    },
  };
  for (const [how, { change, reason }] of Object.entries(spoiled)) {
    test(how, async () => {
      const payer = await newPayer();
      await world.chain.setBalance(payer.address, 5_000n, USDT_MINT);
      const url = `${world.url}/weather`;
      const challenge = await challengeOf(url);
      const changed = typeof change === "function" ? await change(challenge.accepts[0]) : change;
      const payload = await signOther(world.chain, challenge, payer, changed);

      await assertRefused(await fetch(url, { headers: headersOf(payload) }), payer, reason);
      await assertRefused(await fetch(url, { headers: asVersion1(payload) }), payer, reason);
    });
  }

  const stale = {
    "whose blockhash is too old": async ({ chain }) => chain.expire(),
    "whose payer has no money left": ({ chain }, payer) => chain.setBalance(payer.address, 999n),
  };
  for (const [how, act] of Object.entries(stale)) {
    test(how, async () => {
      const { payer, url, headers, payload } = await prepared("/weather");
      await act(world, payer);

      await assertRefused(await fetch(url, { headers }), payer, /transaction_simulation_failed$/);
      await assertRefused(await fetch(url, { headers: asVersion1(payload) }), payer, /transaction_simulation_failed$/);
    });
  }

  test("of a payer who has no account for the token", async () => {
    const { payer, url, headers } = await prepare(world, "/weather", await newAccount());
    world.facilitator.forget();

    await assertRefused(await fetch(url, { headers }), payer, /transaction_simulation_failed$/);
  });

  test("whose signature is somebody else's", async () => {
    const { payer, url, payload } = await prepared("/weather");
    const bytes = Buffer.from(payload.payload.transaction, "base64");
    bytes[65 + 10] ^= 1;
    const forged = { ...payload, payload: { transaction: bytes.toString("base64") } };

    await assertRefused(await fetch(url, { headers: headersOf(forged) }), payer, /signature_invalid$/);
  });
});

describe("the same transaction", () => {
  test("that is sent again gets the same answer, in whatever spelling", async () => {
    const { payer, url, payload, headers } = await prepared("/weather");
    const first = await fetch(url, { headers });
    const again = await fetch(url, { headers: headersOf(respelled(payload, 7)) });

    assert.deepEqual([first.status, again.status], [200, 200]);
    assert.equal(again.headers.get("payment-response"), first.headers.get("payment-response"));
    assert.equal(await again.text(), await first.text());
    await assertServedOnce(payer);
  });

  test("is worth nothing to who has only seen it on the chain", async () => {
    const { payer, url, payload, headers } = await prepared("/weather");
    const first = await fetch(url, { headers });
    const { transaction } = assertReceipt(world, first.headers, payer);
    const landed = Buffer.from(world.chain.transaction(transaction).bytes).toString("base64");
    const { accepts: [accepted] } = await challengeOf(url);
    const { quote, ...bare } = accepted.extra;

    const stolen = { ...payload, accepted, payload: { transaction: landed } };
    for (const attempt of [
      headersOf(stolen),
      headersOf({ ...stolen, accepted: { ...accepted, extra: bare } }),
      asVersion1(stolen),
    ]) {
      const answer = await fetch(url, { headers: attempt });
      assert.equal(answer.status, 409);
      assert.doesNotMatch(await answer.text(), /"from":"upstream"/);
    }
    await assertServedOnce(payer);
  });

  test("does not open another route of the same price", async () => {
    const { payer, url, payload, headers } = await prepared("/weather");
    assert.equal((await fetch(url, { headers })).status, 200);

    for (const attempt of [headers, asVersion1(payload)]) {
      const elsewhere = await fetch(`${world.url}/other`, { headers: attempt });
      assert.ok([402, 409].includes(elsewhere.status), String(elsewhere.status));
    }
    assert.equal(world.upstream.hits("/other"), 0);
    await assertServedOnce(payer);
  });

  test("that is sent twenty times at once in different spellings buys one answer", async t => {
    const { payer, url, payload } = await prepared("/weather");
    const spellings = Array.from({ length: 20 }, (_, i) =>
      i % 4 === 3 ? asVersion1(respelled(payload, i)) : headersOf(respelled(payload, i)));

    const answers = await Promise.all(spellings.map(headers => fetch(url, { headers })));

    const statuses = answers.map(({ status }) => status);
    t.diagnostic(`answers: ${statuses.sort().join(" ")}`);
    assert.ok(statuses.includes(200));
    assert.ok(statuses.every(status => [200, 409].includes(status)), statuses.join(" "));
    const receipts = new Set(answers.filter(({ status }) => status === 200).map(({ headers }) => headers.get("payment-response")));
    assert.equal(receipts.size, 1);
    await assertServedOnce(payer);
  });
});

describe("a plan's transaction", () => {
  test("that is sent twenty times at once in different spellings buys one key", async () => {
    const { payer, url, payload } = await prepared("/x402/purchase?plan=trial");

    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => fetch(url, { headers: headersOf(respelled(payload, i)) })));

    assert.ok(answers.every(({ status }) => [200, 409, 503].includes(status)));
    const sold = answers.filter(({ status }) => status === 200);
    const keys = new Set(await Promise.all(sold.map(async answer => (await answer.json()).apiKey)));
    assert.equal(keys.size, 1);
    assert.equal(world.facilitator.count("/settle"), 1);
    await assertPaidOnce(world, payer, 50_000n);
  });
});

// The old client adds nothing of its own to a transaction, so two of one block are the very same.
test("two calls of the old client at once are one payment, and one of them is told so", async () => {
  const payer = await newPayer();
  const calls = [1, 2].map(() => clients[1].request(world.chain, payer, `${world.url}/weather`));

  const statuses = (await Promise.all(calls)).map(({ status }) => status);

  assert.deepEqual(statuses.sort(), [200, 409]);
  await assertServedOnce(payer);
});

function feeMoney() {
  return world.facilitator.feePayers.reduce((sum, address) => sum + world.chain.lamportsOf(address), 0n);
}

async function stranger() {
  const { address } = await world.chain.newPayer(0n);
  return address;
}

function newPayer() {
  world.upstream.requests.splice(0);
  world.facilitator.forget();
  return world.chain.newPayer();
}

async function prepared(target) {
  return prepare(world, target, await newPayer());
}

async function assertRefused(answer, payer, reason) {
  assert.equal(answer.status, 402);
  const body = await answer.json();
  assert.match(body.details?.reason ?? body.error, reason);
  assert.equal(world.upstream.requests.length, 0);
  assert.equal(world.facilitator.count("/settle"), 0);
  assertPaidNothing(world, payer);
}

async function assertServedOnce(payer) {
  assert.equal(world.upstream.hits("/weather"), 1);
  assert.equal(world.facilitator.count("/settle"), 1);
  await assertPaidOnce(world, payer, 1_000n);
}
