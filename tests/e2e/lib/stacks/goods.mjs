// What every stack has: the goods at /weather, /market, /read and below /premium; free things at /free and below /public.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

export const PREMIUM = "PREMIUM-GOODS";
export const FREE = "FREE-GOODS";

/** What a stack says at a path that it has made out. */
export function goodsAt(path) {
  if (["/weather", "/market", "/read", "/premium"].includes(path) || path.startsWith("/premium/")) return PREMIUM;
  if (["/free", "/public", "/cheap"].includes(path) || path.startsWith("/public/")) return FREE;
  return undefined;
}

/** The same as files, in a folder that goes with this process. */
export function goodsFolder() {
  const dir = temporaryFolder();
  const put = (file, text) => {
    mkdirSync(path.dirname(path.join(dir, file)), { recursive: true });
    writeFileSync(path.join(dir, file), `${text}\n`);
  };
  for (const file of ["weather", "market", "read", "premium/index.html", "premium/report"]) put(file, PREMIUM);
  for (const file of ["free", "cheap", "public/index.html", "public/info"]) put(file, FREE);
  return dir;
}

const folders = [];
process.once("exit", () => folders.forEach(dir => rmSync(dir, { recursive: true, force: true })));

export function temporaryFolder() {
  const dir = mkdtempSync(path.join(os.tmpdir(), "tollgate-stack-"));
  folders.push(dir);
  return dir;
}
