// The compiled contracts. Compiling takes seconds, so the result is kept in the cache by source hash.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { cacheDir, e2eDir } from "./paths.mjs";

const NAMES = ["Token", "Multicall"];

/** `{ Token: runtime code as hex, Multicall: … }` */
export function contractCode() {
  const sources = Object.fromEntries(
    NAMES.map(name => [name, readFileSync(path.join(e2eDir, "contracts", `${name}.sol`), "utf8")]),
  );
  const hash = createHash("sha256").update(JSON.stringify(sources)).digest("hex").slice(0, 16);
  const cached = path.join(cacheDir, `contracts-${hash}.json`);
  if (existsSync(cached)) return JSON.parse(readFileSync(cached, "utf8"));

  const code = compile(sources);
  mkdirSync(cacheDir, { recursive: true });
  // Two test files may compile at once; a rename never shows a half-written file.
  writeFileSync(`${cached}.${process.pid}`, JSON.stringify(code));
  renameSync(`${cached}.${process.pid}`, cached);
  return code;
}

function compile(sources) {
  const solc = createRequire(import.meta.url)("solc");
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(NAMES.map(name => [name, { content: sources[name] }])),
    settings: {
      // viaIR: the authorization functions have more arguments than the stack takes otherwise.
      viaIR: true,
      optimizer: { enabled: true },
      evmVersion: "cancun",
      outputSelection: { "*": { "*": ["evm.deployedBytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors ?? []).filter(error => error.severity === "error");
  if (errors.length > 0) throw new Error(errors.map(error => error.formattedMessage).join("\n"));
  return Object.fromEntries(
    NAMES.map(name => [name, `0x${output.contracts[name][name].evm.deployedBytecode.object}`]),
  );
}
