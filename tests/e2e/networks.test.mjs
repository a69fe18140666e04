// The table of known networks against the packages that it was made from: what their clients pay without being told more.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { before, describe, test } from "node:test";
import { promisify } from "node:util";
import { DEFAULT_ASSETS } from "@x402/evm";
import { getUsdcChainConfigForChain } from "x402/shared/evm";
import { EvmNetworkToChainId } from "x402/types";
import { pythonBin, tollgateBin } from "./lib/paths.mjs";

const run = promisify(execFile);
const PYTHON = `
import json, sys, types
import x402.mechanisms
from x402.mechanisms.evm.default_assets import DEFAULT_ASSETS as evm
# The table alone: the rest of the package wants Solana's own packages.
svm = sys.modules["x402.mechanisms.svm"] = types.ModuleType("x402.mechanisms.svm")
svm.__path__ = [f"{path}/svm" for path in x402.mechanisms.__path__]
from x402.mechanisms.svm.default_assets import DEFAULT_ASSETS as svm
print(json.dumps([evm, svm]))
`;

// Version 1 of npm and PyPI mean different chains by these names, so that they are offered to nobody.
const AMBIGUOUS = { story: 1514, educhain: 41923, "skale-base-sepolia": 324705682 };

let ours;
before(async () => {
  const { stdout } = await run(tollgateBin, ["networks", "--json"]);
  ours = new Map(JSON.parse(stdout).map(entry => [entry.network, entry]));
});

describe("every default asset is in our table", () => {
  test("of @x402/evm", () => compare(DEFAULT_ASSETS, "assetTransferMethod", "supportsEip2612"));

  test("of PyPI's x402, in both families", async () => {
    const { stdout } = await run(pythonBin, ["-c", PYTHON]);
    const [evm, svm] = JSON.parse(stdout);
    compare(evm, "asset_transfer_method", "supports_eip2612");
    compare(svm);
  });

  test("of npm's x402 1.2, under the names of version 1", () => {
    const names = [...EvmNetworkToChainId];
    assert.ok(names.length > 10);
    for (const [name, chainId] of names) {
      if (AMBIGUOUS[name] === chainId) {
        assert.equal([...ours.values()].find(entry => entry.v1 === name), undefined, name);
        continue;
      }
      const entry = ours.get(`eip155:${chainId}`);
      const { usdcAddress, usdcName } = getUsdcChainConfigForChain(chainId);
      const asset = entry?.assets[0];
      assert.deepEqual(
        [entry?.v1, asset?.address.toLowerCase(), asset?.name, asset?.version, asset?.decimals, asset?.transfer],
        [name, usdcAddress.toLowerCase(), usdcName, "2", 6, "eip3009"],
      );
    }
  });
});

test("every v1 name of ours is one of npm's x402 1.2", () => {
  const theirs = new Map(EvmNetworkToChainId);
  for (const { v1, network } of ours.values()) {
    if (v1 && network.startsWith("eip155:")) assert.equal(`eip155:${theirs.get(v1)}`, network);
  }
});

/** Compares a package's table with ours, entry by entry; the first asset of a network is its default. */
function compare(theirs, transferKey, eip2612Key) {
  assert.ok(Object.keys(theirs).length > 2);
  for (const [network, assets] of Object.entries(theirs)) {
    const entry = ours.get(network);
    assert.ok(entry, `${network} is missing`);
    assert.equal(entry.assets[0].address.toLowerCase(), assets[0].asset.toLowerCase(), `${network}: the default`);
    for (const asset of assets) {
      const same = entry.assets.find(({ address }) => address.toLowerCase() === asset.asset.toLowerCase());
      const evm = network.startsWith("eip155:");
      const transfer = evm ? (asset[transferKey] ?? "eip3009") : "spl";
      // The domain of a token that can neither be transferred nor permitted by a signature is never sent.
      const domain = evm && (transfer === "eip3009" || asset[eip2612Key]);
      const expected = {
        symbol: asset.symbol,
        address: same?.address,
        decimals: asset.decimals,
        transfer,
        name: domain ? asset.name : null,
        version: domain ? asset.version : null,
      };
      assert.deepEqual(same, expected, `${network} ${asset.symbol}`);
    }
  }
}
