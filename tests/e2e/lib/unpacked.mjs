// Servers that are no Node packages: from the PATH, or from where debian.sh has unpacked them.
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { cacheDir } from "./paths.mjs";

/** Where a server's binary is, and its whole environment: `{ file, env }`. */
export function unpacked(binary) {
  const installed = [...(process.env.PATH ?? "").split(":"), "/usr/sbin"].map(folder => path.join(folder, binary));
  const onPath = installed.find(file => existsSync(file));
  if (onPath) return { file: onPath, env: process.env };
  const usr = path.join(cacheDir, "debian/usr");
  const file = ["sbin", "bin"].map(folder => path.join(usr, folder, binary)).find(file => existsSync(file));
  if (!file) throw new Error(`no ${binary} on the PATH or in ${usr}: run tests/e2e/setup.sh`);
  const machine = readdirSync(path.join(usr, "lib")).find(name => name.endsWith("-linux-gnu"));
  const libraries = path.join(usr, "lib", machine ?? "");
  return { file, env: { ...process.env, LD_LIBRARY_PATH: `${libraries}:${path.join(libraries, "varnish")}` } };
}
