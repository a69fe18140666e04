// The scheme "upto" with unmodified client and facilitator: what is signed is a ceiling, and the gateway settles all of it.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { x402Client, x402HTTPClient } from "@x402/core/client";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner, UptoEvmScheme as UptoClient, x402UptoPermit2ProxyAddress } from "@x402/evm";
import { UptoEvmScheme } from "@x402/evm/upto/facilitator";
import { recoverTypedDataAddress } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { USDC } from "./lib/chain.mjs";
import { startGateway } from "./lib/gateway.mjs";
import { closeServer, listen, readBody, sendJson } from "./lib/http_server.mjs";
import { challengeOf, decode, headersOf } from "./lib/payment.mjs";
import { until } from "./lib/until.mjs";
import { startUpstream } from "./lib/upstream.mjs";

const TABLES = `
[networks.base]
scheme = "upto"

[[routes]]
path  = "/weather"
price = "$0.001"
`;
const TRANSACTION = `0x${"ab".repeat(32)}`;
const payTo = privateKeyToAccount(generatePrivateKey()).address;
const collector = privateKeyToAccount(generatePrivateKey());

let facilitator;
let upstream;
let gateway;
before(async () => {
  facilitator = await startUptoFacilitator();
  upstream = await startUpstream();
  gateway = await startGateway({ upstream, facilitator, payTo, tables: TABLES });
});
after(async () => {
  await gateway?.remove();
  await upstream?.stop();
  await facilitator?.stop();
});

test("the whole price is settled, once, by the facilitator that the terms name", async () => {
  const url = `${gateway.url}/weather`;
  const challenge = await until("the offer", async () => {
    const found = await challengeOf(url);
    return found.accepts.length > 0 && found;
  });
  const [accepted] = challenge.accepts;
  assert.equal(accepted.scheme, "upto");
  assert.equal(accepted.extra.facilitatorAddress, collector.address);
  assert.equal(accepted.extra.assetTransferMethod, "permit2");

  const payer = privateKeyToAccount(generatePrivateKey());
  const client = new x402Client().setSpendControls(false).register("eip155:8453", new UptoClient(payer));
  const payload = await new x402HTTPClient(client).createPaymentPayload(challenge);
  const headers = headersOf(payload);
  const paid = await fetch(url, { headers });
  const again = await fetch(url, { headers });

  assert.equal(paid.status, 200);
  assert.equal(await again.text(), await paid.text(), "the same payment gets the same answer");
  const receipt = decode(paid.headers.get("payment-response"));
  assert.deepEqual([receipt.success, receipt.transaction], [true, TRANSACTION]);
  assert.equal(receipt.payer.toLowerCase(), payer.address.toLowerCase());
  assert.equal(upstream.hits("/weather"), 1);

  assert.equal(facilitator.sent.length, 1);
  const [{ address, functionName, args }] = facilitator.sent;
  assert.deepEqual([address, functionName], [x402UptoPermit2ProxyAddress, "settle"]);
  const [permit, amount, owner, witness] = args;
  assert.deepEqual([permit.permitted.amount, amount, owner], [1_000n, 1_000n, payer.address]);
  assert.deepEqual([witness.to, witness.facilitator], [payTo, collector.address]);
});

test("a permit for another facilitator, another amount or of another signer is refused here", async () => {
  const url = `${gateway.url}/weather`;
  const challenge = await challengeOf(url);
  const payer = privateKeyToAccount(generatePrivateKey());
  const client = new x402Client().setSpendControls(false).register("eip155:8453", new UptoClient(payer));
  const asked = facilitator.calls.length;
  for (const change of [{ extra: { facilitatorAddress: payTo } }, { amount: "999" }, { payTo: collector.address }]) {
    const other = structuredClone(challenge);
    const [accepted] = other.accepts;
    Object.assign(accepted, { ...change, extra: { ...accepted.extra, ...change.extra } });
    const payload = await new x402HTTPClient(client).createPaymentPayload(other);
    payload.accepted = challenge.accepts[0];
    assert.equal((await fetch(url, { headers: headersOf(payload) })).status, 402, JSON.stringify(change));
  }
  const payload = await new x402HTTPClient(client).createPaymentPayload(challenge);
  payload.payload.permit2Authorization.from = collector.address;
  assert.equal((await fetch(url, { headers: headersOf(payload) })).status, 402);
  assert.equal(facilitator.calls.length, asked, "nobody was asked");
});

/** The reference facilitator in front of a chain that takes everything and tells what it was sent. */
async function startUptoFacilitator() {
  const sent = [];
  const calls = [];
  const signer = toFacilitatorEvmSigner({
    address: collector.address,
    getCode: async ({ address }) => (address === USDC ? "0x60" : undefined),
    readContract: async () => undefined,
    verifyTypedData: async ({ address, signature, ...typed }) =>
      (await recoverTypedDataAddress({ ...typed, signature })) === address,
    writeContract: async call => {
      sent.push(call);
      return TRANSACTION;
    },
    sendTransaction: async () => TRANSACTION,
    waitForTransactionReceipt: async () => ({ status: "success", logs: [] }),
  });
  const facilitator = new x402Facilitator().register("eip155:8453", new UptoEvmScheme(signer));
  const server = http.createServer(async (request, response) => {
    if (request.url === "/supported") return sendJson(response, 200, facilitator.getSupported());
    const { paymentPayload, paymentRequirements } = JSON.parse(await readBody(request));
    calls.push(request.url);
    const act = request.url === "/settle" ? "settle" : "verify";
    try {
      sendJson(response, 200, await facilitator[act](paymentPayload, paymentRequirements));
    } catch (error) {
      sendJson(response, 500, { error: error.message });
    }
  });
  const port = await listen(server);
  return { url: `http://127.0.0.1:${port}`, sent, calls, stop: () => closeServer(server) };
}
