// A facilitator that answers nobody without a token as Coinbase's wants it: Express in front of a real one.
import http from "node:http";
import express from "express";
import { decodeProtectedHeader, jwtVerify } from "jose";
import { closeServer, listen } from "./http_server.mjs";

export const CDP_PATH = "/platform/v2/x402";

/** `key` is what the platform knows of a key: its id, algorithm and public half. */
export async function startCdp(facilitator, key) {
  let known = key;
  let forgotten = new Set();
  const nonces = new Map();
  const calls = [];

  async function check(request) {
    const token = request.headers.authorization?.match(/^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/)?.[1];
    if (!token) throw new Error("no token");
    const { payload, protectedHeader } = await jwtVerify(token, known.publicKey, {
      algorithms: [known.alg],
      issuer: "cdp",
      audience: "cdp_service",
      subject: known.id,
      typ: "JWT",
      requiredClaims: ["iat", "nbf", "exp", "uris"],
    });
    const uri = `${request.method} ${request.headers.host}${request.originalUrl}`;
    const members = Object.keys(payload).sort().join();
    if (members !== "aud,exp,iat,iss,nbf,sub,uris") throw new Error(`members are ${members}`);
    if (Object.keys(protectedHeader).sort().join() !== "alg,kid,nonce,typ") throw new Error("other headers");
    if (protectedHeader.kid !== known.id) throw new Error("another key's");
    if (!Array.isArray(payload.aud)) throw new Error("aud is no list");
    if (JSON.stringify(payload.uris) !== JSON.stringify([uri])) throw new Error(`for ${payload.uris}, not ${uri}`);
    if (payload.exp - payload.iat !== 120 || payload.nbf !== payload.iat) throw new Error("another time");
    if (!/^[0-9a-f]{32}$/.test(protectedHeader.nonce)) throw new Error("no nonce");
    if ((nonces.get(protectedHeader.nonce) ?? token) !== token) throw new Error("a nonce of another token");
    nonces.set(protectedHeader.nonce, token);
    if (forgotten.has(token)) throw new Error("forgotten");
    return token;
  }

  const app = express();
  app.use(CDP_PATH, express.text({ type: "*/*", limit: "1mb" }), async (request, response) => {
    const call = { path: request.path, token: request.headers.authorization?.slice(7), refused: undefined };
    calls.push(call);
    try {
      await check(request);
    } catch (error) {
      call.refused = error.message;
      return response.status(401).json({ errorType: "unauthorized", errorMessage: error.message });
    }
    const init = request.method === "POST" ? { method: "POST", body: request.body } : {};
    const answer = await fetch(`${facilitator.url}${request.path}`, init);
    response.status(answer.status).type("json").send(await answer.text());
  });
  const server = http.createServer(app);
  const port = await listen(server);

  return {
    url: `http://127.0.0.1:${port}${CDP_PATH}`,
    calls,
    to: path => calls.filter(call => call.path === path),
    refusals: () => calls.flatMap(({ path, refused }) => (refused ? [`${path}: ${refused}`] : [])),
    header: call => decodeProtectedHeader(call.token),
    /** From now on another key is the one that is known under the id. */
    know: publicKey => {
      known = { ...known, publicKey };
    },
    /** Tokens of before are good no longer. */
    forgetTokens: () => {
      forgotten = new Set(nonces.values());
    },
    stop: () => closeServer(server),
  };
}
