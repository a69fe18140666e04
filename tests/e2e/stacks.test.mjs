// Real servers behind the gateway, each with its own idea of a path: in no spelling, by no method and by no header does
// one of them hand out for free what is priced.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { privateKeyToAccount, generatePrivateKey } from "viem/accounts";
import { startChain } from "./lib/chain.mjs";
import { startFacilitator } from "./lib/facilitator.mjs";
import { startGateway } from "./lib/gateway.mjs";
import { repoDir } from "./lib/paths.mjs";
import { paidHeaders } from "./lib/payment.mjs";
import { buyPlan, withKey } from "./lib/plan.mjs";
import { each, rawRequest } from "./lib/raw.mjs";
import { expressStack } from "./lib/stacks/express.mjs";
import { FREE, PREMIUM } from "./lib/stacks/goods.mjs";
import { nginxStacks } from "./lib/stacks/nginx.mjs";
import { nodeStacks } from "./lib/stacks/node.mjs";
import { pythonStacks } from "./lib/stacks/python.mjs";

const STACKS = [...nginxStacks, ...nodeStacks, expressStack, ...pythonStacks];
const { targets: TARGETS } = JSON.parse(readFileSync(path.join(repoDir, "tests/vectors/targets.json"), "utf8"));

/** The goods under their own names. */
const PLAIN = /^\/(weather|market|premium|premium\/(report|a\/b))(\?|$)/;

const priced = route => `[[routes]]\n${route}\nprice = "$1"\n`;
const free = route => `[[routes]]\npath = "${route}"\nfree = true\n`;
const TABLES = `
${["/weather", "/market", "/premium/{rest...}"].map(route => priced(`path = "${route}"`)).join("")}
${priced(`path = "/read"\nmethods = ["GET"]`)}
${free("/free")}${free("/public/{rest...}")}
[[routes]]
path  = "/cheap"
price = "$0.001"
units = 1.0

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 100_000
duration = "30d"
`;

let shared;
before(async () => {
  const chain = await startChain();
  shared = { chain, facilitator: await startFacilitator(chain) };
});
after(async () => {
  await shared?.facilitator.stop();
  await shared?.chain.stop();
});

/** What an answer is, in a word: what was served, or else the status. */
function said({ status, body }) {
  if (body.includes(PREMIUM)) return "premium";
  return body.includes(FREE) ? "free" : String(status);
}

async function gatewayTo(upstream, unlisted) {
  const payTo = privateKeyToAccount(generatePrivateKey()).address;
  return startGateway({ upstream, facilitator: shared.facilitator, payTo, tables: TABLES, unlisted });
}

/** Nothing, and what opens the cheap route only: a key and a payment. */
async function credentials(gateway) {
  const world = { ...shared, url: gateway.url };
  const payment = await paidHeaders(`${gateway.url}/cheap`, await shared.chain.newPayer());
  return [["nothing", {}], ["a key", withKey(await buyPlan(world, "trial")).headers], ["a payment", payment]];
}

const counted = words => {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].sort().map(([word, count]) => `${word} ${count}`).join(", ");
};

for (const stack of STACKS) {
  describe(`behind the gateway, ${stack.name}`, () => {
    let upstream;
    const gateways = {};
    const direct = new Map();
    const ask = async target => {
      if (!direct.has(target)) direct.set(target, rawRequest(upstream.url, target).then(said));
      return direct.get(target);
    };
    before(async () => {
      upstream = await stack.start();
      for (const unlisted of ["free", "deny"]) gateways[unlisted] = await gatewayTo(upstream, unlisted);
    });
    after(async () => {
      for (const gateway of Object.values(gateways)) await gateway.remove();
      await upstream?.stop();
    });

    for (const unlisted of ["free", "deny"]) {
      test(`sells in no spelling what is priced, where unlisted paths are ${unlisted}`, async t => {
        assert.equal(await ask("/weather"), "premium");
        const { url } = gateways[unlisted];
        const through = [], bypasses = [];
        for (const [shown, headers] of await credentials(gateways[unlisted])) {
          await each(TARGETS, async ({ target, fate, as }) => {
            const answer = await rawRequest(url, target, { headers });
            const word = said(answer);
            const what = `${JSON.stringify(target)} with ${shown}: ${word}`;
            assert.notEqual(word, "premium", what);
            if (fate === "refused") assert.ok(["0", "400"].includes(word), what);
            else if (fate === "priced") assert.equal(word, "402", what);
            else if (fate === "unlisted" && unlisted === "deny") assert.equal(word, "404", what);
            else assert.equal(word, await ask(as), `${what}, but not at ${as}`);
            if (shown === "nothing") through.push(word);
          });
        }
        await each(TARGETS, async ({ target }) => {
          if ((await ask(target)) === "premium" && !PLAIN.test(target)) bypasses.push(target);
        });
        const alone = await Promise.all(TARGETS.map(({ target }) => ask(target)));
        t.diagnostic(`${TARGETS.length} targets; asked directly: ${counted(alone)}; through: ${counted(through)}`);
        if (unlisted === "free") t.diagnostic(`stopped: ${bypasses.sort().map(b => JSON.stringify(b)).join(" ")}`);
        assert.ok(bypasses.length > 0, "some spellings are a danger to this server");
      });
    }

    test("sells by no method what is priced", async () => {
      const methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get", "Get", "TRACE"];
      const tricks = [{}, ...["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"]
        .map(name => ({ [name]: "GET" }))];
      for (const unlisted of ["free", "deny"]) {
        await each(methods.flatMap(method => tricks.map(headers => ({ method, headers }))), async sent => {
          const what = `${sent.method} ${JSON.stringify(sent.headers)} ${unlisted}`;
          const all = await rawRequest(gateways[unlisted].url, "/weather", sent);
          assert.ok([0, 400, 402, 405].includes(all.status), `${what}: ${all.status}`);
          assert.doesNotMatch(all.body, /GOODS/, what);
          const some = await rawRequest(gateways[unlisted].url, "/read", sent);
          // Static files are the same whatever the method: there the price is for all of them.
          if (stack === expressStack || stack.name === "Flask") assert.notEqual(said(some), "premium", what);
          if (["GET", "HEAD"].includes(sent.method)) assert.ok([400, 402].includes(some.status), what);
        });
      }
    });

    test("sells for no header what is priced", async () => {
      const free = ["/free/weather", "/public/weather", "/free", "/public/premium/report"];
      const tricks = ["X-Original-URL", "X-Rewrite-URL", "X-Script-Name", "Script-Name", "SCRIPT_NAME", "PATH_INFO",
        "X-Forwarded-Prefix", "X-Accel-Mapping", "X-Sendfile-Type", "X-Forwarded-Path", "X-Forwarded-Uri"];
      const values = ["/free", "/public", "/weather", "/premium/report"];
      const sent = free.flatMap(target => tricks.flatMap(name => values.map(value => ({ target, headers: { [name]: value } }))));
      await each(sent, async ({ target, headers }) => {
        const answer = await rawRequest(gateways.free.url, target, { headers });
        assert.notEqual(said(answer), "premium", `${target} ${JSON.stringify(headers)}`);
      });
    });
  });
}
