// Free TCP ports on the loopback address.
import net from "node:net";

// Below the range from which systems take ports for outgoing connections: a port found free here
// cannot be taken by a client socket before the server that it is meant for has bound it.
const LOWEST = 12_000;
const HIGHEST = 30_000;

const given = new Set();

export async function freePort() {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (given.has(port) || !(await canBind(port))) continue;
    given.add(port);
    return port;
  }
}

function canBind(port) {
  return new Promise(resolve => {
    const probe = net.createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
