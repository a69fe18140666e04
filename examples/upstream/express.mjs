// An API behind Tollgate that refuses whoever goes around it. In the gateway's file:
//
//   [upstream]
//   url     = "http://127.0.0.1:3000"
//   context = { audience = "https://upstream.internal" }
//
//   npm install express jose ws
//   GATEWAY=https://api.example.com AUDIENCE=https://upstream.internal node express.mjs
//
// JWKS, where the gateway's key is, may name another way to the gateway than buyers have.
import express from "express";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";
import { WebSocketServer } from "ws";

const { GATEWAY, AUDIENCE, PORT = "3000", JWKS = `${GATEWAY}/x402/jwks.json` } = process.env;
const keys = createRemoteJWKSet(new URL(JWKS));
const expected = { issuer: GATEWAY, audience: AUDIENCE, algorithms: ["EdDSA"], requiredClaims: ["exp"] };

/** What the gateway says of this very request: `{ context }`, or `{ refused: status }`. */
async function judge(request) {
  try {
    const { payload } = await jwtVerify(request.headers["x-tollgate-context"] ?? "", keys, expected);
    const same = payload.method === request.method && payload.path === request.url;
    return same ? { context: payload } : { refused: 401 };
  } catch (error) {
    // Without the gateway's key nobody can tell. That is not the caller's fault, and a 5xx takes nothing from a plan.
    const isCallers = error instanceof errors.JOSEError && !/_TIMEOUT$|_GENERIC$|_JWKS_INVALID$/.test(error.code);
    return { refused: isCallers ? 401 : 503 };
  }
}

const app = express();
app.use(async (request, response, next) => {
  const { context, refused } = await judge(request);
  if (refused) return response.status(refused).json({ error: "not through the gateway" });
  request.context = context;
  next();
});
app.use((request, response) => response.json({ from: "express", context: request.context }));

const sockets = new WebSocketServer({ noServer: true });
const server = app.listen(Number(PORT), "127.0.0.1", () => console.log(`listening on ${PORT}`));
server.on("upgrade", async (request, socket, head) => {
  socket.on("error", () => socket.destroy());
  const { context, refused } = await judge(request);
  if (refused) return socket.end(`HTTP/1.1 ${refused} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  sockets.handleUpgrade(request, socket, head, peer => {
    peer.on("message", text => peer.send(`${context.access}: ${text}`));
  });
});
