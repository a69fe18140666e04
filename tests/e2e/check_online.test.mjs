// `tollgate check --online` against a real chain and a real facilitator.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { startChain, USDC } from "./lib/chain.mjs";
import { contractCode } from "./lib/contracts.mjs";
import { startFacilitator } from "./lib/facilitator.mjs";
import { tollgateBin } from "./lib/paths.mjs";

// The code of USDC at another address: a token that the gateway does not know by name.
const UNKNOWN = "0x00000000000000000000000000000000000A11cE";
const SELLER = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

let chain;
let facilitator;
let dir;
before(async () => {
  dir = mkdtempSync(path.join(os.tmpdir(), "tollgate-e2e-"));
  chain = await startChain();
  await chain.client.request({ method: "anvil_setCode", params: [UNKNOWN, contractCode().Token] });
  facilitator = await startFacilitator(chain);
});
after(async () => {
  await facilitator?.stop();
  await chain?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Checks a file whose token is this; exit code and what was written to standard error. */
function check(asset, rpcUrl = chain.url) {
  const file = path.join(dir, "tollgate.toml");
  writeFileSync(file, `
[server]
public_url = "https://api.example.com"
unlisted   = "deny"

[upstream]
url = "http://127.0.0.1:1"

[facilitator]
url = ${JSON.stringify(facilitator.url)}

[pay_to]
base = "${SELLER}"

[networks.base]
rpc_url = ${JSON.stringify(rpcUrl)}
${asset}

[[routes]]
path  = "/weather"
price = "$0.01"
`);
  return new Promise(resolve => {
    execFile(tollgateBin, ["check", "--online", file], (error, _, stderr) => {
      resolve({ code: error?.code ?? 0, lines: stderr.split("\n").filter(Boolean) });
    });
  });
}

const token = (members, address = UNKNOWN) => `asset = { address = "${address}", ${members} }`;
const TRUE = 'decimals = 6, name = "USD Coin", version = "2"';

test("a file that says what is so has no problem", async () => {
  assert.deepEqual(await check(""), { code: 0, lines: [] });
  assert.deepEqual(await check(token(TRUE)), { code: 0, lines: [] });
});

test("each untruth is one line with both values", async () => {
  const there = `base: USDC (${UNKNOWN})`;
  for (const [asset, line] of [
    [
      token('decimals = 6, name = "USDC", version = "2"'),
      `${there}: its EIP-712 name is "USD Coin" on the chain and "USDC" here: no payment would be good`,
    ],
    [
      token('decimals = 6, name = "USD Coin", version = "1"'),
      `${there}: its EIP-712 version is "2" on the chain and "1" here: no payment would be good`,
    ],
    [
      token('decimals = 18, name = "USD Coin", version = "2"'),
      `${there} has 6 decimals on the chain and 18 here: prices would be others than meant`,
    ],
    [token(TRUE, SELLER.replace("0x2", "0x3").toLowerCase()), /has no code there: it is no token of this chain$/],
  ]) {
    const { code, lines } = await check(asset);
    assert.equal(code, 1, lines.join("\n"));
    assert.equal(lines.length, 1, lines.join("\n"));
    if (line instanceof RegExp) assert.match(lines[0], line);
    else assert.equal(lines[0], line);
  }
});

test("Permit2 and its proxy are looked for", async () => {
  const { code, lines } = await check(token('decimals = 6, transfer = "permit2"'));
  assert.equal(code, 1);
  assert.match(lines.join("\n"), /^base: Permit2 \(0x0{10}22D4.*\nbase: x402's proxy of Permit2 \(0x402085c2/);
});

test("a server that cannot be asked is told without its URL", async () => {
  const { code, lines } = await check("", "http://127.0.0.1:1/do-not-print-me");
  assert.equal(code, 1);
  assert.match(lines.join("\n"), /^base: the RPC server gave no answer/);
  assert.doesNotMatch(lines.join("\n"), /do-not-print-me/);
});

test("a contract that is no token says nothing of itself", async () => {
  const multicall = "0xcA11bde05977b3631167028862bE2a173976CA11";
  const { code, lines } = await check(token(TRUE, multicall));
  assert.equal(code, 1);
  assert.match(lines.join("\n"), /does not say its decimals: it is no token/);
  assert.ok(USDC !== multicall && lines.every(line => line.includes(multicall)), lines.join("\n"));
});
