// A facilitator in a process of its own, which can be killed and stopped in its tracks.
import path from "node:path";
import { startChild } from "./child.mjs";
import { e2eDir } from "./paths.mjs";
import { freePort } from "./ports.mjs";
import { until } from "./until.mjs";

export async function startFacilitatorProcess(chain, key) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = { ...process.env, RPC_URL: chain.url, GAS_KEY: key, PORT: String(port) };
  let child;
  const self = {
    url,
    async start() {
      if (child && !child.exited) return;
      child = startChild(process.execPath, [path.join(e2eDir, "lib/facilitator_main.mjs")], { env });
      await until("the facilitator answers", async () => {
        if (child.exited) throw new Error(`the facilitator ended:\n${child.output}`);
        return (await fetch(`${url}/supported`)).ok;
      }, { withinMs: 20_000 });
    },
    async kill() {
      await child.stop("SIGKILL");
    },
    /** It keeps its connections and takes new ones, and does nothing. */
    hang: async () => child.signal("SIGSTOP"),
    goOn: async () => child.signal("SIGCONT"),
  };
  await self.start();
  return self;
}
