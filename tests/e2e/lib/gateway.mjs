// The gateway under test: the real binary, with a configuration file and a data folder of its own.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { startChild } from "./child.mjs";
import { tollgateBin } from "./paths.mjs";
import { freePort } from "./ports.mjs";
import { until } from "./until.mjs";

const READY_WITHIN_MS = 15_000;

/**
 * Starts the gateway. `tables` is the part of the configuration that a test is about (routes, plans, …),
 * as TOML; the rest is filled in here, and `facilitatorKeys`, `network` and `storeSecret` replace the defaults below.
 * `facilitators` are several in the place of one.
 */
export async function startGateway(options) {
  const { upstream, facilitator, facilitators = [], payTo, tables, storeSecret } = options;
  const { unlisted = "free", facilitatorKeys = {}, env = {}, network = "base" } = options;
  const dir = mkdtempSync(path.join(os.tmpdir(), "tollgate-e2e-"));
  const cleanUp = () => process.env.TOLLGATE_TEST_KEEP || rmSync(dir, { recursive: true, force: true });
  process.once("exit", cleanUp);
  const file = path.join(dir, "tollgate.toml");
  const listen = await freePort();
  const admin = await freePort();
  const url = `http://127.0.0.1:${listen}`;
  const adminUrl = `http://127.0.0.1:${admin}`;

  const only = facilitator && { url: facilitator.url };
  const fixed = `${table("server", {
    listen: [`127.0.0.1:${listen}`],
    public_url: url,
    unlisted,
    admin: `127.0.0.1:${admin}`,
  })}
${table("upstream", { url: upstream.url })}
${table("facilitator", { ...only, verify_timeout: "5s", settle_timeout: "10s", ...facilitatorKeys })}
${facilitators.map(each => table("[facilitators]", each)).join("\n")}
${table("pay_to", { [network]: payTo })}
[store]
url    = ${JSON.stringify(`sqlite:${dir}/tollgate.db`)}
secret = ${storeSecret ?? `{ file = ${JSON.stringify(`${dir}/tollgate.secret`)} }`}
`;
  let current = tables;
  let child;
  let earlierOutput = "";

  const gateway = {
    url,
    adminUrl,
    dir,
    file,
    wsUrl: url.replace("http", "ws"),
    /** A number on the metrics page, by its name with its labels. */
    async metric(name) {
      const page = await (await fetch(`${adminUrl}/metrics`)).text();
      return Number(page.split("\n").find(line => line.startsWith(`${name} `))?.slice(name.length + 1) ?? 0);
    },
    /** Everything that the gateway has printed, over all its starts. */
    log: () => earlierOutput + child.output,

    async start() {
      child = startChild(tollgateBin, ["run", file], { cwd: dir, env: { ...process.env, ...env } });
      try {
        await until("the gateway is ready", async () => {
          if (child.exited) return true;
          return (await fetch(`${adminUrl}/readyz`, { signal: AbortSignal.timeout(1_000) })).status === 200;
        }, { withinMs: READY_WITHIN_MS });
        if (child.exited) throw new Error("the gateway ended at once");
      } catch (error) {
        await child.stop("SIGKILL");
        throw new Error(`${error.message}\n--- ${tollgateBin} run ${file}\n${child.output}`, { cause: error });
      }
    },

    /** SIGTERM, then the end. The folder stays, so that `start` finds it again. */
    async stop(signal = "SIGTERM") {
      await child.stop(signal);
      earlierOutput += child.output;
      child.output = "";
    },
    kill: () => gateway.stop("SIGKILL"),

    /** Rewrites the file in place, as an editor may do: `change` gets and returns the test's own tables. */
    edit(change) {
      current = change(current);
      writeFileSync(file, `${fixed}\n${current}`);
    },
    /** The same by putting a new file in the old one's place, as most tools do. */
    replace(change) {
      current = change(current);
      writeFileSync(`${file}.new`, `${fixed}\n${current}`);
      renameSync(`${file}.new`, file);
    },

    /** Ends the gateway and removes its folder, unless TOLLGATE_TEST_KEEP asks to keep it for reading. */
    async remove() {
      await gateway.stop();
      if (process.env.TOLLGATE_TEST_KEEP) {
        writeFileSync(path.join(dir, "gateway.log"), gateway.log());
        console.error(`kept ${dir}`);
      }
      cleanUp();
      process.off("exit", cleanUp);
    },
  };

  gateway.edit(same => same);
  try {
    await gateway.start();
  } catch (error) {
    await gateway.remove();
    throw error;
  }
  return gateway;
}

// JSON strings and arrays of strings are TOML as well.
function table(name, keys) {
  const lines = Object.entries(keys).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  return `[${name}]\n${lines.join("\n")}\n`;
}
