// The few lines that every HTTP server of the tests needs.
import { freePort } from "./ports.mjs";

export async function listen(server, port) {
  const chosen = port ?? (await freePort());
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(chosen, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
  return chosen;
}

/** Stops listening and drops every open connection, as a crash would. */
export async function closeServer(server) {
  if (!server.listening) return;
  const closed = new Promise(resolve => server.close(resolve));
  server.closeAllConnections();
  await closed;
}

export async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

export function sendJson(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}
