// The API that is sold: it knows nothing of payments, and records everything that reaches it.
import { createHash } from "node:crypto";
import http from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { WebSocketServer } from "ws";
import { closeServer, listen, sendJson } from "./http_server.mjs";

export async function startUpstream() {
  const requests = [];
  const record = request => {
    const entry = {
      method: request.method,
      target: request.url,
      earlier: requests.filter(({ target }) => target === request.url).length,
      path: request.url.split("?")[0],
      headers: request.headers,
      bytes: 0,
      sha256: undefined,
    };
    requests.push(entry);
    return entry;
  };

  const server = http.createServer(async (request, response) => {
    const entry = record(request);
    try {
      await answer(request, response, entry);
    } catch {
      // The other side went away in the middle: nothing is left to be told.
      response.destroy();
    }
  });
  const sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    record(request);
    sockets.handleUpgrade(request, socket, head, peer => {
      peer.on("message", (data, isBinary) => peer.send(data, { binary: isBinary }));
    });
  });
  const port = await listen(server);

  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    to: path => requests.filter(request => request.path === path),
    hits: path => requests.filter(request => request.path === path).length,
    async stop() {
      for (const peer of sockets.clients) peer.terminate();
      await closeServer(server);
    },
    start: () => listen(server, port),
  };
}

async function answer(request, response, entry) {
  const url = new URL(request.url, "http://upstream");
  const number = name => Number(url.searchParams.get(name));
  // Everything is there again under /free and /upfront, for routes on other terms.
  const [first, second] = url.pathname.replace(/^\/(free|upfront)\//, "/").slice(1).split("/");

  if (first === "sse") return serverSentEvents(response, number("n"), number("ms"));
  if (first === "bytes") {
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": number("n") });
    return pipeline(Readable.from(patternChunks(number("n"))), response);
  }

  const hash = createHash("sha256");
  for await (const chunk of request) {
    entry.bytes += chunk.length;
    hash.update(chunk);
  }
  entry.sha256 = hash.digest("hex");

  if (first === "slow") await pause(number("ms"));
  const down = first === "flaky" && entry.earlier < number("fails");
  const status = first === "status" ? Number(second) : down ? 503 : 200;
  const { method, target, bytes, sha256 } = entry;
  sendJson(response, status, { from: "upstream", method, target, bytes, sha256 });
}

async function serverSentEvents(response, count, gapMs) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (let i = 0; i < count; i++) {
    if (i > 0) await pause(gapMs);
    response.write(`data: ${i}\n\n`);
  }
  response.end();
}

/** `total` bytes that are the same every time, in pieces of at most 64 KiB, no two pieces alike. */
export function* patternChunks(total) {
  const piece = Buffer.alloc(65_536, "0123456789abcdefghijklmnopqrstuvwxyz");
  for (let sent = 0, i = 0; sent < total; i++) {
    const chunk = Buffer.from(piece.subarray(0, Math.min(piece.length, total - sent)));
    if (chunk.length >= 4) chunk.writeUInt32BE(i);
    sent += chunk.length;
    yield chunk;
  }
}

export function patternSha256(total) {
  const hash = createHash("sha256");
  for (const chunk of patternChunks(total)) hash.update(chunk);
  return hash.digest("hex");
}
