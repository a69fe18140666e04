// The JSON-RPC of a Solana node, as far as clients, facilitators and the gateway ask.
import http from "node:http";
import { closeServer, listen, readBody, sendJson } from "./http_server.mjs";

// Of mainnet: a network's CAIP-2 id is the beginning of its genesis hash.
const GENESIS_HASH = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";

/** Serves a bank. Everything that has landed is final at once. */
export async function startRpc(bank) {
  const asked = [];
  const methods = methodsOf(bank);
  const server = http.createServer(async (request, response) => {
    const { id, method, params = [] } = JSON.parse(await readBody(request));
    asked.push(method);
    const answer = result => sendJson(response, 200, { jsonrpc: "2.0", id, ...result });
    try {
      if (!methods[method]) return answer({ error: { code: -32601, message: `no method ${method}` } });
      answer({ result: methods[method](...params) });
    } catch (error) {
      answer({ error: { code: -32602, message: error.message } });
    }
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    /** The methods that were asked for, in order. */
    asked,
    stop: () => closeServer(server),
    start: () => listen(server, port),
  };
}

function methodsOf(bank) {
  const now = value => ({ context: { slot: bank.slot(), apiVersion: "3.0.0" }, value });
  const bytesOf = text => new Uint8Array(Buffer.from(text, "base64"));
  return {
    getGenesisHash: () => GENESIS_HASH,
    getBlockTime: () => bank.time(),
    getLatestBlockhash: () => now({ blockhash: bank.blockhash(), lastValidBlockHeight: bank.slot() + 150 }),
    isBlockhashValid: blockhash => now(blockhash === bank.blockhash()),

    getAccountInfo(address) {
      const account = bank.account(address);
      if (!account) return now(null);
      const { data, lamports, owner, executable } = account;
      return now({ data: [data.toString("base64"), "base64"], lamports, owner, executable, rentEpoch: 0, space: data.length });
    },

    simulateTransaction(transaction, options = {}) {
      const outcome = bank.simulate(bytesOf(transaction), options);
      return now({ ...outcome, accounts: null, returnData: null, innerInstructions: null });
    },
    sendTransaction: transaction => bank.send(bytesOf(transaction)),

    getSignatureStatuses: signatures => now(signatures.map(signature => {
      const found = bank.transaction(signature);
      return found ? { slot: found.slot, confirmations: null, err: found.err, confirmationStatus: "finalized" } : null;
    })),
    getSignaturesForAddress(address, { limit = 1_000, before } = {}) {
      const newest = bank.landed().filter(({ accounts }) => accounts.includes(address)).reverse();
      const from = before ? newest.findIndex(({ signature }) => signature === before) + 1 : 0;
      return newest.slice(from, from + limit).map(({ signature, slot, blockTime, err }) => ({
        signature, slot, blockTime, err, memo: null, confirmationStatus: "finalized",
      }));
    },
    getTransaction(signature) {
      const found = bank.transaction(signature);
      if (!found) return null;
      const { slot, blockTime, err, bytes } = found;
      return { slot, blockTime, version: 0, meta: { err }, transaction: [Buffer.from(bytes).toString("base64"), "base64"] };
    },
  };
}
