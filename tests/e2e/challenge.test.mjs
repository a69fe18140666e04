// What an unpaid request is told.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { PaymentRequiredV2Schema } from "@x402/core/schemas";
import { PaymentRequirementsSchema as PaymentRequirementsV1Schema } from "x402/types";
import { USDC } from "./lib/chain.mjs";
import { decode } from "./lib/payment.mjs";
import { assertRefused } from "./lib/asserts.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path  = "/weather"
price = "$0.001"

[[routes]]
path  = "/both"
price = "$0.01"
units = 1.0

[[routes]]
path  = "/members/{rest...}"
units = 5.0

[[routes]]
path = "/v1/status"
free = true

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"
`;

let world;
before(async () => {
  world = await startWorld(TABLES);
});
after(() => world?.stop());

describe("an unpaid request", () => {
  test("gets the terms in the header, for version 2", async () => {
    const response = await fetch(`${world.url}/weather?city=x`);

    assert.equal(response.status, 402);
    const header = response.headers.get("payment-required");
    assert.equal(response.headers.get("x-payment-required"), header);
    assert.match(header, /^[A-Za-z0-9+/]+={0,2}$/);
    assert.equal(header.length % 4, 0, "base64 with padding");
    const challenge = PaymentRequiredV2Schema.parse(decode(header));
    assert.equal(challenge.x402Version, 2);
    assert.equal(challenge.resource.url, `${world.url}/weather?city=x`);
    assert.equal(challenge.accepts.length, 1);
    const [{ extra, ...terms }] = challenge.accepts;
    assert.deepEqual(terms, {
      scheme: "exact", network: "eip155:8453", amount: "1000", asset: USDC, payTo: world.payTo, maxTimeoutSeconds: 90,
    });
    assert.equal(extra.name, "USD Coin");
    assert.equal(extra.version, "2");
  });

  test("gets the terms in the body, for version 1, and words for people", async () => {
    const response = await fetch(`${world.url}/weather`);

    assert.match(response.headers.get("content-type"), /^application\/json\b/);
    const body = await response.json();
    // The old client refuses the whole answer if one entry is not exactly what it knows.
    body.accepts.forEach(entry => PaymentRequirementsV1Schema.parse(entry));
    const [{ extra, description, mimeType, ...terms }] = body.accepts;
    assert.deepEqual(terms, {
      scheme: "exact", network: "base", maxAmountRequired: "1000", asset: USDC, payTo: world.payTo,
      maxTimeoutSeconds: 90, resource: `${world.url}/weather`,
    });
    assert.equal(typeof description, "string");
    assert.equal(typeof mimeType, "string");
    assert.equal(extra.name, "USD Coin");
    assert.equal(extra.version, "2");

    assert.equal(body.x402Version, 1);
    assert.equal(body.code, 402);
    assert.equal(body.error, "PAYMENT_REQUIRED");
    assert.match(body.message, /\/x402\/purchase/);
    assert.equal(body.details.reason, "missing_credentials");
    assert.equal(new URL(body.purchaseUrl, world.url).pathname, "/x402/purchase");
    assert.equal(new URL(body.pricingUrl, world.url).pathname, "/x402/pricing");
  });

  test("may be read by a browser and kept by nobody", async () => {
    const { headers } = await fetch(`${world.url}/weather`);

    assert.match(headers.get("cache-control"), /\bno-store\b/);
    const exposed = headers.get("access-control-expose-headers").toLowerCase().split(/\s*,\s*/);
    for (const name of ["payment-required", "x-payment-required", "payment-response", "x-payment-response"]) {
      assert.ok(exposed.includes(name), `${name} is exposed`);
    }
    assert.equal(headers.get("location"), null);
    assert.equal(headers.get("set-cookie"), null);
  });

  test("is refused whatever its method, and HEAD without a body", async () => {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]) {
      const response = await fetch(`${world.url}/weather`, { method });
      assert.equal(response.status, 402, method);
      assert.ok(response.headers.get("payment-required"), method);
      assert.equal((await response.text()) === "", method === "HEAD", method);
    }
  });

  test("with blank credentials is an unpaid request", async () => {
    await assertRefused(await fetch(`${world.url}/both`, { headers: { "X-API-KEY": " " } }), "missing_credentials");
    await assertRefused(await fetch(`${world.url}/both`, { headers: { "PAYMENT-SIGNATURE": "" } }), "missing_credentials");
  });

  test("to a route that only plans open names the plans and no price", async () => {
    const response = await fetch(`${world.url}/members/a/b`);

    assert.equal(response.headers.get("payment-required"), null);
    assert.equal(response.headers.get("x-payment-required"), null);
    const body = await assertRefused(response, "missing_credentials");
    assert.deepEqual(body.plans.map(plan => plan.name), ["trial"]);
  });

  test("to a route that both open gets the price and the plans", async () => {
    const response = await fetch(`${world.url}/both`);

    assert.equal(decode(response.headers.get("payment-required")).accepts[0].amount, "10000");
    const body = await assertRefused(response, "missing_credentials");
    assert.deepEqual(body.plans.map(plan => plan.name), ["trial"]);
  });

  test("never reaches the upstream nor the facilitator", async () => {
    world.upstream.requests.splice(0);
    world.facilitator.forget();

    await Promise.all(["/weather", "/both", "/members/x", "//weather", "/./weather", "/x/../weather", "/%77eather"].map(
      async path => {
        const response = await rawGet(path);
        assert.ok(response === 402 || response === 400, `${path}: ${response}`);
      },
    ));

    assert.equal(world.upstream.requests.length, 0);
    assert.equal(world.facilitator.paymentCalls(), 0);
  });
});

describe("a free request", () => {
  for (const path of ["/v1/status", "/named/by/no/route"]) {
    test(`to ${path} passes untouched`, async () => {
      const response = await fetch(`${world.url}${path}?a=1`, { headers: { "x-custom": "kept", "X-Tollgate-Plan": "pro" } });

      assert.equal(response.status, 200);
      assert.equal((await response.json()).target, `${path}?a=1`);
      assert.equal(response.headers.get("payment-response"), null);
      const [seen] = world.upstream.to(path);
      assert.equal(seen.headers["x-custom"], "kept");
      assert.equal(seen.headers["x-tollgate-plan"], undefined);
    });
  }
});

// `fetch` tidies paths up before it sends them; this does not.
function rawGet(path) {
  const { hostname, port } = new URL(world.url);
  return new Promise((resolve, reject) => {
    http.get({ hostname, port, path, agent: false }, response => {
      response.resume();
      resolve(response.statusCode);
    }).once("error", reject);
  });
}
