// A stretch of wire between the gateway and an upstream, where a test can read what goes by.
import net from "node:net";
import { closeServer, listen } from "./http_server.mjs";

/** Passes every byte on to `port`; `heard()` is all that was sent there so far. */
export async function startTap(port) {
  let heard = "";
  const open = new Set();
  const server = net.createServer(near => {
    const far = net.connect(port, "127.0.0.1");
    for (const [socket, other] of [[near, far], [far, near]]) {
      open.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => {
        open.delete(socket);
        other.destroy();
      });
    }
    near.on("data", bytes => {
      heard += bytes.toString("latin1");
    });
    near.pipe(far).pipe(near);
  });
  server.closeAllConnections = () => open.forEach(socket => socket.destroy());
  const own = await listen(server);
  return {
    url: `http://127.0.0.1:${own}`,
    heard: () => heard,
    stop: () => closeServer(server),
  };
}
