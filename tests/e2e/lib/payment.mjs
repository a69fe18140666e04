// Payments made by hand with the real client's own parts, for tests that send one twice or spoil it first.
import { x402Client, x402HTTPClient } from "@x402/core/client";
import { ExactEvmScheme } from "@x402/evm";

export const decode = header => JSON.parse(Buffer.from(header, "base64").toString("utf8"));
export const encode = value => Buffer.from(JSON.stringify(value), "utf8").toString("base64");

/** The challenge in an unpaid answer's header. */
export async function challengeOf(url, init) {
  const response = await fetch(url, init);
  await response.arrayBuffer();
  if (response.status !== 402) throw new Error(`expected a challenge from ${url}, got ${response.status}`);
  return decode(response.headers.get("payment-required"));
}

/** Signs what `challenge` asks for and returns the payload, unsent. */
export function sign(challenge, payer) {
  return clientFor(payer).createPaymentPayload(challenge);
}

/** Asks `url` for a challenge and returns the headers of a request that pays it. */
export async function paidHeaders(url, payer, init) {
  return headersOf(await sign(await challengeOf(url, init), payer));
}

export const headersOf = payload => ({ "PAYMENT-SIGNATURE": encode(payload) });

// The cap is the buyer's own protection and is tested where real clients buy.
function clientFor(payer) {
  const client = new x402Client().setSpendControls(false).register("eip155:8453", new ExactEvmScheme(payer.account));
  return new x402HTTPClient(client);
}

/** A payload whose authorization was changed by `change` and signed anew, so that only the gateway's own rules can object. */
export async function resigned(payload, payer, change) {
  const { accepted } = payload;
  const authorization = { ...payload.payload.authorization, ...change };
  const signature = await payer.account.signTypedData({
    domain: {
      name: accepted.extra.name,
      version: accepted.extra.version,
      chainId: 8453,
      verifyingContract: accepted.asset,
    },
    primaryType: "TransferWithAuthorization",
    types: {
      TransferWithAuthorization: [
        { name: "from", type: "address" },
        { name: "to", type: "address" },
        { name: "value", type: "uint256" },
        { name: "validAfter", type: "uint256" },
        { name: "validBefore", type: "uint256" },
        { name: "nonce", type: "bytes32" },
      ],
    },
    message: {
      ...authorization,
      value: BigInt(authorization.value),
      validAfter: BigInt(authorization.validAfter),
      validBefore: BigInt(authorization.validBefore),
    },
  });
  return { ...payload, payload: { signature, authorization } };
}
