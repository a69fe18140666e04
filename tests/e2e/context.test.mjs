// Two upstreams that refuse whoever goes around the gateway: the Express app and the nginx configuration of the examples,
// as they are, the one by the gateway's signed token, the other by a secret that only the gateway has.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { CompactSign, SignJWT, UnsecuredJWT, decodeJwt, decodeProtectedHeader, generateKeyPair } from "jose";
import * as v2 from "./clients/fetch_v2.mjs";
import { startChild } from "./lib/child.mjs";
import { startNginx } from "./lib/nginx.mjs";
import { cacheDir, repoDir } from "./lib/paths.mjs";
import { buyPlan, withKey } from "./lib/plan.mjs";
import { freePort } from "./lib/ports.mjs";
import { startTap } from "./lib/tap.mjs";
import { until } from "./lib/until.mjs";
import { echo, openSocket } from "./lib/websocket.mjs";
import { startWorld } from "./lib/world.mjs";

const AUDIENCE = "https://upstream.internal";
const SECRET = "canary-5Up9r-Secret";
const TTL_S = 20;

const tables = (express, nginx) => `
[upstreams.express]
url     = "${express}"
context = { audience = "${AUDIENCE}", ttl = "${TTL_S}s" }

[upstreams.other]
url     = "${express}"
context = { audience = "https://other.internal" }

[upstreams.brief]
url     = "${express}"
context = { audience = "${AUDIENCE}", ttl = "5s" }

[upstreams.nginx]
url     = "${nginx}"
headers = { X-Upstream-Secret = { env = "UPSTREAM_SECRET" } }

${["express", "nginx"].map(name => `
[[routes]]
path     = "/${name}/free"
free     = true
upstream = "${name}"

[[routes]]
path     = "/${name}/paid"
price    = "$0.01"
upstream = "${name}"

[[routes]]
path     = "/${name}/upfront"
price    = "$0.01"
settle   = "before"
upstream = "${name}"

[[routes]]
path     = "/${name}/keyed"
units    = 1
upstream = "${name}"
`).join("\n")}
[[routes]]
path       = "/express/trial"
price      = "$0.01"
free_calls = "100/d"
upstream   = "express"

[[routes]]
path     = "/other/free"
free     = true
upstream = "other"

[[routes]]
path     = "/brief/free"
free     = true
upstream = "brief"

[[plans]]
name     = "nano"
price    = "$0.05"
units    = 1000
duration = "30d"
`;

let world, tap, express, nginx;
const started = [];

before(async () => {
  const [expressPort, nginxPort] = [await freePort(), await freePort()];
  tap = await startTap(expressPort);
  started.push(tap.stop);
  nginx = { url: `http://127.0.0.1:${nginxPort}` };
  const env = { UPSTREAM_SECRET: SECRET };
  world = await startWorld(tables(tap.url, nginx.url), { env });
  started.push(world.stop);
  express = await startExpress(expressPort, { GATEWAY: world.url });
  started.push(express.stop);
  Object.assign(nginx, await startNginx(() => nginxExample(nginxPort, world.upstream.url), nginx.url));
  started.push(nginx.stop);
});
after(async () => {
  for (const stop of started.splice(0).reverse()) await stop();
});

/** Runs the example: a copy, since modules are looked up beside the file. */
async function startExpress(port, env) {
  const dir = mkdtempSync(path.join(os.tmpdir(), "tollgate-express-"));
  cpSync(path.join(repoDir, "examples/upstream/express.mjs"), path.join(dir, "express.mjs"));
  symlinkSync(path.join(cacheDir, "node_modules"), path.join(dir, "node_modules"));
  const child = startChild(process.execPath, ["express.mjs"], {
    cwd: dir, env: { ...process.env, AUDIENCE, PORT: String(port), ...env },
  });
  const stop = async () => {
    await child.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  await until("Express listens", () => child.exited || child.output.includes("listening"), { withinMs: 15_000 });
  assert.ok(!child.exited, child.output);
  return { url: `http://127.0.0.1:${port}`, wsUrl: `ws://127.0.0.1:${port}`, stop };
}

/** The example with the addresses and the secret of this test. */
function nginxExample(port, api) {
  const changes = { "127.0.0.1:3000;": `127.0.0.1:${port};`, "put-the-secret-here": SECRET, "http://127.0.0.1:3001": api };
  let text = readFileSync(path.join(repoDir, "examples/upstream/nginx.conf"), "utf8");
  for (const [from, to] of Object.entries(changes)) {
    assert.equal(text.split(from).length, 2, `${from} is there once`);
    text = text.replace(from, to);
  }
  return text;
}

/** The token of the latest request that went over the wire to Express. */
const lastToken = () => tap.heard().match(/x-tollgate-context: *(\S+)\r\n/gi).at(-1).split(/:\s*/)[1].trim();
/** The gateway's own token for a call. */
async function tokenOf(target, init) {
  await (await fetch(`${world.url}${target}`, init)).text();
  return lastToken();
}
/** Asks without the gateway. `fetch` would put two headers of one name into one. */
function around(url, headers = {}, method = "GET") {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent: false }, response => {
      response.resume();
      response.once("end", () => resolve(response.statusCode));
    });
    request.once("error", reject);
    request.end();
  });
}
const aroundWith = (token, target = "/express/free", method = "GET") =>
  around(`${express.url}${target}`, { "X-Tollgate-Context": token }, method);

describe("the Express example, through the gateway", () => {
  const told = async (target, init) => {
    const response = await fetch(`${world.url}${target}`, init);
    assert.equal(response.status, 200, target);
    return (await response.json()).context;
  };

  test("serves free calls, trials and keys, and hears how they were opened", async () => {
    const free = await told("/express/free?a=b&c=%20");
    assert.equal(free.access, "free");
    assert.deepEqual([free.iss, free.aud, free.method, free.path, free.route],
      [world.url, AUDIENCE, "GET", "/express/free?a=b&c=%20", "/express/free"]);
    assert.equal(free.exp - free.iat, TTL_S);
    assert.equal((await told("/express/trial")).access, "trial");
    const keyed = await told("/express/keyed", withKey(await buyPlan(world, "nano")));
    assert.deepEqual([keyed.access, keyed.plan], ["plan", "nano"]);
    assert.match(keyed.payer, /^0x/);
    assert.equal((await told("/express/free", { method: "POST", body: "x" })).method, "POST");
  });

  test("serves paid calls, and hears whether the money has moved", async () => {
    for (const [target, settled] of [["/express/paid", false], ["/express/upfront", true]]) {
      const payer = await world.chain.newPayer();
      const paid = await v2.request(payer, `${world.url}${target}`);
      assert.equal(paid.status, 200, paid.body);
      const { context } = JSON.parse(paid.body);
      assert.deepEqual(
        [context.access, context.settled, context.payer.toLowerCase(), context.amount, context.network],
        ["paid", settled, payer.address.toLowerCase(), "10000", "eip155:8453"],
      );
    }
  });

  test("serves a WebSocket", async () => {
    const opened = await openSocket(`${world.gateway.wsUrl}/express/keyed`, withKey(await buyPlan(world, "nano")).headers);
    assert.equal(await echo(opened.socket, "hello"), "plan: hello");
    opened.socket.terminate();
  });

  test("never sees a token that a client made up", async () => {
    const context = await told("/express/free", { headers: { "X-Tollgate-Context": await forged() } });
    assert.equal(context.access, "free");
  });
});

/** What somebody without the gateway's key can make of it. */
async function forged(token = lastToken()) {
  const { privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  const claims = { ...decodeJwt(token), access: "paid", settled: true };
  return new SignJWT(claims).setProtectedHeader(decodeProtectedHeader(token)).sign(privateKey);
}

describe("the Express example, around the gateway", () => {
  test("serves nobody without a token, whatever is said in its place", async () => {
    assert.equal(await around(`${express.url}/express/free`), 401);
    for (const said of ["", "true", "a.b.c", "X-Tollgate-Payer", "e30.e30.e30"]) assert.equal(await aroundWith(said), 401, said);
    const own = { "X-Tollgate-Payer": "0x1", "X-Tollgate-Payment-Id": "pay_1", "X-Tollgate-Plan": "nano" };
    assert.equal(await around(`${express.url}/express/keyed`, own), 401);
    assert.equal((await openSocket(`${express.wsUrl}/express/keyed`)).refused, 401);
  });

  test("takes a token for the call that it was made for and no other", async () => {
    const token = await tokenOf("/express/free?a=b");
    // The same token on the same call is what the gateway sends: all else is refused for what is different about it.
    assert.equal(await aroundWith(token, "/express/free?a=b"), 200);
    for (const target of ["/express/free", "/express/free?a=c", "/express/free?a=b&", "/express/paid?a=b", "/EXPRESS/free?a=b"]) {
      assert.equal(await aroundWith(token, target), 401, target);
    }
    for (const method of ["POST", "HEAD", "DELETE"]) {
      assert.equal(await aroundWith(token, "/express/free?a=b", method), 401, method);
    }
    assert.equal(await around(`${express.url}/express/free?a=b`, { "X-Tollgate-Context": [token, token] }), 401);
    const { refused } = await openSocket(`${express.wsUrl}/express/keyed`, { "X-Tollgate-Context": token });
    assert.equal(refused, 401);
  });

  test("takes no token that was made for another upstream", async () => {
    const response = await fetch(`${world.url}/other/free`);
    assert.equal(response.status, 401, "even through the gateway");
    await response.text();
    assert.equal(decodeJwt(lastToken()).aud, "https://other.internal");
    assert.equal(await aroundWith(lastToken(), "/other/free"), 401);
  });

  test("takes no token that another key has signed, or none, or the public one", async () => {
    const token = await tokenOf("/express/free");
    assert.equal(await aroundWith(token), 200);
    const { keys: [key] } = await (await fetch(`${world.url}/x402/jwks.json`)).json();
    const [header, payload, signature] = token.split(".");
    const claims = decodeJwt(token);
    const encoded = value => Buffer.from(JSON.stringify(value)).toString("base64url");
    const hmac = secret => new CompactSign(Buffer.from(payload, "base64url"))
      .setProtectedHeader({ alg: "HS256", kid: key.kid, typ: "JWT" }).sign(secret);
    const bad = {
      "another key": await forged(token),
      "alg none": new UnsecuredJWT(claims).encode(),
      "alg none with its signature": `${encoded({ alg: "none", kid: key.kid })}.${payload}.${signature}`,
      "HS256 with the public key": await hmac(Buffer.from(key.x, "base64url")),
      "HS256 with the public key's text": await hmac(Buffer.from(JSON.stringify(key))),
      "other claims": `${header}.${encoded({ ...claims, path: "/express/keyed" })}.${signature}`,
      "no signature": `${header}.${payload}.`,
      "a key of its own": await (async () => {
        const { privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
        return new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", kid: "mine", typ: "JWT" }).sign(privateKey);
      })(),
    };
    for (const [what, made] of Object.entries(bad)) assert.equal(await aroundWith(made), 401, what);
  });

  test("takes no token that has expired", async () => {
    const token = await tokenOf("/brief/free");
    assert.equal(await aroundWith(token, "/brief/free"), 200);
    const { exp } = decodeJwt(token);
    await until("the token's end", () => Date.now() / 1_000 > exp + 0.1, { withinMs: 10_000 });
    assert.equal(await aroundWith(token, "/brief/free"), 401);
    assert.equal((await fetch(`${world.url}/brief/free`)).status, 200, "the next one is good");
  });

  test("serves nobody while it cannot have the gateway's key, and blames nobody for it", async () => {
    const port = await freePort();
    const lonely = await startExpress(port, { GATEWAY: world.url, JWKS: `http://127.0.0.1:${await freePort()}/jwks.json` });
    try {
      const token = await tokenOf("/express/free");
      assert.equal(await around(`${lonely.url}/express/free`, { "X-Tollgate-Context": token }), 503);
      assert.equal(await around(`${lonely.url}/express/free`), 401);
    } finally {
      await lonely.stop();
    }
  });
});

describe("the nginx example", () => {
  const api = () => world.upstream.requests;

  test("serves free, paid and keyed calls through the gateway, and keeps the secret to itself", async () => {
    api().splice(0);
    assert.equal((await fetch(`${world.url}/nginx/free`)).status, 200);
    const key = await buyPlan(world, "nano");
    assert.equal((await fetch(`${world.url}/nginx/keyed`, withKey(key))).status, 200);
    for (const target of ["/nginx/paid", "/nginx/upfront"]) {
      assert.equal((await v2.request(await world.chain.newPayer(), `${world.url}${target}`)).status, 200, target);
    }
    // What a client says in the secret's place is replaced.
    const theirs = { headers: { "X-Upstream-Secret": "theirs" } };
    assert.equal((await fetch(`${world.url}/nginx/free`, theirs)).status, 200);
    assert.equal(api().length, 5);
    for (const { headers } of api()) assert.equal(headers["x-upstream-secret"], undefined);
  });

  test("refuses whoever goes around the gateway", async () => {
    api().splice(0);
    const wrong = [
      {}, { "X-Upstream-Secret": "" }, { "X-Upstream-Secret": "put-the-secret-here" }, { "X-Upstream-Secret": SECRET.toLowerCase() },
      { "X-Upstream-Secret": `${SECRET}x` }, { "X-Upstream-Secret": SECRET.slice(0, -1) }, { "X-Upstream-Secret": ["x", SECRET] },
      { X_Upstream_Secret: SECRET }, { "X-Tollgate-Payer": "0x1" },
    ];
    for (const headers of wrong) {
      assert.equal(await around(`${nginx.url}/nginx/paid`, headers), 403, JSON.stringify(headers));
    }
    assert.equal(api().length, 0);
    assert.equal(await around(`${nginx.url}/nginx/paid`, { "X-Upstream-Secret": SECRET }), 200, "the secret is what decides");
  });

  test("shares its secret with no other upstream and no log", async () => {
    const body = await (await fetch(`${world.url}/express/free`)).text();
    assert.ok(!tap.heard().includes(SECRET) && !body.includes(SECRET));
    assert.equal((await fetch(`${world.url}/elsewhere`)).status, 200);
    assert.ok(api().length > 0 && !JSON.stringify(api().at(-1)).includes(SECRET));
    assert.ok(!world.gateway.log().includes(SECRET));
    assert.ok(!world.gateway.log().includes(lastToken().split(".")[1]));
  });
});
