// Free TCP ports on the loopback address.
import net from "node:net";

// Below the range from which systems take ports for outgoing connections: a port found free here
// cannot be taken by a client socket before the server that it is meant for has bound it.
const LOWEST = 12_000;
const HIGHEST = 30_000;

// Test files run at the same time, each in a process of its own. Each has a slice of the range to itself: it listens
// on the slice's first port for as long as it lives, so no other process finds a port of it free.
const SLICE = 500;
const slice = claimSlice();
const given = new Set();

export async function freePort() {
  const first = (await slice) + 1;
  for (;;) {
    if (given.size === SLICE - 1) given.clear();
    const port = first + Math.floor(Math.random() * (SLICE - 1));
    if (given.has(port)) continue;
    given.add(port);
    if (await canBind(port)) return port;
  }
}

async function claimSlice() {
  for (;;) {
    const first = LOWEST + SLICE * Math.floor(Math.random() * ((HIGHEST - LOWEST) / SLICE));
    const lock = await listenOn(first);
    if (!lock) continue;
    lock.unref();
    return first;
  }
}

async function canBind(port) {
  const probe = await listenOn(port);
  if (probe) await new Promise(resolve => probe.close(resolve));
  return probe !== undefined;
}

function listenOn(port) {
  return new Promise(resolve => {
    const server = net.createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
