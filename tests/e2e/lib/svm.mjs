// A local chain that calls itself Solana's mainnet, with USDC at its own address and a token of the newer program.
import { randomBytes } from "node:crypto";
import { AccountState, findAssociatedTokenPda, getMintEncoder, getTokenDecoder, getTokenEncoder } from "@solana-program/token";
import { createKeyPairSignerFromPrivateKeyBytes, getBase58Decoder } from "@solana/kit";
import { openBank } from "./svm_bank.mjs";
import { startRpc } from "./svm_rpc.mjs";

export const SOLANA = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
export const USDC_MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
/** USDT's, of the same program: somebody else's money to us. */
export const USDT_MINT = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB";
/** PYUSD's, of the Token-2022 program. */
export const PYUSD_MINT = "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo";

const SYSTEM_PROGRAM = "11111111111111111111111111111111";
const TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const TOKEN_2022_PROGRAM = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";
const PROGRAMS = { [USDC_MINT]: TOKEN_PROGRAM, [USDT_MINT]: TOKEN_PROGRAM, [PYUSD_MINT]: TOKEN_2022_PROGRAM };
const TRANSFER_CHECKED = 12;

export async function startSvm() {
  const bank = openBank();
  for (const [mint, program] of Object.entries(PROGRAMS)) {
    const [supply, mintAuthority, freezeAuthority] = [10n ** 15n, null, null];
    bank.setAccount(mint, program, getMintEncoder().encode({ mintAuthority, supply, decimals: 6, isInitialized: true, freezeAuthority }));
  }
  const rpc = await startRpc(bank);

  const chain = {
    url: rpc.url,
    rpc,
    expire: bank.expire,
    dropTransactions: bank.dropTransactions,
    transaction: bank.transaction,

    /** The address of an owner's token account. */
    async tokenAccount(owner, mint = USDC_MINT) {
      return (await findAssociatedTokenPda({ owner, mint, tokenProgram: PROGRAMS[mint] }))[0];
    },
    async balanceOf(owner, mint) {
      return getTokenDecoder().decode(bank.account(await chain.tokenAccount(owner, mint)).data).amount;
    },
    lamportsOf: address => BigInt(bank.account(address)?.lamports ?? 0),

    /** Gives tokens out of thin air, and the account that holds them. */
    async setBalance(owner, amount, mint = USDC_MINT) {
      const none = { delegate: null, isNative: null, delegatedAmount: 0n, closeAuthority: null };
      const data = getTokenEncoder().encode({ mint, owner, amount, state: AccountState.Initialized, ...none });
      bank.setAccount(await chain.tokenAccount(owner, mint), PROGRAMS[mint], data);
    },
    /** A new account that owns `amount` atomic units and no lamports. */
    async newPayer(amount = 10_000_000n, mint = USDC_MINT) {
      const payer = await newAccount();
      await chain.setBalance(payer.address, amount, mint);
      return payer;
    },
    /** A new account of one SOL, to pay fees with. */
    async newFeePayer() {
      const account = await newAccount();
      bank.setAccount(account.address, SYSTEM_PROGRAM, undefined, 1_000_000_000n);
      return account;
    },

    /** All transfers by `owner` that have happened, oldest first; `to` is a token account. */
    transfersFrom: owner => bank.landed().filter(({ err }) => err === null).flatMap(({ signature, instructions }) =>
      instructions
        .filter(({ program, data, accounts }) => Object.values(PROGRAMS).includes(program) && data[0] === TRANSFER_CHECKED && accounts[3] === owner)
        .map(({ data, accounts: [, mint, to] }) => ({ transaction: signature, mint, to, value: data.readBigUInt64LE(1) }))),

    stop: () => rpc.stop(),
  };
  return chain;
}

/** A key pair: as the clients of version 2 want it, and in base58 for those of version 1. */
export async function newAccount() {
  const seed = randomBytes(32);
  const signer = await createKeyPairSignerFromPrivateKeyBytes(seed);
  return { signer, address: signer.address, key: getBase58Decoder().decode(seed) };
}
