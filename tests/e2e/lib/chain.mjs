// A local chain that calls itself Base, with a token of ours at USDC's address.
import { createRequire } from "node:module";
import { createPublicClient, encodeAbiParameters, http, keccak256, pad, parseAbi, toHex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { base } from "viem/chains";
import { startChild } from "./child.mjs";
import { contractCode } from "./contracts.mjs";
import { freePort } from "./ports.mjs";
import { until } from "./until.mjs";

export const USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11";
const TOKEN_ABI = parseAbi([
  "function balanceOf(address) view returns (uint256)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)",
]);

// The second well-known account of every anvil, rich in gas money and worth nothing elsewhere.
export const GAS_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

export async function startChain() {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const anvil = startChild(anvilBin(), ["--port", String(port), "--chain-id", String(base.id), "--silent"]);
  const client = clientOf(url);
  await until("the chain answers", () => {
    if (anvil.exited) throw new Error(`anvil ended:\n${anvil.output}`);
    return client.getChainId();
  }, { withinMs: 20_000 });

  const code = contractCode();
  await client.request({ method: "anvil_setCode", params: [USDC, code.Token] });
  await client.request({ method: "anvil_setCode", params: [MULTICALL3, code.Multicall] });

  const chain = {
    url,
    client,
    balanceOf: account =>
      client.readContract({ address: USDC, abi: TOKEN_ABI, functionName: "balanceOf", args: [account] }),

    /** Gives tokens out of thin air. Written to storage, since a transaction would make a block. */
    setBalance: (account, amount) =>
      client.request({
        method: "anvil_setStorageAt",
        params: [USDC, balanceSlot(account), pad(toHex(amount), { size: 32 })],
      }),

    /** A new account that owns `amount` atomic units and no gas money. */
    async newPayer(amount = 10_000_000n) {
      const key = generatePrivateKey();
      const account = privateKeyToAccount(key);
      if (amount > 0n) await chain.setBalance(account.address, amount);
      return { key, account, address: account.address };
    },

    /** All transfers out of `account`, oldest first. */
    async transfersFrom(account) {
      const logs = await client.getLogs({
        address: USDC, event: TOKEN_ABI[1], args: { from: account }, fromBlock: 0n, toBlock: "latest",
      });
      return logs.map(({ transactionHash, args }) => ({ transactionHash, to: args.to, value: args.value }));
    },

    /** The transactions that used up authorizations of `account`, by nonce. */
    async usesBy(account) {
      const logs = await client.getLogs({
        address: USDC, event: TOKEN_ABI[2], args: { authorizer: account }, fromBlock: 0n, toBlock: "latest",
      });
      return new Map(logs.map(({ transactionHash, args }) => [args.nonce, transactionHash]));
    },

    stop: () => anvil.stop(),
  };
  return chain;
}

/** The chain by its address, for another process. */
export function clientOf(url) {
  return createPublicClient({
    chain: { ...base, rpcUrls: { default: { http: [url] } } },
    transport: http(url, { retryCount: 0 }),
    pollingInterval: 50,
    cacheTime: 0,
  });
}

/** The transaction that used an authorization up. */
export async function transactionOf(client, { from, nonce }) {
  const args = { authorizer: from, nonce };
  const logs = await client.getLogs({ address: USDC, event: TOKEN_ABI[2], args, fromBlock: 0n, toBlock: "latest" });
  return logs[0]?.transactionHash;
}

// `balanceOf` is the first mapping of Token.sol.
function balanceSlot(account) {
  return keccak256(encodeAbiParameters([{ type: "address" }, { type: "uint256" }], [account, 0n]));
}

// The binary itself and not the package's launcher: a launcher that is killed leaves its child behind.
function anvilBin() {
  const arch = process.arch === "x64" ? "amd64" : process.arch;
  return createRequire(import.meta.url).resolve(`@foundry-rs/anvil-${process.platform}-${arch}/bin/anvil`);
}
