// Real caches in front of the gateway, and an upstream that asks them to keep everything: what one has paid for is not
// handed to the next, and a refusal does not stand in the way of who pays.
//
// No origin can do anything about a cache that is told to ignore both Cache-Control and Vary.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { privateKeyToAccount, generatePrivateKey } from "viem/accounts";
import * as v1 from "./clients/fetch_v1.mjs";
import * as v2 from "./clients/fetch_v2.mjs";
import { ETAG, HINTS, startCachedApi } from "./lib/cached_api.mjs";
import { startChain } from "./lib/chain.mjs";
import { startFacilitator } from "./lib/facilitator.mjs";
import { startGateway } from "./lib/gateway.mjs";
import { startNginx } from "./lib/nginx.mjs";
import { paidHeaders } from "./lib/payment.mjs";
import { buyPlan, withKey } from "./lib/plan.mjs";
import { freePort } from "./lib/ports.mjs";
import { rawRequest } from "./lib/raw.mjs";
import { PREMIUM } from "./lib/stacks/goods.mjs";
import { startVarnish } from "./lib/varnish.mjs";

const TABLES = `
[[routes]]
path  = "/goods/{rest...}"
price = "$0.001"
units = 1.0

[[routes]]
path = "/open/{rest...}"
free = true

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 100_000
duration = "30d"
`;

/** A path with one free call, for each cache and each thing that the upstream may say. */
const trialPath = (front, hint) => `/trial/${[front, hint].map(text => text.replace(/\W/g, "-")).join("/")}`;
const trialRoute = path => `[[routes]]\npath = "${path}"\nprice = "$0.001"\nfree_calls = "1/d"\n`;
const trialRoutes = () =>
  Object.keys(FRONTS).flatMap(front => Object.keys(HINTS).map(hint => trialRoute(trialPath(front, hint)))).join("");

let world, key;
before(async () => {
  const chain = await startChain();
  const facilitator = await startFacilitator(chain);
  const upstream = await startCachedApi();
  const payTo = privateKeyToAccount(generatePrivateKey()).address;
  const gateway = await startGateway({ upstream, facilitator, payTo, tables: TABLES + trialRoutes() });
  world = { chain, facilitator, upstream, gateway, url: gateway.url };
  key = await buyPlan(world, "trial");
});
after(async () => {
  await world?.gateway.remove();
  await world?.upstream.stop();
  await world?.facilitator.stop();
  await world?.chain.stop();
});
beforeEach(() => Object.assign(world.upstream, { says: {}, status: 200 }));

const nginx = lines => async () => {
  const port = await freePort();
  const config = dir => `
  proxy_cache_path ${dir}/cache levels=1 keys_zone=all:1m;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${world.url};
      proxy_set_header Host $host;
      proxy_cache all;
      proxy_cache_key $host$request_uri;
      add_header X-Cache-Status $upstream_cache_status always;
      ${lines}
    }
    location /behind/ { internal; return 200 "${PREMIUM}"; }
  }`;
  return startNginx(config, `http://127.0.0.1:${port}`);
};
const varnish = rules => () => startVarnish(world.url, rules);

// Those that ignore Cache-Control keep to Vary, so a free trial is what they would give away: it has no credential.
const FRONTS = {
  "nginx that keeps what it is told to": { start: nginx("") },
  "nginx that keeps all it is not told about": { start: nginx("proxy_cache_valid any 10m; proxy_cache_revalidate on;") },
  "nginx that ignores Cache-Control": {
    start: nginx("proxy_cache_valid any 10m; proxy_ignore_headers Cache-Control Expires X-Accel-Expires;"), lawless: true,
  },
  "Varnish with its built-in rules": { start: varnish("") },
  "Varnish with longer times": { start: varnish("set beresp.ttl = 10m; set beresp.grace = 1h; set beresp.keep = 1h;") },
  "Varnish that ignores Cache-Control": {
    start: varnish("set beresp.ttl = 10m; set beresp.grace = 1h; return (deliver);"), lawless: true,
  },
};

const CONDITIONS = [
  {}, { Range: "bytes=0-6" }, { "If-None-Match": ETAG }, { "If-None-Match": "*" }, { "If-None-Match": '"other"' },
  { "If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT" }, { "If-Range": ETAG, Range: "bytes=0-6" },
  { "Cache-Control": "only-if-cached, max-stale=9999" }, { "Cache-Control": "max-stale" },
];
const TELLING = /^(etag|last-modified|content-range|accept-ranges|payment-response):/im;

/** Whoever has not paid is told what it costs, however they ask. */
async function assertSoldToNobody(front, target) {
  for (const method of ["GET", "HEAD"]) {
    for (const headers of CONDITIONS) {
      const answer = await rawRequest(front.url, target, { method, headers });
      const what = `${method} ${target} ${JSON.stringify(headers)}: ${answer.head}`;
      assert.equal(answer.status, 402, what);
      assert.doesNotMatch(answer.head, TELLING, what);
      assert.doesNotMatch(answer.body, /PREMIUM/, what);
    }
  }
}

const bought = answer => assert.match(`${answer.status} ${answer.body}`, /^200 PREMIUM-GOODS/);
const hosted = { Host: "127.0.0.1" };
const ask = (front, target, headers) => rawRequest(front.url, target, { headers: { ...headers, ...hosted } });

for (const [name, { start, lawless }] of Object.entries(FRONTS)) {
  describe(`with ${name} in front`, () => {
    let front, paths = 0;
    const newPath = () => `/goods/${encodeURIComponent(name)}/${paths++}`;
    const pay = async target => paidHeaders(`${world.url}${target}`, await world.chain.newPayer());
    before(async () => {
      front = await start();
    });
    after(() => front?.stop());

    for (const [hint, says] of Object.entries(HINTS)) {
      test(`what was paid for is nobody else's, if the upstream says ${hint}`, async () => {
        world.upstream.says = says;
        for (const buy of [pay, () => withKey(key).headers]) {
          const target = newPath();
          assert.equal((await ask(front, target, {})).status, 402);
          bought(await ask(front, target, await buy(target)));
          await assertSoldToNobody(front, target);
          // The refusals that were given meanwhile are in nobody's way.
          bought(await ask(front, target, await buy(target)));
        }
      });
    }

    test("what real clients of both versions paid for is nobody else's", async () => {
      world.upstream.says = HINTS.all;
      for (const client of [v1, v2]) {
        const target = newPath();
        bought(await client.request(await world.chain.newPayer(), `${front.url}${target}`));
        await assertSoldToNobody(front, target);
      }
    });

    test("what is given again for the same payment is nobody else's", async () => {
      world.upstream.says = HINTS.all;
      const target = newPath();
      const payment = await pay(target);
      // The repeat is the first that a cache could keep.
      bought(await rawRequest(world.url, target, { headers: payment }));
      const asked = world.upstream.requests.length;
      bought(await ask(front, target, payment));
      assert.equal(world.upstream.requests.length, asked, "it comes from the ledger, or from the buyer's own variant");
      await assertSoldToNobody(front, target);
    });

    test("a part that was paid for is nobody else's", async () => {
      world.upstream.says = HINTS.all;
      const target = newPath();
      const answer = await ask(front, target, { ...(await pay(target)), Range: "bytes=0-6" });
      assert.ok([200, 206].includes(answer.status) && answer.body.startsWith("PREMIUM"), answer.head);
      await assertSoldToNobody(front, target);
    });

    test("a failure that a payer was told is in nobody's way", async () => {
      const target = newPath();
      for (const status of [404, 410]) {
        Object.assign(world.upstream, { says: HINTS.all, status });
        assert.equal((await ask(front, target, await pay(target))).status, status);
        await assertSoldToNobody(front, target);
      }
      world.upstream.status = 200;
      bought(await ask(front, target, await pay(target)));
    });

    // A free call is asked for without a credential, so Vary cannot tell it from anybody else's: against a cache that
    // ignores Cache-Control no origin can do anything.
    if (!lawless) {
      test("a free call is nobody else's", async () => {
        for (const [hint, says] of Object.entries(HINTS)) {
          world.upstream.says = says;
          const target = trialPath(name, hint);
          const asked = world.upstream.requests.length;
          bought(await ask(front, target, {}));
          // The address that had it is the cache's, so whoever comes next pays.
          await assertSoldToNobody(front, target);
          assert.equal(world.upstream.requests.length - asked, 1, hint);
          bought(await ask(front, target, await pay(target)));
          await assertSoldToNobody(front, target);
        }
      });
    }

    test("what is free is kept as the upstream says", async () => {
      world.upstream.says = HINTS["Cache-Control"];
      const target = `/open/${encodeURIComponent(name)}`;
      const asked = world.upstream.requests.length;
      for (let i = 0; i < 3; i++) bought(await ask(front, target, {}));
      assert.equal(world.upstream.requests.length - asked, 1);
    });
  });
}

test("a condition without a payment learns nothing from the gateway itself", async () => {
  world.upstream.says = HINTS.all;
  const target = "/goods/alone";
  bought(await rawRequest(world.url, target, { headers: withKey(key).headers }));
  const asked = world.upstream.requests.length;
  await assertSoldToNobody(world, target);
  assert.equal(world.upstream.requests.length, asked);
});
