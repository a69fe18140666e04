// What opens a subscription besides the key that was sold with it: a wallet's sign-in, a linked wallet, further keys, and
// tokens of the operator's own. The sign-ins are viem's, the tokens jose's.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { SignJWT, exportSPKI, generateKeyPair } from "jose";
import { assertNoSecrets, assertRefused } from "./lib/asserts.mjs";
import { purchase, statusOf, withKey } from "./lib/plan.mjs";
import { signIn, signedBy, siwxMessage } from "./lib/siwx.mjs";
import { until } from "./lib/until.mjs";
import { startWorld } from "./lib/world.mjs";

const ISSUER = "https://login.example.com";
const AUDIENCE = "https://api.example.com";

const TABLES = `
[[routes]]
path  = "/data"
units = 1.0

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"

[[plans]]
name     = "brief"
price    = "$0.05"
duration = "2s"
`;

const jwtTable = publicKey => `
[jwt]
public_key = ${JSON.stringify(publicKey)}
issuer     = "${ISSUER}"
audience   = "${AUDIENCE}"
`;

let world, ed25519;
before(async () => {
  ed25519 = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  world = await startWorld(TABLES + jwtTable(await exportSPKI(ed25519.publicKey)));
});
after(() => world?.stop());

const use = init => fetch(`${world.url}/data`, init);
const ask = (method, path, init, body) =>
  fetch(`${world.url}/x402/${path}`, { ...init, method, body: body && JSON.stringify(body) });

async function buyer(plan = "trial") {
  const payer = await world.chain.newPayer();
  return { payer, key: (await purchase(world, plan, payer)).apiKey };
}

async function assertUnauthorized(response, reason, scheme) {
  assert.equal(response.status, 401);
  assert.equal((await response.json()).details.reason, reason);
  assert.match(response.headers.get("www-authenticate"), new RegExp(`^${scheme}\\b`));
}

describe("a wallet's sign-in", () => {
  test("opens what the wallet bought, as often as it is sent, and shares its units with the key", async () => {
    const { payer, key } = await buyer();
    const token = await signIn(world, payer);
    world.upstream.requests.splice(0);

    for (let i = 0; i < 3; i++) assert.equal((await use(token)).status, 200);
    assert.equal((await use(withKey(key))).status, 200);

    world.upstream.to("/data").forEach(assertNoSecrets);
    assert.deepEqual((await statusOf(world, token)).quota, { used: 4, total: 1_000 });
  });

  test("may have times as the Python SDK writes them", async () => {
    const { payer } = await buyer();
    const inMicroseconds = text => text.replace(/(At|Time): (.+)\.(\d{3})Z$/gm, "$1: $2.$3456+00:00");
    const message = inMicroseconds(siwxMessage(world, payer));
    assert.match(message, /Expiration Time: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/);

    assert.equal((await use(await signedBy(payer, message))).status, 200);
  });

  test("of a wallet that bought nothing is told so, with the way to buy", async () => {
    const stranger = await world.chain.newPayer();

    await assertRefused(await use(await signIn(world, stranger)), "no_subscription");
    const { plan, active } = await statusOf(world, await signIn(world, stranger));
    assert.deepEqual([plan, active], [null, false]);
  });

  test("for another site, past its end, or of another wallet is refused", async () => {
    const { payer } = await buyer();
    const other = await world.chain.newPayer();
    world.upstream.requests.splice(0);
    const elsewhere = siwxMessage(world, payer, { domain: "api.elsewhere.example" });
    const expired = siwxMessage(world, payer, { expirationTime: new Date(Date.now() - 1_000) });
    const old = siwxMessage(world, payer, { issuedAt: new Date(Date.now() - 25 * 3_600_000) });

    await assertUnauthorized(await use(await signedBy(payer, elsewhere)), "invalid_siwx_domain_mismatch", "SIWX");
    await assertUnauthorized(await use(await signedBy(payer, expired)), "invalid_siwx_expired", "SIWX");
    await assertUnauthorized(await use(await signedBy(payer, old)), "invalid_siwx_issued_at_too_old", "SIWX");
    assert.equal((await use(await signedBy(other, siwxMessage(world, payer)))).status, 401);
    assert.equal((await use({ headers: { Authorization: "SIWX nonsense" } })).status, 401);
    assert.equal(world.upstream.requests.length, 0);
  });

  test("opens nothing once the plan has run out", async () => {
    const { payer } = await buyer("brief");
    const token = await signIn(world, payer);
    assert.equal((await use(token)).status, 200);

    await until("the plan runs out", async () => (await use(token)).status === 402);
  });
});

describe("a second wallet", () => {
  const linkOf = async (wallet, message) => {
    const { Authorization } = (await signedBy(wallet, message)).headers;
    return { chain: "evm", address: wallet.address, message, signature: Authorization.split(".").at(-1) };
  };

  test("that signs for it is linked to the plan, and opens it", async () => {
    const { key } = await buyer();
    const second = await world.chain.newPayer();
    await assertRefused(await use(await signIn(world, second)), "no_subscription");

    const linked = await ask("POST", "link-address", withKey(key), await linkOf(second, siwxMessage(world, second)));

    assert.equal(linked.status, 200);
    const { status, chain, address } = await linked.json();
    assert.deepEqual([status, chain, address.toLowerCase()], ["ok", "evm", second.address.toLowerCase()]);
    assert.equal((await use(await signIn(world, second))).status, 200);
    assert.deepEqual((await statusOf(world, withKey(key))).quota, { used: 1, total: 1_000 });
  });

  test("that pays later pays for the plan of both", async () => {
    const { key } = await buyer();
    const second = await world.chain.newPayer();
    await ask("POST", "link-address", withKey(key), await linkOf(second, siwxMessage(world, second)));
    assert.equal((await use(withKey(key))).status, 200);

    const sale = await purchase(world, "trial", second);

    for (const each of [key, sale.apiKey]) {
      const { quota, expiresAt } = await statusOf(world, withKey(each));
      assert.deepEqual([quota, expiresAt], [{ used: 0, total: 1_000 }, sale.expiresAt]);
    }
  });

  test("that did not sign, or has a plan of its own, is not linked", async () => {
    const [{ payer, key }, other] = [await buyer(), await buyer()];
    const stranger = await world.chain.newPayer();
    const forged = { ...(await linkOf(payer, siwxMessage(world, payer))), address: stranger.address };

    const refused = await ask("POST", "link-address", withKey(key), forged);
    const taken = await linkOf(other.payer, siwxMessage(world, other.payer));
    const conflict = await ask("POST", "link-address", withKey(key), taken);
    const unknown = await ask("POST", "link-address", {}, await linkOf(stranger, siwxMessage(world, stranger)));

    assert.deepEqual([refused.status, conflict.status, unknown.status], [401, 409, 401]);
    await assertRefused(await use(await signIn(world, stranger)), "no_subscription");
  });
});

describe("keys", () => {
  test("are listed, made, replaced and taken back by their holder", async () => {
    const { payer, key } = await buyer();

    const made = await (await ask("POST", "keys", withKey(key))).json();
    assert.equal((await use(withKey(made.apiKey))).status, 200);
    const { keys } = await (await ask("GET", "keys", await signIn(world, payer))).json();
    assert.deepEqual(keys.map(({ origin, active }) => [origin, active]), [["issued", true], ["sold", true]]);
    assert.ok(!JSON.stringify(keys).includes(key) && !JSON.stringify(keys).includes(made.apiKey));

    const rotated = await (await ask("POST", "keys/rotate", withKey(key))).json();
    assert.equal(rotated.replaces, keys[1].id);
    await assertRefused(await use(withKey(key)), "invalid_api_key");
    assert.equal((await use(withKey(rotated.apiKey))).status, 200);

    assert.equal((await ask("DELETE", `keys/${made.id}`, withKey(rotated.apiKey))).status, 200);
    await assertRefused(await use(withKey(made.apiKey)), "invalid_api_key");
    assert.equal((await ask("DELETE", `keys/${made.id}`, withKey(rotated.apiKey))).status, 404);
    assert.deepEqual((await statusOf(world, withKey(rotated.apiKey))).quota, { used: 2, total: 1_000 });
  });

  test("are nobody else's to see or to take back", async () => {
    const [mine, theirs] = [await buyer(), await buyer()];
    const { keys } = await (await ask("GET", "keys", withKey(mine.key))).json();

    assert.equal((await ask("DELETE", `keys/${keys[0].id}`, withKey(theirs.key))).status, 404);
    assert.equal((await ask("POST", `keys/rotate?id=${keys[0].id}`, withKey(theirs.key))).status, 404);
    for (const method of ["GET", "POST"]) assert.equal((await ask(method, "keys", {})).status, 401);
    assert.equal((await use(withKey(mine.key))).status, 200);
  });
});

describe("a token of the operator's", () => {
  const bearer = token => ({ headers: { Authorization: `Bearer ${token}` } });
  const tokenFor = (subject, changed = {}) => {
    const { key = ed25519.privateKey, alg = "EdDSA", audience = AUDIENCE, expires = "24h" } = changed;
    const claims = new SignJWT({}).setProtectedHeader({ alg }).setIssuer(ISSUER).setAudience(audience);
    return claims.setSubject(subject).setIssuedAt().setExpirationTime(expires).sign(key);
  };
  const holderOf = async key => (await (await ask("GET", "keys", withKey(key))).json()).holder;

  test("opens the plan of the holder that it names", async () => {
    const { key } = await buyer();
    const token = bearer(await tokenFor(await holderOf(key)));
    world.upstream.requests.splice(0);

    for (let i = 0; i < 2; i++) assert.equal((await use(token)).status, 200);

    world.upstream.to("/data").forEach(assertNoSecrets);
    assert.deepEqual((await statusOf(world, token)).quota, { used: 2, total: 1_000 });
    await assertRefused(await use(bearer(await tokenFor("hol_nobody"))), "no_subscription");
  });

  test("that somebody else signed, for something else, or too long ago is refused", async () => {
    const holder = await holderOf((await buyer()).key);
    const forger = await generateKeyPair("EdDSA", { crv: "Ed25519" });
    world.upstream.requests.splice(0);
    const good = await tokenFor(holder);
    const [head, , signature] = good.split(".");
    const swapped = [head, (await tokenFor("hol_other")).split(".")[1], signature].join(".");

    for (const token of [
      await tokenFor(holder, { key: forger.privateKey }),
      await tokenFor(holder, { key: new TextEncoder().encode("0".repeat(32)), alg: "HS256" }),
      await tokenFor(holder, { audience: "https://other.example.com" }),
      await tokenFor(holder, { expires: "-1h" }),
      swapped,
    ]) {
      await assertUnauthorized(await use(bearer(token)), "invalid_token", "Bearer");
    }
    assert.equal(world.upstream.requests.length, 0);
    assert.equal((await use(bearer(good))).status, 200);
  });

  test("is judged by the key of now: RS256 in place of EdDSA, without a restart", async () => {
    const holder = await holderOf((await buyer()).key);
    const before = bearer(await tokenFor(holder));
    assert.equal((await use(before)).status, 200);
    const rsa = await generateKeyPair("RS256");
    const publicKey = await exportSPKI(rsa.publicKey);
    const after = bearer(await tokenFor(holder, { key: rsa.privateKey, alg: "RS256" }));
    assert.equal((await use(after)).status, 401);

    world.gateway.edit(() => TABLES + jwtTable(publicKey));

    await until("the new key is in force", async () => (await use(after)).status === 200);
    await assertUnauthorized(await use(before), "invalid_token", "Bearer");
    const { privateKey } = await generateKeyPair("RS256");
    const forged = bearer(await tokenFor(holder, { key: privateKey, alg: "RS256" }));
    await assertUnauthorized(await use(forged), "invalid_token", "Bearer");
  });
});
