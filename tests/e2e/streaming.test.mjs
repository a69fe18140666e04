// Long answers, long requests and connections that stay open go through as they come.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { assertNoSecrets, assertPaidOnce, assertReceipt } from "./lib/asserts.mjs";
import { decode, paidHeaders } from "./lib/payment.mjs";
import { buyPlan } from "./lib/plan.mjs";
import { until } from "./lib/until.mjs";
import { patternChunks, patternSha256 } from "./lib/upstream.mjs";
import { echo, openSocket } from "./lib/websocket.mjs";
import { startWorld } from "./lib/world.mjs";

const TABLES = `
[[routes]]
path = "/free/{rest...}"
free = true

[[routes]]
path  = "/sse"
price = "$0.001"

[[routes]]
path  = "/bytes"
price = "$0.001"

[[routes]]
path  = "/upload"
price = "$0.001"

[[routes]]
path   = "/ws"
price  = "$0.01"
units  = 1.0
settle = "before"

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"
`;

const BIG = 50 * 1024 * 1024;

let world;
before(async () => {
  world = await startWorld(TABLES);
});
after(() => world?.stop());

describe("an event stream arrives event by event", () => {
  test("when it is free", async () => {
    await assertArrivesInPieces(await fetch(`${world.url}/free/sse?n=6&ms=100`));
  });

  test("when it is paid for", async () => {
    const payer = await world.chain.newPayer();
    const url = `${world.url}/sse?n=6&ms=100`;

    const response = await fetch(url, { headers: await paidHeaders(url, payer) });

    await assertReceipt(world, response.headers, payer);
    await assertArrivesInPieces(response);
    await assertPaidOnce(world, payer, 1_000n);
  });
});

describe("50 MB pass", () => {
  test("down, when they are free", async () => {
    await assertWholePattern(await fetch(`${world.url}/free/bytes?n=${BIG}`));
  });

  test("down, when they are paid for", async () => {
    const payer = await world.chain.newPayer();
    const url = `${world.url}/bytes?n=${BIG}`;

    await assertWholePattern(await fetch(url, { headers: await paidHeaders(url, payer) }));

    await assertPaidOnce(world, payer, 1_000n);
  });

  test("up, when they are free", async () => {
    await assertUploaded("/free/upload", {});
  });

  test("up, when they are paid for", async () => {
    const payer = await world.chain.newPayer();
    const headers = await paidHeaders(`${world.url}/upload`, payer, { method: "PUT" });

    await assertUploaded("/upload", headers);

    await assertPaidOnce(world, payer, 1_000n);
  });
});

describe("a WebSocket", () => {
  test("that is not paid for is refused before the upgrade", async () => {
    world.upstream.requests.splice(0);

    const { refused, headers } = await openSocket(`${world.gateway.wsUrl}/ws`);

    assert.equal(refused, 402);
    const [offer] = decode(headers["payment-required"]).accepts;
    assert.equal(offer.amount, "10000");
    assert.equal(offer.extra.paymentFlow, "upfront");
    assert.equal(world.upstream.requests.length, 0);
  });

  test("that is paid for is open", async () => {
    const payer = await world.chain.newPayer();
    const payment = await paidHeaders(`${world.url}/ws`, payer);
    world.upstream.requests.splice(0);

    const { socket, headers, refused } = await openSocket(`${world.gateway.wsUrl}/ws`, payment);

    assert.equal(refused, undefined);
    assert.equal(await echo(socket, "hello"), "hello");
    assert.equal(decode(headers["payment-response"]).success, true);
    assertNoSecrets(world.upstream.requests[0]);
    await assertPaidOnce(world, payer, 10_000n);

    // One payment is one connection.
    assert.equal((await openSocket(`${world.gateway.wsUrl}/ws`, payment)).refused, 409);
    socket.close();
  });

  test("that a key opens is open", async () => {
    const key = await buyPlan(world, "trial");

    const { socket } = await openSocket(`${world.gateway.wsUrl}/ws`, { "X-API-KEY": key });

    for (const text of ["one", "two", "x".repeat(100_000)]) assert.equal(await echo(socket, text), text);
    socket.close();
  });

  test("with a spoiled payment is refused before the upgrade", async () => {
    world.upstream.requests.splice(0);

    const { refused } = await openSocket(`${world.gateway.wsUrl}/ws`, { "PAYMENT-SIGNATURE": "bm90aGluZw==" });

    assert.equal(refused, 402);
    assert.equal(world.upstream.requests.length, 0);
  });
});

/** Six events with 100 ms between them: they come one by one, and the first long before the last. */
async function assertArrivesInPieces(response) {
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  const arrivals = [];
  let text = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    arrivals.push(Date.now());
    text += chunk;
  }
  assert.equal(text, [0, 1, 2, 3, 4, 5].map(i => `data: ${i}\n\n`).join(""));
  assert.ok(arrivals.length >= 4, `${arrivals.length} pieces`);
  const spread = arrivals.at(-1) - arrivals[0];
  assert.ok(spread >= 250, `the first event came ${spread} ms before the last`);
}

async function assertWholePattern(response) {
  assert.equal(response.status, 200);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of response.body) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  assert.equal(bytes, BIG);
  assert.equal(hash.digest("hex"), patternSha256(BIG));
}

/** Uploads the pattern, and holds its second half back until the upstream has seen something of the first. */
async function assertUploaded(path, headers) {
  world.upstream.requests.splice(0);
  async function* body() {
    let sent = 0;
    for (const chunk of patternChunks(BIG)) {
      if (sent < BIG / 2 && sent + chunk.length >= BIG / 2) {
        await until("the upload reaches the upstream while it is sent", () => world.upstream.requests[0]?.bytes > 0);
      }
      sent += chunk.length;
      yield chunk;
    }
  }
  const response = await fetch(world.url + path, { method: "PUT", headers, body: body(), duplex: "half" });

  assert.equal(response.status, 200);
  const { bytes, sha256 } = await response.json();
  assert.equal(bytes, BIG);
  assert.equal(sha256, patternSha256(BIG));
  assert.equal(world.upstream.requests.length, 1);
}
