// A real x402 facilitator behind HTTP: unmodified packages, with a record of every call.
import http from "node:http";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/facilitator";
import { createWalletClient, http as rpc, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { GAS_KEY } from "./chain.mjs";
import { gate } from "./gate.mjs";
import { closeServer, listen, readBody, sendJson } from "./http_server.mjs";

/** `key` pays its gas; `served` is as below. */
export function startFacilitator(chain, { key = GAS_KEY, ...served } = {}) {
  const confirmations = { delayed: false };
  const signer = signerOn(chain, key, confirmations);
  const facilitator = new x402Facilitator()
    .register("eip155:8453", new ExactEvmScheme(signer))
    .registerV1("base", new ExactEvmSchemeV1(signer));
  return serveFacilitator(facilitator, confirmations, served);
}

/** Serves a facilitator of whatever chain; its signer waits for no confirmation while `confirmations.delayed`; `earlier`
 * may know the answer to a payment that was settled before. */
export async function serveFacilitator(facilitator, confirmations, { port: wanted, earlier = async () => {} } = {}) {
  const answers = gate();
  let settlesToRefuse = 0;
  let beforeSettle;
  let afterVerify;
  let firstAnswer;

  const calls = [];
  const remembered = { on: false, answers: new Map() };
  const settle = body => {
    const key = JSON.stringify(body.paymentPayload.payload);
    const first = remembered.on && remembered.answers.get(key);
    if (first) return first;
    const { paymentPayload, paymentRequirements } = body;
    const answer = earlier(body).then(known => known ?? facilitator.settle(paymentPayload, paymentRequirements));
    remembered.answers.set(key, answer);
    return answer;
  };
  const answerTo = (path, body) => {
    switch (path) {
      case "/supported":
        return facilitator.getSupported();
      case "/verify":
        return facilitator.verify(body.paymentPayload, body.paymentRequirements);
      case "/settle":
        return settle(body);
    }
  };
  const server = http.createServer(async (request, response) => {
    const call = { path: request.url, body: undefined, answer: undefined };
    calls.push(call);
    try {
      call.body = request.method === "POST" ? JSON.parse(await readBody(request)) : undefined;
      if (request.url === "/settle" && settlesToRefuse > 0 && settlesToRefuse--) throw new Error("out of order");
      if (request.url === "/settle") {
        const act = beforeSettle;
        beforeSettle = undefined;
        await act?.();
      }
      call.answer = await answerTo(request.url, call.body);
      if (request.url === "/settle" && firstAnswer) {
        const held = firstAnswer;
        firstAnswer = undefined;
        await held;
      }
      if (request.url === "/settle") await answers.passed();
      if (request.url === "/verify" && afterVerify) {
        response.once("finish", afterVerify);
        afterVerify = undefined;
      }
      sendJson(response, call.answer === undefined ? 404 : 200, call.answer ?? { error: "not found" });
    } catch (error) {
      sendJson(response, 500, { error: error.message });
    }
  });
  const port = await listen(server, wanted);

  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    bodies: path => calls.filter(call => call.path === path).map(call => call.body),
    count: path => calls.filter(call => call.path === path).length,
    /** Calls that concern a payment: `/supported` may be asked at any time. */
    paymentCalls: () => calls.filter(call => call.path !== "/supported").length,
    forget: () => calls.splice(0),

    /** Payments are settled to the end, but `/settle` answers only after the returned function is called. */
    holdAnswers: answers.close,
    /** The same for the next `/settle` only: what is asked meanwhile is answered. */
    holdFirstAnswer: () => {
      let release;
      firstAnswer = new Promise(resolve => (release = resolve));
      return release;
    },
    /** Something that happens on the chain before the next payment is settled. */
    beforeNextSettle: act => {
      beforeSettle = act;
    },
    /** Something that happens as soon as the next verdict is out. */
    afterNextVerify: act => {
      afterVerify = act;
    },
    /** From now on a repeated `/settle` gets the first one's answer. The bare packages say "nonce already used" instead. */
    rememberSettlements: () => {
      remembered.on = true;
    },
    /** The next `/settle` is answered with 500, and nothing is settled. */
    refuseNextSettle: () => {
      settlesToRefuse = 1;
    },
    /** While on, transactions are sent but seem unconfirmed: `/settle` answers `settlement_pending`. */
    delayConfirmations: on => {
      confirmations.delayed = on;
    },

    /** Drops every connection; the port stays ours for `start`. */
    stop: () => closeServer(server),
    start: () => listen(server, port),
  };
}

function signerOn(chain, key, confirmations) {
  const account = privateKeyToAccount(key);
  const wallet = createWalletClient({
    account,
    chain: chain.client.chain,
    transport: rpc(chain.url, { retryCount: 0 }),
    pollingInterval: 50,
    cacheTime: 0,
  }).extend(publicActions);

  // One gas account has one sequence of transactions: two that are prepared at once would take the same place in it.
  let last = Promise.resolve();
  const inTurn = send => args => {
    const sent = last.then(() => send(args));
    last = sent.catch(() => {});
    return sent;
  };
  return toFacilitatorEvmSigner({
    ...wallet,
    address: account.address,
    writeContract: inTurn(args => wallet.writeContract(args)),
    sendTransaction: inTurn(args => wallet.sendTransaction(args)),
    async waitForTransactionReceipt(args) {
      if (confirmations.delayed) throw new Error(`no receipt of ${args.hash} yet`);
      return wallet.waitForTransactionReceipt(args);
    },
  });
}
