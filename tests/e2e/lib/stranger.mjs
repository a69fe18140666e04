// What anybody may do who sees a payment, and what a payer may do behind the seller's back: real transactions.
import { createWalletClient, decodeFunctionData, encodeFunctionData, http, parseAbi } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { USDC } from "./chain.mjs";
import { resigned } from "./payment.mjs";

// The third well-known account of every anvil.
const KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
const ABI = parseAbi([
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)",
  "function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature)",
]);

/** Puts a payment on the chain that somebody else was meant to. Returns the transaction's hash. */
export function submit(chain, { payload: { authorization, signature } }) {
  const { from, to, value, validAfter, validBefore, nonce } = authorization;
  const args = [from, to, BigInt(value), BigInt(validAfter), BigInt(validBefore), nonce, signature];
  return send(chain, encodeFunctionData({ abi: [ABI[1]], args }));
}

/** Uses up a payment's nonce with a transfer of the payer to itself. */
export async function burn(chain, payload, payer) {
  return submit(chain, await resigned(payload, payer, { to: payer.address }));
}

/** Cancels a payment's authorization. */
export async function cancel(chain, { payload: { authorization } }, payer) {
  const signature = await payer.account.signTypedData({
    domain: { name: "USD Coin", version: "2", chainId: 8453, verifyingContract: USDC },
    primaryType: "CancelAuthorization",
    types: { CancelAuthorization: [{ name: "authorizer", type: "address" }, { name: "nonce", type: "bytes32" }] },
    message: { authorizer: payer.address, nonce: authorization.nonce },
  });
  return send(chain, encodeFunctionData({ abi: [ABI[2]], args: [payer.address, authorization.nonce, signature] }));
}

/** A payment as anybody can build it from the calldata of its transaction, on terms that anybody can ask for. */
export async function rebuilt(chain, hash, { accepts: [accepted], resource }) {
  const { input } = await chain.client.getTransaction({ hash });
  const { args } = decodeFunctionData({ abi: ABI, data: input });
  const [from, to, value, validAfter, validBefore, nonce] = args;
  const signature = args.length === 7 ? args[6] : joined(args[6], args[7], args[8]);
  const numbers = { value: String(value), validAfter: String(validAfter), validBefore: String(validBefore) };
  return { x402Version: 2, resource, accepted, payload: { signature, authorization: { from, to, ...numbers, nonce } } };
}

/** A payment's signature in one piece, as it travels. */
function joined(v, r, s) {
  return `${r}${s.slice(2)}${v.toString(16).padStart(2, "0")}`;
}

async function send(chain, data) {
  const wallet = createWalletClient({
    account: privateKeyToAccount(KEY),
    chain: chain.client.chain,
    transport: http(chain.url, { retryCount: 0 }),
  });
  const hash = await wallet.sendTransaction({ to: USDC, data });
  const { status } = await chain.client.waitForTransactionReceipt({ hash });
  if (status !== "success") throw new Error(`transaction ${hash} failed`);
  return hash;
}
