// `tollgate check --online` against a real SVM and a real facilitator: mints, token accounts, the cluster.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { tollgateBin } from "./lib/paths.mjs";
import { newAccount, PYUSD_MINT, startSvm } from "./lib/svm.mjs";
import { startSvmFacilitator } from "./lib/svm_facilitator.mjs";

let chain;
let facilitator;
let dir;
before(async () => {
  dir = mkdtempSync(path.join(os.tmpdir(), "tollgate-e2e-"));
  chain = await startSvm();
  facilitator = await startSvmFacilitator(chain);
});
after(async () => {
  await facilitator?.stop();
  await chain?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Checks a file that is paid at `payTo` in the token of `price`; exit code and what was written to standard error. */
function check(payTo, { price = "$0.01", network = "solana" } = {}) {
  const file = path.join(dir, "tollgate.toml");
  writeFileSync(file, `
server             = { public_url = "https://api.example.com", unlisted = "deny" }
upstream           = { url = "http://127.0.0.1:1" }
facilitator        = { url = ${JSON.stringify(facilitator.url)} }
pay_to.${network}  = "${payTo}"
networks.${network}.rpc_url = ${JSON.stringify(chain.url)}
routes = [{ path = "/weather", price = "${price}" }]
`);
  return new Promise(resolve => {
    execFile(tollgateBin, ["check", "--online", file], (error, _, stderr) => {
      resolve({ code: error?.code ?? 0, lines: stderr.split("\n").filter(Boolean) });
    });
  });
}

test("a receiver whose token account is there has no problem, of both token programs", async () => {
  const { address } = await newAccount();
  await chain.setBalance(address, 0n);
  assert.deepEqual(await check(address), { code: 0, lines: [] });
  await chain.setBalance(address, 0n, PYUSD_MINT);
  assert.deepEqual(await check(address, { price: "1 PYUSD" }), { code: 0, lines: [] });
});

test("a receiver without a token account is told which one, and how to make it", async () => {
  const { address } = await newAccount();
  for (const [price, mint] of [["$0.01", undefined], ["1 PYUSD", PYUSD_MINT]]) {
    const { code, lines } = await check(address, { price });
    assert.equal(code, 1);
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(lines[0], new RegExp(await chain.tokenAccount(address, mint)));
    assert.match(lines[0], /spl-token create-account/);
  }
});

test("a token account in the wallet's place is a problem", async () => {
  const { address } = await newAccount();
  await chain.setBalance(address, 0n);
  const { code, lines } = await check(await chain.tokenAccount(address));
  assert.equal(code, 1);
  assert.match(lines.join("\n"), /token account/);
});

test("a server of another cluster is a problem", async () => {
  const { address } = await newAccount();
  const { code, lines } = await check(address, { network: "solana-devnet" });
  assert.equal(code, 1);
  assert.match(lines.join("\n"), /solana-devnet/);
});
