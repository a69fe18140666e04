// Streams that a plan pays by the byte: charged to the byte, ended with the plan, and saying so.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { assertNoSecrets, assertRefused } from "./lib/asserts.mjs";
import { buyPlan, purchase, statusOf, withKey } from "./lib/plan.mjs";
import { signIn } from "./lib/siwx.mjs";
import { until } from "./lib/until.mjs";
import { echo, openSocket } from "./lib/websocket.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path           = "/ws"
units          = 0.5
units_per_byte = 0.005

[[routes]]
path           = "/sse"
units          = 0.5
units_per_byte = 0.005

[[plans]]
name     = "ten"
price    = "$0.05"
units    = 10
duration = "30d"

[[plans]]
name     = "brief"
price    = "$0.05"
units    = 10
duration = "3s"
`;

// What ten units are worth in bytes, but for the half that the connection itself takes.
const BYTES = 1_900;

let world, socketUrl;
before(async () => {
  world = await startWorld(TABLES);
  socketUrl = `${world.gateway.wsUrl}/ws`;
});
after(() => world?.stop());

const keyed = key => ({ "X-API-KEY": key });
const usedOf = async key => (await statusOf(world, withKey(key))).quota.used;

describe("a WebSocket on a plan", () => {
  test("without a key, or with a false one, is refused before the upgrade", async () => {
    world.upstream.requests.splice(0);

    for (const headers of [{}, keyed("tg_live_nonsense"), { Authorization: "Bearer nothing" }]) {
      assert.equal((await openSocket(socketUrl, headers)).refused, 402);
    }

    assert.equal(world.upstream.requests.length, 0);
  });

  test("costs what it pushes, to the byte; heartbeats and what the client says are free", async () => {
    const key = await buyPlan(world, "ten");
    world.upstream.requests.splice(0);
    const { socket } = await openSocket(socketUrl, keyed(key));
    assertNoSecrets(world.upstream.requests[0]);
    assert.equal(await usedOf(key), 0.5);

    for (const [bytes, used] of [[100, 1], [7, 1.035], [1, 1.04], [92, 1.5]]) {
      await echo(socket, "x".repeat(bytes));
      assert.equal(await usedOf(key), used);
    }
    for (let i = 0; i < 5; i++) {
      socket.ping("still there?");
      await once(socket, "pong");
    }
    assert.equal(await usedOf(key), 1.5);
    socket.close();
    await once(socket, "close");
    assert.equal(await usedOf(key), 1.5);
  });

  test("is closed as a matter of policy when the plan is used up, and opened by the next one", async () => {
    const payer = await world.chain.newPayer();
    const { apiKey } = await purchase(world, "ten", payer);
    const { socket } = await openSocket(socketUrl, keyed(apiKey));
    for (let sent = 0; sent < BYTES; sent += 100) await echo(socket, "x".repeat(100));
    const closed = once(socket, "close");
    const more = [];
    socket.on("message", data => more.push(data));

    socket.send("x");

    const [code, reason] = await closed;
    assert.deepEqual([code, reason.toString(), more.length], [1008, "quota_exhausted", 0]);
    assert.equal(await usedOf(apiKey), 10);
    assert.equal((await openSocket(socketUrl, keyed(apiKey))).refused, 402);

    await purchase(world, "ten", payer);
    const again = await openSocket(socketUrl, keyed(apiKey));
    assert.equal(await echo(again.socket, "hello"), "hello");
    again.socket.close();
  });

  test("goes on with the plan that is bought meanwhile", async () => {
    const payer = await world.chain.newPayer();
    const { apiKey } = await purchase(world, "ten", payer);
    const { socket } = await openSocket(socketUrl, keyed(apiKey));
    for (let sent = 0; sent < BYTES; sent += 100) await echo(socket, "x".repeat(100));

    await purchase(world, "ten", payer);

    assert.equal(await echo(socket, "x".repeat(100)), "x".repeat(100));
    assert.equal(await usedOf(apiKey), 0.5);
    socket.close();
  });

  test("is closed when the plan runs out", async () => {
    const key = await buyPlan(world, "brief");
    const { socket } = await openSocket(socketUrl, keyed(key));
    assert.equal(await echo(socket, "early"), "early");
    const closed = once(socket, "close");

    await until("the plan runs out", async () => !(await statusOf(world, withKey(key))).active);
    socket.send("late");

    const [code, reason] = await closed;
    assert.deepEqual([code, reason.toString()], [1008, "subscription_expired"]);
  });

  test("opens for a wallet that signs in", async () => {
    const payer = await world.chain.newPayer();
    const { apiKey } = await purchase(world, "ten", payer);
    world.upstream.requests.splice(0);

    const { socket } = await openSocket(socketUrl, (await signIn(world, payer)).headers);

    assert.equal(await echo(socket, "hello"), "hello");
    assertNoSecrets(world.upstream.requests[0]);
    assert.equal(await usedOf(apiKey), 0.525);
    socket.close();
  });

  test("shares its plan with others: together they get no more than was bought", async () => {
    const key = await buyPlan(world, "ten");
    const received = [];
    const opened = await Promise.all(Array.from({ length: 4 }, () => openSocket(socketUrl, keyed(key))));
    const closed = opened.map(({ socket }) => {
      socket.on("message", data => received.push(data.length));
      return once(socket, "close");
    });

    // Each asks for more than there is for all.
    for (const { socket } of opened) for (let i = 0; i < 161; i++) socket.send("x".repeat(10));
    for (const [code, reason] of await Promise.all(closed)) {
      assert.deepEqual([code, reason.toString()], [1008, "quota_exhausted"]);
    }

    // Four halves for the connections.
    const bytes = received.reduce((sum, length) => sum + length, 0);
    assert.equal(bytes, 1_600);
    assert.equal(await usedOf(key), 10);
  });
});

describe("an event stream on a plan", () => {
  test("costs what it pushes, to the byte", async () => {
    const key = await buyPlan(world, "ten");

    const text = await (await fetch(`${world.url}/sse?n=20&ms=1`, withKey(key))).text();

    assert.ok(text.endsWith("data: 19\n\n"));
    assert.equal(await usedOf(key), 0.5 + (5 * text.length) / 1_000);
  });

  test("ends with an event that says why, and where to buy more", async () => {
    const key = await buyPlan(world, "ten");

    const text = await (await fetch(`${world.url}/sse?n=500&ms=0`, withKey(key))).text();

    const [events, last] = text.split("event: quota_exhausted\n");
    assert.match(events, /^(data: \d+\n\n)+$/);
    assert.ok(events.length > BYTES - 20 && events.length <= BYTES, `${events.length} bytes`);
    const { reason, purchaseUrl } = JSON.parse(last.replace("data: ", ""));
    assert.deepEqual([reason, purchaseUrl], ["quota_exhausted", `${world.url}/x402/purchase`]);
    assert.equal(await usedOf(key), 0.5 + (5 * events.length) / 1_000);
    await assertRefused(await fetch(`${world.url}/sse?n=1&ms=0`, withKey(key)), "quota_exhausted");
  });
});
