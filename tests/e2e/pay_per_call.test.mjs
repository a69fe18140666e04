// A call that is paid for, by each of the clients that buyers have.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { clients } from "./clients/all.mjs";
import { assertNoSecrets, assertPaidOnce, assertReceipt } from "./lib/asserts.mjs";
import { USDC } from "./lib/chain.mjs";
import { paidHeaders } from "./lib/payment.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path  = "/weather/{city}"
price = "$0.001"

[[routes]]
path    = "/analyze"
methods = ["POST"]
price   = "$0.01"
`;

let world;
before(async () => {
  world = await startWorld(TABLES);
});
after(() => world?.stop());

describe("a call is paid for", () => {
  for (const client of clients) {
    test(`${client.name} pays for a GET and gets the answer`, async () => {
      const target = "/weather/taipei?days=3&q=a%20b&q=c%2Fd";
      world.upstream.requests.splice(0);

      const { payer, response } = await paidCall(client, 1_000n, target);

      assert.deepEqual(JSON.parse(response.body), {
        from: "upstream", method: "GET", target, bytes: 0, sha256: sha256(""),
      });
      // The unpaid first try was answered by the gateway, so the upstream has seen one request.
      assert.equal(world.upstream.requests.length, 1);
      const [seen] = world.upstream.requests;
      assertSeenByUpstream(seen, { method: "GET", target, body: "", payer });
    });

    test(`${client.name} pays for a POST, whose body arrives once and unchanged`, async () => {
      const body = JSON.stringify({ client: client.name, text: "Grüße, 世界", list: [1, 2.5, null] });
      world.upstream.requests.splice(0);

      const { payer, response } = await paidCall(client, 10_000n, "/analyze?deep=1", {
        method: "POST", headers: { "content-type": "application/json" }, body,
      });

      assert.equal(JSON.parse(response.body).sha256, sha256(body));
      assert.equal(world.upstream.requests.length, 1);
      const [seen] = world.upstream.requests;
      assertSeenByUpstream(seen, { method: "POST", target: "/analyze?deep=1", body, payer });
      assert.equal(seen.headers["content-type"], "application/json");
    });
  }

  test("the facilitator is asked about our own terms only", async () => {
    const payer = await world.chain.newPayer();
    world.facilitator.forget();

    const response = await fetch(`${world.url}/weather/terms`, {
      headers: await paidHeaders(`${world.url}/weather/terms`, payer),
    });

    assert.equal(response.status, 200);
    const [{ paymentRequirements, paymentPayload }] = world.facilitator.bodies("/settle");
    // The quote is between the gateway and the buyer: it must not leave with the payment.
    assert.deepEqual(paymentRequirements, {
      scheme: "exact", network: "eip155:8453", amount: "1000", asset: USDC, payTo: world.payTo,
      maxTimeoutSeconds: 90, extra: { name: "USD Coin", version: "2" },
    });
    assert.deepEqual(paymentPayload.accepted, paymentRequirements);
    assert.deepEqual(world.facilitator.bodies("/verify"), world.facilitator.bodies("/settle"));
  });

  test("a buyer cannot forge what the gateway tells the upstream", async () => {
    const payer = await world.chain.newPayer();
    const headers = await paidHeaders(`${world.url}/weather/forged`, payer);

    await fetch(`${world.url}/weather/forged`, {
      headers: { ...headers, "X-Tollgate-Payer": "0xsomebody", "X-Tollgate-Plan": "pro", "X-Tollgate-Payment-Id": "mine" },
    });

    const [seen] = world.upstream.to("/weather/forged");
    assert.equal(seen.headers["x-tollgate-payer"].toLowerCase(), payer.address.toLowerCase());
    assert.equal(seen.headers["x-tollgate-plan"], undefined);
    assert.notEqual(seen.headers["x-tollgate-payment-id"], "mine");
  });
});

/** Lets `client` pay `price` for a request, and checks the money on the chain and the receipt. */
async function paidCall(client, price, target, init) {
  const { chain, payTo, facilitator } = world;
  const payer = await chain.newPayer();
  const [payerBefore, payToBefore] = await Promise.all([chain.balanceOf(payer.address), chain.balanceOf(payTo)]);
  facilitator.forget();

  const response = await client.request(payer, world.url + target, init);

  assert.equal(response.status, 200, response.body);
  const receipt = await assertReceipt(world, response.headers, payer);
  assert.equal(receipt.network, client.name === "x402-fetch" ? "base" : "eip155:8453");
  assert.equal(await chain.balanceOf(payer.address), payerBefore - price);
  assert.equal(await chain.balanceOf(payTo), payToBefore + price);
  await assertPaidOnce(world, payer, price);
  assert.equal(facilitator.count("/verify"), 1);
  assert.equal(facilitator.count("/settle"), 1);
  return { payer, response };
}

function assertSeenByUpstream(seen, { method, target, body, payer }) {
  assert.equal(seen.method, method);
  assert.equal(seen.target, target);
  assert.equal(seen.sha256, sha256(body));
  assertNoSecrets(seen);
  assert.equal(seen.headers["x-tollgate-payer"].toLowerCase(), payer.address.toLowerCase());
  assert.ok(seen.headers["x-tollgate-payment-id"]);
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}
