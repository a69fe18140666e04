// No secret is written anywhere, with the real clients on a real chain: not to the log at its loudest, not to the disk,
// not to an answer, not to another machine than the one it is for. tests/gateway/secrets.rs does the same with servers
// that lie; here everything is as in earnest, and the secrets come from the environment and from files.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import * as v1 from "./clients/fetch_v1.mjs";
import * as v2 from "./clients/fetch_v2.mjs";
import { startChain } from "./lib/chain.mjs";
import { startFacilitator } from "./lib/facilitator.mjs";
import { startGateway } from "./lib/gateway.mjs";
import { closeServer, listen, readBody, sendJson } from "./lib/http_server.mjs";
import { challengeOf, encode, headersOf, sign } from "./lib/payment.mjs";
import { freePort } from "./lib/ports.mjs";
import { signIn, signInHeader } from "./lib/siwx.mjs";
import { startTap } from "./lib/tap.mjs";
import { until } from "./lib/until.mjs";
import { startUpstream } from "./lib/upstream.mjs";
import { echo, openSocket } from "./lib/websocket.mjs";
import { assertNowhere, filesIn, startWitness } from "./lib/witness.mjs";

const TABLES = `
[keys]
query = "token"

[[routes]]
path  = "/weather"
price = "$0.001"

[[routes]]
path  = "/data"
units = 1.0

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 100
duration = "30d"

[subscriptions]
quota_alerts = [1]
`;
const PURCHASE = "/x402/purchase?plan=trial";

// 32 bytes, as Standard Webhooks has them.
const SIGNING = Buffer.from("mark-of-the-webhook-secret-01234").toString("base64");
const secretsFor = rpcUrl => ({
  ADMIN_TOKEN: "mark-of-the-operator-0123456789",
  FACILITATOR_TOKEN: "Bearer mark-of-the-facilitator",
  WEBHOOK_SECRET: `whsec_${SIGNING}`,
  UPSTREAM_SECRET: "mark-of-the-upstream-header",
  RPC_URL: `${rpcUrl}/v2/mark-of-the-rpc-path?key=mark-of-the-rpc-query`,
  STORE_SECRET: "mark-of-the-store-0123456789abcdef0123456789",
});
const MARKS = [
  "mark-of-the-operator",
  "mark-of-the-facilitator",
  "mark-of-the-webhook",
  SIGNING,
  "mark-of-the-upstream-header",
  "mark-of-the-rpc-path",
  "mark-of-the-rpc-query",
  "mark-of-the-store",
  // What was meant for somebody else, or mistyped.
  "mark-of-a-wrong-key",
  "mark-of-a-wrong-token",
  "mark-of-a-wrong-payment",
  "mark-of-an-inline-secret",
];

const butPayments = ({ keys, proofs }) => [...MARKS, ...keys, ...proofs];
const all = stage => [...butPayments(stage), ...stage.payments];

for (const by of ["env", "file"]) {
  describe(`of the secrets that come by ${by}, the keys and the payments`, () => {
    let stage, files;
    before(async () => {
      stage = await startStage(by);
      await drive(stage);
      // Before the end, which writes the log back into the file: both have to be clean.
      files = filesIn(stage.gateway.dir);
      await stage.gateway.stop();
    });
    after(() => stage?.stop());

    test("all were in use", () => {
      const { upstream, rpc, hook, tap, keys, payments, proofs } = stage;
      assert.equal(upstream.to("/data")[0].headers["x-upstream-secret"], "mark-of-the-upstream-header");
      assert.ok(rpc.targets.includes("/v2/mark-of-the-rpc-path?key=mark-of-the-rpc-query"), "the chain was asked");
      assert.match(tap.heard(), /mark-of-the-facilitator/);
      assert.ok(hook.heard.length > 0 && hook.heard.every(message => message.includes("webhook-signature")));
      const sizes = [keys, payments, proofs].map(set => set.size);
      assert.ok(sizes[0] >= 4 && sizes[1] >= 16 && sizes[2] >= 6, `${sizes}`);
      assert.match(stage.gateway.log(), /outcome="settled"/);
      assert.match(stage.gateway.log(), /is written here for every reader/);
    });

    test("none is in the log", () => {
      assertNowhere(all(stage), "the log", stage.gateway.log());
    });

    test("none is in an answer, on the metrics page, or printed by a command", () => {
      for (const [place, text] of stage.answers) assertNowhere(all(stage), place, text);
    });

    test("none is on the disk, but for the payments that may have to be asked for again", () => {
      const found = [...files, ...filesIn(stage.gateway.dir)];
      assert.ok(found.some(([name, text]) => name === "tollgate.db" && text.startsWith("SQLite format 3")));
      assert.ok(found.some(([name, text]) => name === "tollgate.db-wal" && text.length > 0));
      for (const [name, text] of found) assertNowhere(butPayments(stage), name, text);
    });

    test("none is told to a machine that it is not for", () => {
      const requests = JSON.stringify(stage.upstream.requests.map(({ headers, ...rest }) => [headers, rest]));
      const others = requests.replaceAll('"x-upstream-secret":"mark-of-the-upstream-header"', "");
      assertNowhere(all(stage), "the upstream", others);
      assertNowhere(all(stage), "a webhook", stage.hook.heard.join());
      const asked = stage.facilitator.calls.map(({ body }) => body);
      assertNowhere(butPayments(stage), "the facilitator", JSON.stringify(asked));
    });
  });
}

/** Everything that takes or gives a credential, the good ways and the bad. */
async function drive(stage) {
  const { chain, gateway, upstream, facilitator, rpc } = stage;
  const weather = `${gateway.url}/weather`;
  const payer = await chain.newPayer();

  // Not version 1 first: its facilitator cannot try a transfer out on a chain that has no block yet.
  for (const client of [v2, v1]) {
    const paid = await client.request(payer, weather, { transport: stage.spy });
    assert.equal(paid.status, 200, `${client.name}: ${paid.body}`);
  }
  const bought = await v2.request(payer, gateway.url + PURCHASE, { transport: stage.spy });
  const key = JSON.parse(bought.body).apiKey;

  await stage.ask("/data", 200, { "X-API-KEY": key });
  await stage.ask("/data", 200, { Authorization: `Bearer ${key}` });
  await stage.ask("/x402/status", 200, { "X-API-KEY": key });
  await stage.ask("/x402/keys", 200, { "X-API-KEY": key });
  const { socket } = await openSocket(`${gateway.wsUrl}/data?token=${key}`);
  assert.equal(await echo(socket, "hello"), "hello");
  socket.close();

  const token = (await signIn({ url: gateway.url }, payer)).headers;
  await stage.ask("/data", 200, token);
  await stage.ask("/x402/status", 200, token);
  const header = await signInHeader(gateway.url + PURCHASE, payer);
  await stage.ask("/x402/status", 200, header);
  await stage.ask(PURCHASE, 200, header);
  const stranger = await chain.newPayer();
  await stage.ask("/data", 402, (await signIn({ url: gateway.url }, stranger)).headers);
  await stage.ask("/data", 401, { Authorization: `${token.Authorization.slice(0, -4)}0000` });

  const rotated = await stage.ask("/x402/keys/rotate", 201, { "X-API-KEY": key }, "POST");
  assert.notEqual(rotated.apiKey, key);
  await stage.ask("/data", 402, { "X-API-KEY": key });
  await stage.ask("/data", 200, { "X-API-KEY": rotated.apiKey });

  for (const wrong of [{ "X-API-KEY": "mark-of-a-wrong-key" }, { "X-API-KEY": `${key.slice(0, -4)}0000` }]) {
    await stage.ask("/data", 402, wrong);
  }
  await stage.ask("/data", 402, { Authorization: "Bearer mark-of-a-wrong-token" });
  assert.ok((await openSocket(`${gateway.wsUrl}/data?token=${key}`)).refused >= 400);
  assert.ok((await openSocket(`${gateway.wsUrl}/data?token=mark-of-a-wrong-key`)).refused >= 400);
  for (const name of ["PAYMENT-SIGNATURE", "X-PAYMENT"]) {
    const wrong = encode({ x402Version: 2, payload: "mark-of-a-wrong-payment" });
    assert.ok((await stage.ask("/weather", undefined, { [name]: wrong })).status >= 400);
    assert.ok((await stage.ask("/weather", undefined, { [name]: "mark-of-a-wrong-payment" })).status >= 400);
  }
  const forged = await sign(await challengeOf(weather), payer);
  forged.payload.signature = `${forged.payload.signature.slice(0, -6)}00001b`;
  await stage.ask("/weather", 402, headersOf(forged));
  const poor = await chain.newPayer(0n);
  await stage.ask("/weather", 402, headersOf(await sign(await challengeOf(weather), poor)));

  await upstream.stop();
  await stage.ask("/weather", 502, headersOf(await sign(await challengeOf(weather), payer)));
  await stage.ask("/data", 502, { "X-API-KEY": rotated.apiKey });
  await upstream.start();

  const [call, plan] = [await challengeOf(weather), await challengeOf(gateway.url + PURCHASE)];
  await facilitator.stop();
  await stage.ask("/weather", 503, headersOf(await sign(call, payer)));
  await stage.ask(PURCHASE, 503, headersOf(await sign(plan, payer)));
  await facilitator.start();

  // The money moves, nobody says so, and the chain cannot be asked; then it can.
  const doubted = headersOf(await sign(await challengeOf(weather), payer));
  const release = facilitator.holdAnswers();
  await rpc.stop();
  await stage.ask("/weather", 503, doubted);
  await rpc.start();
  release();
  await stage.command("payments", "reconcile", gateway.file);
  await until("the doubt is over", async () => (await stage.ask("/weather", undefined, doubted)).status === 200);

  gateway.edit(tables => tables.replace(/secret = .*/, 'secret = "mark-of-an-inline-secret"'));
  await until("a reload that fails", () => gateway.log().includes("the old one stays in force"));
  assert.notEqual(await stage.command("check", gateway.file), 0);
  gateway.edit(() => stage.tables);
  await operate(stage);
}

/** What the operator does. */
async function operate(stage) {
  const { adminUrl, file } = stage.gateway;
  const right = { Authorization: "Bearer mark-of-the-operator-0123456789" };
  const { holder, id, subscription } = (await stage.ask(`${adminUrl}/api/v1/keys`, 200, right)).keys[0];
  const { paths } = await stage.ask(`${adminUrl}/api/v1/openapi.json`, 200, right);
  const ids = { holders: holder, subscriptions: subscription.id, keys: id };
  for (const [template, operations] of Object.entries(paths)) {
    const target = template.replace(/(\w+)\/\{id\}/, (_, noun) => `${noun}/${ids[noun]}`);
    if (operations.get) await stage.ask(adminUrl + target, 200, right);
    if (template !== "/api/v1/openapi.json") {
      await stage.ask(adminUrl + target, 401, { Authorization: "Bearer mark-of-a-wrong-token" });
    }
  }
  const body = JSON.stringify({ plan: "trial", for: "acme" });
  const minted = await stage.ask(`${adminUrl}/api/v1/keys`, 201, right, "POST", body);
  assert.match(minted.apiKey, /^tg_live_/);
  await stage.ask(`${adminUrl}/metrics`, 200);

  const shown = JSON.parse(await stage.output("payments", "list", file, "--json", "--limit", "1"));
  for (const command of [
    ["check", file],
    ["check", file, "--online"],
    ["explain", file, "GET", "/weather?token=mark-of-nobody"],
    ["payments", "list", file],
    ["payments", "show", file, shown.id],
    ["payments", "export", file],
    ["payments", "export", file, "--format", "json"],
    ["keys", "list", file],
    ["keys", "list", file, "--json"],
    ["keys", "show", file, holder],
    ["keys", "usage", file],
    ["keys", "export", file],
    ["keys", "export", file, "--format", "json"],
  ]) {
    assert.equal(await stage.command(...command), 0, command.join(" "));
  }
}

/** A world whose secrets all have a mark, and which keeps what it hears. */
async function startStage(by) {
  const started = [];
  const stop = async () => {
    for (const end of started.splice(0).reverse()) await end();
  };
  const keep = thing => {
    started.push(thing.stop ?? thing.remove);
    return thing;
  };
  try {
    const chain = keep(await startChain());
    const rpc = keep(await startRpc(chain));
    const facilitator = keep(await startFacilitator(chain));
    const tap = keep(await startTap(new URL(facilitator.url).port));
    const upstream = keep(await startUpstream());
    const hook = keep(await startHook());
    const kept = mkdtempSync(path.join(os.tmpdir(), "tollgate-e2e-"));
    started.push(() => rmSync(kept, { recursive: true, force: true }));

    const secrets = secretsFor(rpc.url);
    const place = name => {
      if (by === "env") return `{ env = "${name}" }`;
      writeFileSync(path.join(kept, name), `${secrets[name]}\n`, { mode: 0o600 });
      return `{ file = ${JSON.stringify(path.join(kept, name))} }`;
    };
    const tables = `${TABLES}
[server.admin_token]
${place("ADMIN_TOKEN").slice(1, -1)}
[upstream.headers]
X-Upstream-Secret = ${place("UPSTREAM_SECRET")}
[facilitator.headers]
Authorization = ${place("FACILITATOR_TOKEN")}
[networks.base]
rpc_url = ${place("RPC_URL")}
[webhook]
url    = "${hook.url}"
secret = ${place("WEBHOOK_SECRET")}
`;
    const env = { RUST_LOG: "trace,h2=trace,hyper=trace", ...(by === "env" && secrets) };
    const payTo = privateKeyToAccount(generatePrivateKey()).address;
    const facilitatorKeys = { settle_timeout: "1s", resolve_timeout: "1s" };
    const storeSecret = place("STORE_SECRET");
    const options = { upstream, facilitator: tap, payTo, tables, facilitatorKeys, storeSecret, env };
    const gateway = keep(await startGateway(options));
    return { ...startWitness(gateway, env), chain, rpc, facilitator, tap, upstream, hook, gateway, tables, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The chain behind an address with a key in it, as those who sell access to one have it. */
async function startRpc(chain) {
  const targets = [];
  const server = http.createServer(async (request, response) => {
    targets.push(request.url);
    const answer = await fetch(chain.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: await readBody(request),
    });
    sendJson(response, answer.status, await answer.json());
  });
  const port = await listen(server);
  const url = `http://127.0.0.1:${port}`;
  return { url, targets, stop: () => closeServer(server), start: () => listen(server, port) };
}

/** A machine that is told of alerts. */
async function startHook() {
  const heard = [];
  const server = http.createServer(async (request, response) => {
    heard.push(JSON.stringify(request.headers) + (await readBody(request)));
    sendJson(response, 200, {});
  });
  const port = await listen(server, await freePort());
  return { url: `http://127.0.0.1:${port}/hook`, heard, stop: () => closeServer(server) };
}
