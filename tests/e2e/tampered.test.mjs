// Payments that are not what was asked for.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { clients } from "./clients/all.mjs";
import { assertPaidNothing } from "./lib/asserts.mjs";
import { challengeOf, decode, encode, headersOf, resigned, sign } from "./lib/payment.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path  = "/weather"
price = "$0.001"

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"

[[plans]]
name     = "nano"
price    = "$0.50"
units    = 500_000
duration = "30d"
`;

const SECP256K1_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

let world, weather;
before(async () => {
  world = await startWorld(TABLES);
  weather = `${world.url}/weather`;
});
after(() => world?.stop());

describe("a payment is refused without asking the facilitator", () => {
  const now = () => Math.floor(Date.now() / 1_000);
  const spoiled = {
    "that is signed for less": async (payload, payer) => {
      const cheaper = await resigned(payload, payer, { value: "999" });
      return { ...cheaper, accepted: { ...payload.accepted, amount: "999" } };
    },
    "that is signed for less but claims the full amount": (payload, payer) => resigned(payload, payer, { value: "999" }),
    "that is signed for more": (payload, payer) => resigned(payload, payer, { value: "1001" }),
    "to another receiver": async (payload, payer) => {
      const diverted = await resigned(payload, payer, { to: payer.address });
      return { ...diverted, accepted: { ...payload.accepted, payTo: payer.address } };
    },
    "to another receiver that claims to be ours": (payload, payer) => resigned(payload, payer, { to: payer.address }),
    "in another token": payload => ({
      ...payload, accepted: { ...payload.accepted, asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e" },
    }),
    "on another network": payload => ({ ...payload, accepted: { ...payload.accepted, network: "eip155:84532" } }),
    "in another scheme": payload => ({ ...payload, accepted: { ...payload.accepted, scheme: "upto" } }),
    "of another protocol version": payload => ({ ...payload, x402Version: 3 }),
    "that has expired": (payload, payer) => resigned(payload, payer, { validBefore: String(now() - 1) }),
    "that is about to expire": (payload, payer) => resigned(payload, payer, { validBefore: String(now() + 2) }),
    "that is not valid yet": (payload, payer) => resigned(payload, payer, { validAfter: String(now() + 3_600) }),
    "whose signature no token accepts": payload => withSignature(payload, mirrored(payload.payload.signature)),
    "whose signature is not hexadecimal": payload => withSignature(payload, `0x${"zz".repeat(65)}`),
    "without a signature": payload => withSignature(payload, undefined),
    "without a payload": ({ payload, ...rest }) => rest,
    "with a quote that was changed": payload => ({
      ...payload, accepted: { ...payload.accepted, extra: mapValues(payload.accepted.extra, swapLastLetter) },
    }),
  };
  for (const [how, spoil] of Object.entries(spoiled)) {
    test(how, async () => {
      const payer = await newPayer();
      const payload = await spoil(await sign(await challengeOf(weather), payer), payer);

      await assertRefusedLocally(await fetch(weather, { headers: headersOf(payload) }), payer);
    });
  }

  const garbage = {
    "that is not base64": "!!! not base64 !!!",
    "that is not JSON": Buffer.from("{ not json").toString("base64"),
    "that is not an object": encode(["a", 1]),
    "that is empty inside": encode({}),
    "that nests without end": Buffer.from("[".repeat(5_000)).toString("base64"),
  };
  for (const [how, value] of Object.entries(garbage)) {
    for (const header of ["PAYMENT-SIGNATURE", "X-PAYMENT"]) {
      test(`${how}, in ${header}`, async () => {
        const payer = await newPayer();

        await assertRefusedLocally(await fetch(weather, { headers: { [header]: value } }), payer);
      });
    }
  }

  test("that was made for another plan", async () => {
    const payer = await newPayer();
    const payload = await sign(await challengeOf(`${world.url}/x402/purchase?plan=trial`), payer);

    const answer = await fetch(`${world.url}/x402/purchase?plan=nano`, { headers: headersOf(payload) });

    await assertRefusedLocally(answer, payer);
  });

  test("that was made for a call and sent for a plan", async () => {
    const payer = await newPayer();
    const payload = await sign(await challengeOf(weather), payer);

    await assertRefusedLocally(await fetch(`${world.url}/x402/purchase?plan=trial`, { headers: headersOf(payload) }), payer);
  });
});

describe("a payment is refused and nothing is charged", () => {
  // Both may be good signatures if the payer is a contract, so the facilitator may be asked; but no more than that.
  const doubtful = {
    "that somebody else has signed": async payload => resigned(payload, await world.chain.newPayer(), {}),
    "whose signature is cut off": payload => withSignature(payload, payload.payload.signature.slice(0, 100)),
  };
  for (const [how, spoil] of Object.entries(doubtful)) {
    test(how, async () => {
      const payer = await newPayer();
      const payload = await spoil(await sign(await challengeOf(weather), payer));

      await assertRefusedWithReason(await fetch(weather, { headers: headersOf(payload) }));

      assert.equal(world.facilitator.count("/settle"), 0);
      assert.equal(world.upstream.requests.length, 0);
      await assertPaidNothing(world, payer);
    });
  }

  for (const client of clients) {
    test(`by ${client.name} without any money`, async () => {
      const payer = await newPayer(0n);

      const response = await client.request(payer, weather);

      assert.equal(response.status, 402);
      assert.match(JSON.parse(response.body).details.reason, /insufficient/);
      assert.match(decode(response.headers.get("payment-required")).error, /insufficient/);
      assert.equal(world.upstream.requests.length, 0);
      assert.equal(world.facilitator.count("/settle"), 0);
      await assertPaidNothing(world, payer);
    });
  }

  test("for a plan without any money", async () => {
    const payer = await newPayer(0n);
    const url = `${world.url}/x402/purchase?plan=trial`;

    const answer = await fetch(url, { headers: headersOf(await sign(await challengeOf(url), payer)) });

    await assertRefusedWithReason(answer);
    await assertPaidNothing(world, payer);
  });
});

function newPayer(balance) {
  world.upstream.requests.splice(0);
  world.facilitator.forget();
  return world.chain.newPayer(balance);
}

async function assertRefusedLocally(answer, payer) {
  await assertRefusedWithReason(answer);
  assert.equal(world.facilitator.paymentCalls(), 0);
  assert.equal(world.upstream.requests.length, 0);
  await assertPaidNothing(world, payer);
}

async function assertRefusedWithReason(answer) {
  assert.equal(answer.status, 402);
  const { error, accepts } = decode(answer.headers.get("payment-required"));
  assert.ok(error, "the header says why");
  assert.equal(accepts.length, 1, "and what would be right");
  const { details } = await answer.json();
  assert.match(details.reason, /^[a-z0-9_]+$/);
  assert.notEqual(details.reason, "missing_credentials");
}

const withSignature = (payload, signature) => ({ ...payload, payload: { ...payload.payload, signature } });
const mapValues = (object, change) => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(key, value)]));

// The same signature with the other s, which recovers to the same signer but which the token refuses.
function mirrored(signature) {
  const s = SECP256K1_ORDER - BigInt(`0x${signature.slice(66, 130)}`);
  const v = signature.endsWith("1b") ? "1c" : "1b";
  return signature.slice(0, 66) + s.toString(16).padStart(64, "0") + v;
}

// Everything in `extra` that the token does not prescribe is the gateway's own, whatever it is called.
function swapLastLetter(key, value) {
  if (["name", "version", "assetTransferMethod", "paymentFlow"].includes(key) || typeof value !== "string") return value;
  return value.slice(0, -1) + (value.endsWith("A") ? "B" : "A");
}
