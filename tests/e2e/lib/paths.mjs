// Where things are: the repository, the cache of downloaded parts, the binary under test.
import path from "node:path";
import { fileURLToPath } from "node:url";

export const e2eDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
export const repoDir = path.resolve(e2eDir, "../..");
export const cacheDir = path.resolve(process.env.TOLLGATE_TEST_CACHE || path.join(repoDir, "target/e2e-cache"));
export const pythonBin = path.join(cacheDir, "venv/bin/python");
export const tollgateBin = path.resolve(process.env.TOLLGATE_BIN || path.join(repoDir, "target/release/tollgate"));
