// Requests as bytes: no client in between that would tidy the target or the method up.
import net from "node:net";

const PATIENCE_MS = 5_000;

/** Sends one request and returns what comes until the connection's end; status 0 if nothing does. `target` is in Latin-1. */
export function rawRequest(url, target, { method = "GET", headers = {} } = {}) {
  const lines = Object.entries({ Host: "api.example.com", ...headers, Connection: "close" });
  const head = `${method} ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  return new Promise(resolve => {
    const chunks = [];
    const socket = net.connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(head, "latin1"));
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    socket.on("data", chunk => chunks.push(chunk));
    // A server that refuses may reset the connection, after what it said or before.
    socket.on("error", () => {});
    socket.on("close", () => resolve(read(Buffer.concat(chunks).toString("latin1"))));
  });
}

function read(text) {
  const [head, ...body] = text.split("\r\n\r\n");
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0), head, body: body.join("\r\n\r\n") };
}

/** Calls `act` for each item, a few at a time. */
export async function each(items, act, atOnce = 8) {
  const left = items.entries();
  const worker = async () => {
    for (const [, item] of left) await act(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
