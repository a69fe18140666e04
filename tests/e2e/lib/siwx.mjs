// A wallet's sign-in as a token for many requests: `Authorization: SIWX base64(message).signature`.
import { createSiweMessage, generateSiweNonce } from "viem/siwe";
import { challengeOf, encode } from "./payment.mjs";

const HOUR_MS = 3_600_000;

/** The text that `payer`'s wallet signs; `changed` members are other than they should be. */
export function siwxMessage({ url }, payer, changed = {}) {
  const now = Date.now();
  return createSiweMessage({
    domain: new URL(url).host,
    address: payer.address,
    statement: "Sign in to the API",
    uri: url,
    version: "1",
    chainId: 8453,
    nonce: generateSiweNonce(),
    issuedAt: new Date(now),
    expirationTime: new Date(now + HOUR_MS),
    ...changed,
  });
}

/** Request options with a token over this text. */
export async function signedBy(payer, message) {
  const signature = await payer.account.signMessage({ message });
  return { headers: { Authorization: `SIWX ${Buffer.from(message, "utf8").toString("base64")}.${signature}` } };
}

/** Request options with a good token. */
export const signIn = (world, payer) => signedBy(payer, siwxMessage(world, payer));

/** The header of a sign-in for one request, with what the challenge at `url` says; `changed` parts are signed too,
 * `address` is only claimed. */
export async function signInHeader(url, payer, changed = {}, address = payer.address) {
  const { info, supportedChains } = (await challengeOf(url)).extensions["sign-in-with-x"];
  const [{ chainId, type }] = supportedChains;
  const said = { ...info, ...changed, address, chainId, type };
  const message = createSiweMessage({ ...said, chainId: 8453, issuedAt: new Date(info.issuedAt) });
  const signature = await payer.account.signMessage({ message });
  return { "SIGN-IN-WITH-X": encode({ ...said, signature }) };
}
