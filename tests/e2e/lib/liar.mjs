// A facilitator that can lie: everything is passed on to an honest one, but for what a lie makes of it.
import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { closeServer, listen, readBody } from "./http_server.mjs";

const json = value => [200, JSON.stringify(value)];
const isMoney = path => path === "/verify" || path === "/settle";

/** Each gets the path, the body, and how to ask the honest one; it gives status and text, or nothing to hang up. */
export const lies = {
  none: ({ ask }) => ask(),
  async isSlow({ path, ask }) {
    if (path === "/verify") await pause(800);
    return ask();
  },
  refusesAll: ({ path, ask }) =>
    path === "/verify" ? json({ isValid: false, invalidReason: "insufficient_funds" }) : ask(),
  refusesToSettle: ({ path, body, ask }) =>
    path === "/settle" ? json(refusal(body, "moon_in_the_wrong_phase")) : ask(),
  async settlesAndDenies({ path, body, ask }) {
    const honest = await ask();
    return path === "/settle" ? json(refusal(body, "invalid_payload")) : honest;
  },
  talksGarbage: ({ path, ask }) => (isMoney(path) ? [200, "<html>It works!</html>"] : ask()),
  async settlesAndTalksGarbage({ path, ask }) {
    const honest = await ask();
    return path === "/settle" ? [200, "<html>It works!</html>"] : honest;
  },
  async settlesAndHangsUp({ path, ask }) {
    const honest = await ask();
    return path === "/settle" ? undefined : honest;
  },
  settlesNothing: ({ path, body, ask }) => (path === "/settle" ? json(forged(body)) : ask()),
};

function refusal({ paymentRequirements: { network } }, errorReason) {
  return { success: false, errorReason, transaction: "", network };
}

/** A receipt in good form, of a transaction that never was. */
function forged({ paymentPayload: { payload }, paymentRequirements: { network } }) {
  return { success: true, transaction: payload.authorization.nonce, network, payer: payload.authorization.from };
}

export async function startLiar(honest) {
  let told = 0;
  let lie = async heard => lies.none(heard);
  const server = http.createServer(async (request, response) => {
    const text = await readBody(request);
    const ask = async () => {
      const init = { method: request.method, headers: { "content-type": "application/json" }, body: text || undefined };
      const answer = await fetch(honest.url + request.url, init);
      return [answer.status, await answer.text()];
    };
    const body = text ? JSON.parse(text) : undefined;
    const said = await lie({ path: request.url, body, ask }).catch(() => undefined);
    if (!said) return request.socket.destroy();
    response.writeHead(said[0], { "content-type": "application/json" });
    response.end(said[1]);
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    async tells(name) {
      if (name !== "none") told = 0;
      lie = async heard => {
        if (name !== "none" && heard.path === "/settle") told += 1;
        return lies[name](heard);
      };
    },
    /** How often it was asked to settle while it lied last. */
    lies: () => told,
    stop: () => closeServer(server),
  };
}
