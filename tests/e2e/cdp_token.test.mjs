// A facilitator that wants a signed token for each endpoint, as Coinbase's does: its demands are checked by `jose`, and
// behind them a real facilitator settles on a real chain.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { assertPaidNothing, assertPaidOnce, assertReceipt } from "./lib/asserts.mjs";
import { startCdp } from "./lib/cdp.mjs";
import { startChain } from "./lib/chain.mjs";
import { startChild } from "./lib/child.mjs";
import { startFacilitator } from "./lib/facilitator.mjs";
import { startGateway } from "./lib/gateway.mjs";
import { tollgateBin } from "./lib/paths.mjs";
import { paidHeaders } from "./lib/payment.mjs";
import { buyPlan, withKey } from "./lib/plan.mjs";
import { startUpstream } from "./lib/upstream.mjs";

const ID = "organizations/0b5d/apiKeys/00000000-0000-4000-8000-000000000000";
const TABLES = `
[facilitator.cdp]
key_id = "${ID}"
secret = { env = "CDP_API_KEY_SECRET" }

[[routes]]
path  = "/weather"
price = "$0.001"
units = 1.0

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"
`;

const p256 = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const KINDS = {
  EdDSA: {
    pair: () => generateKeyPairSync("ed25519"),
    secret({ privateKey }) {
      const { d, x } = privateKey.export({ format: "jwk" });
      return Buffer.concat([Buffer.from(d, "base64url"), Buffer.from(x, "base64url")]).toString("base64");
    },
  },
  "ES256 in SEC1": { pair: p256, secret: ({ privateKey }) => privateKey.export({ format: "pem", type: "sec1" }) },
  "ES256 in PKCS#8, in one line": {
    pair: p256,
    secret: ({ privateKey }) => privateKey.export({ format: "pem", type: "pkcs8" }).replaceAll("\n", "\\n"),
  },
};

for (const [kind, { pair, secret }] of Object.entries(KINDS)) {
  describe(`with a key for ${kind}`, () => {
    const own = pair();
    const world = { stop: [] };
    let cdp, weather;

    before(async () => {
      world.chain = await startChain();
      world.stop.push(world.chain.stop);
      world.facilitator = await startFacilitator(world.chain);
      world.stop.push(world.facilitator.stop);
      world.upstream = await startUpstream();
      world.stop.push(world.upstream.stop);
      cdp = await startCdp(world.facilitator, { id: ID, alg: kind.split(" ")[0], publicKey: own.publicKey });
      world.stop.push(cdp.stop);
      world.payTo = privateKeyToAccount(generatePrivateKey()).address;
      const env = { CDP_API_KEY_SECRET: secret(own), RUST_LOG: "trace,hyper=trace" };
      const { upstream, payTo } = world;
      world.gateway = await startGateway({ upstream, facilitator: cdp, payTo, tables: TABLES, env });
      world.stop.push(world.gateway.remove);
      world.url = world.gateway.url;
      weather = `${world.url}/weather`;
    });
    after(async () => {
      for (const stop of world.stop.reverse()) await stop();
    });
    beforeEach(() => cdp.know(own.publicKey));

    test("calls and plans are sold, and each endpoint gets its own token, which it gets again", async () => {
      for (let call = 0; call < 3; call++) {
        const payer = await world.chain.newPayer();
        const answer = await fetch(weather, { headers: await paidHeaders(weather, payer) });
        assert.equal(answer.status, 200);
        await assertReceipt(world, answer.headers, payer);
        await assertPaidOnce(world, payer, 1_000n);
      }
      const key = await buyPlan(world, "trial");
      assert.equal((await fetch(weather, withKey(key))).status, 200);

      assert.deepEqual(cdp.refusals(), []);
      const tokens = path => new Set(cdp.to(path).map(call => call.token));
      for (const path of ["/verify", "/settle"]) {
        assert.equal(cdp.to(path).length, 4);
        assert.equal(tokens(path).size, 1);
      }
      assert.equal(new Set(cdp.calls.map(call => cdp.header(call).nonce)).size, 3);
    });

    test("tokens that are refused before their time are renewed, and the call is paid once", async () => {
      const payer = await world.chain.newPayer();
      const headers = await paidHeaders(weather, payer);
      cdp.forgetTokens();
      cdp.calls.splice(0);

      const answer = await fetch(weather, { headers });

      assert.equal(answer.status, 200);
      await assertPaidOnce(world, payer, 1_000n);
      assert.deepEqual(cdp.refusals(), ["/verify: forgotten", "/settle: forgotten"]);
      assert.equal(cdp.to("/settle").length, 2);
    });

    test("a key that is not known stops paid calls with 503, nobody pays, and the payment is good afterwards", async () => {
      const payer = await world.chain.newPayer();
      const headers = await paidHeaders(weather, payer);
      cdp.know(pair().publicKey);
      world.upstream.requests.splice(0);
      world.facilitator.forget();

      const answer = await fetch(weather, { headers });

      assert.equal(answer.status, 503);
      assert.equal(answer.headers.get("payment-required"), null, "no invitation to pay again");
      assert.equal(world.upstream.requests.length, 0);
      assert.equal(world.facilitator.paymentCalls(), 0);
      await assertPaidNothing(world, payer);

      cdp.know(own.publicKey);
      assert.equal((await fetch(weather, { headers })).status, 200);
      await assertPaidOnce(world, payer, 1_000n);
    });

    test("the check says whether the key is known", async () => {
      assert.equal((await check()).code, 0);
      cdp.know(pair().publicKey);
      const { code, output } = await check();
      assert.notEqual(code, 0);
      assert.match(output, /does not say what it settles: .*HTTP 401/);
    });

    test("the log at its loudest has nothing of key and tokens", async () => {
      const log = world.gateway.log();
      const lines = secret(own).split(/\\n|\n/).filter(line => line && !line.startsWith("-----"));
      const tokens = cdp.calls.map(call => call.token.split(".")[2]);
      assert.ok(tokens.length > 5 && lines.length > 0 && log.length > 1_000);
      for (const mark of [...lines, ...tokens]) assert.ok(!log.includes(mark), "a secret is in the log");
    });

    async function check() {
      const env = { ...process.env, CDP_API_KEY_SECRET: secret(own) };
      const child = startChild(tollgateBin, ["check", "--online", world.gateway.file], { env });
      const { code } = await child.ended;
      return { code, output: child.output };
    }
  });
}
