// Opening a WebSocket, or being refused one.
import { once } from "node:events";
import WebSocket from "ws";

/** `{ socket, headers }` of an open connection, or `{ refused: status, headers }`. */
export function openSocket(url, headers = {}) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers, handshakeTimeout: 10_000 });
    let head = {};
    socket.once("upgrade", response => {
      head = response.headers;
    });
    socket.once("open", () => resolve({ socket, headers: head }));
    socket.once("unexpected-response", (_request, response) => {
      response.resume();
      resolve({ refused: response.statusCode, headers: response.headers });
    });
    socket.once("error", reject);
  });
}

/** Sends `text` and returns what comes back. */
export async function echo(socket, text) {
  const answered = once(socket, "message");
  socket.send(text);
  const [data] = await answered;
  return data.toString();
}
