// Programs that are not installed: those that debian.sh unpacked, or else those on the PATH.
import { existsSync } from "node:fs";
import path from "node:path";
import { cacheDir } from "./paths.mjs";

/** The file of a program such as `nginx`, and the environment that lets it find its own libraries. */
export function unpacked(binary) {
  const root = path.join(cacheDir, "debian");
  const file = path.join(root, "usr/sbin", binary);
  if (!existsSync(file)) return { file: binary, env: process.env };
  const libraries = path.join(root, "usr/lib/x86_64-linux-gnu");
  return { file, env: { ...process.env, LD_LIBRARY_PATH: `${libraries}:${path.join(libraries, "varnish")}` } };
}
