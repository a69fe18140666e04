// The ledger of a local Solana: a real runtime with the real token programs, and a memory of what has landed.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { getAddressDecoder, getAddressEncoder, getBase58Decoder, getCompiledTransactionMessageDecoder, getTransactionDecoder } from "@solana/kit";

// The package's own index only wraps these in types of another version of kit.
const { Account, LiteSvm } = createRequire(import.meta.url)("litesvm/dist/internal.js");

const [decodeAddress, encodeAddress] = [getAddressDecoder(), getAddressEncoder()];
const [decodeTransaction, decodeMessage] = [getTransactionDecoder(), getCompiledTransactionMessageDecoder()];
// The runtime gives errors without members as numbers; these are the ones that are met here.
const ERRORS = { 2: "AccountNotFound", 4: "InsufficientFundsForFee", 6: "AlreadyProcessed", 7: "BlockhashNotFound", 11: "SignatureFailure" };

export function openBank() {
  const svm = new LiteSvm();
  const landed = new Map();
  let slot = Number(svm.getClock().slot);
  let secondsAhead = 0;
  let drops = false;

  const bank = {
    slot: () => slot,
    /** Seconds of Unix time. */
    time: () => Math.floor(Date.now() / 1_000) + secondsAhead,
    /** Only the latest blockhash is good, until `expire`: nothing grows old by itself. */
    blockhash: () => svm.latestBlockhash(),
    /** From now on all that was signed is too old, and the chain's clock is `seconds` further. */
    expire(seconds = 0) {
      svm.expireBlockhash();
      slot += 151;
      secondsAhead += seconds;
    },
    /** While on, transactions are taken and never land. */
    dropTransactions: on => {
      drops = on;
    },

    account(address) {
      const account = svm.getAccount(encodeAddress.encode(address));
      if (!account) return null;
      const [data, owner] = [Buffer.from(account.data()), decodeAddress.decode(account.owner())];
      return { data, owner, executable: account.executable(), lamports: Number(account.lamports()) };
    },
    /** Puts an account there, rent-exempt or with that many lamports. */
    setAccount(address, owner, data = new Uint8Array(), lamports = undefined) {
      const rent = lamports ?? svm.minimumBalanceForRentExemption(BigInt(data.length));
      const account = new Account(rent, Uint8Array.from(data), Uint8Array.from(encodeAddress.encode(owner)), false, 0n);
      svm.setAccount(Uint8Array.from(encodeAddress.encode(address)), account);
    },

    /** Puts a transaction on the chain, or says nothing if that cannot be. Returns its signature. */
    send(bytes) {
      const transaction = read(bytes);
      if (drops || landed.has(transaction.id)) return transaction.signature;
      const failed = failure(svm.sendVersionedTransaction(bytes));
      // Only what failed in a program is in a block, and has cost its fee.
      if (typeof failed === "string") return transaction.signature;
      slot += 1;
      landed.set(transaction.id, { ...transaction, bytes, err: failed, slot, blockTime: bank.time() });
      return transaction.signature;
    },
    /** What would come of it. */
    simulate(bytes, { sigVerify = false, replaceRecentBlockhash = false }) {
      if (landed.has(read(bytes).id)) return { err: "AlreadyProcessed", logs: [], unitsConsumed: 0 };
      svm.setSigverify(sigVerify);
      svm.setBlockhashCheck(!replaceRecentBlockhash);
      const outcome = svm.simulateVersionedTransaction(bytes);
      svm.setSigverify(true);
      svm.setBlockhashCheck(true);
      const meta = outcome.meta();
      return { err: failure(outcome), logs: meta.logs(), unitsConsumed: Number(meta.computeUnitsConsumed()) };
    },

    /** All that has landed, oldest first. */
    landed: () => [...landed.values()],
    transaction: signature => bank.landed().find(transaction => transaction.signature === signature),
  };
  return bank;
}

/** A transaction by its parts; the chain takes no message twice, whatever its signatures are. */
function read(bytes) {
  const { messageBytes, signatures } = decodeTransaction.decode(bytes);
  const [first] = Object.values(signatures);
  const { staticAccounts, instructions } = decodeMessage.decode(messageBytes);
  return {
    id: createHash("sha256").update(messageBytes).digest("hex"),
    signature: getBase58Decoder().decode(first ?? new Uint8Array(64)),
    accounts: staticAccounts,
    instructions: instructions.map(({ programAddressIndex, accountIndices = [], data = [] }) => ({
      program: staticAccounts[programAddressIndex],
      accounts: accountIndices.map(index => staticAccounts[index]),
      data: Buffer.from(data),
    })),
  };
}

/** The error of an outcome as JSON-RPC writes it: a text if it never ran, an object if it failed in a program. */
function failure(outcome) {
  const error = outcome.err?.();
  if (error === undefined) return null;
  if (typeof error === "number") return ERRORS[error] ?? `error ${error}`;
  const inner = error.err?.();
  return { InstructionError: [error.index ?? 0, inner?.code === undefined ? "GenericError" : { Custom: inner.code }] };
}
