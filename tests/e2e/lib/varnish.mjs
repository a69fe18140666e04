// Varnish before a server, with its built-in rules or with some of the test's own before them.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { startChild } from "./child.mjs";
import { freePort } from "./ports.mjs";
import { rawRequest } from "./raw.mjs";
import { temporaryFolder } from "./stacks/goods.mjs";
import { unpacked } from "./unpacked.mjs";
import { until } from "./until.mjs";

/** Starts Varnish before `behind`; `rules` are the lines of `vcl_backend_response`, which the built-in ones follow. */
export async function startVarnish(behind, rules = "") {
  const dir = temporaryFolder();
  const vcl = path.join(dir, "test.vcl");
  const { port: backend } = new URL(behind);
  writeFileSync(vcl, `vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "${backend}"; }
sub vcl_backend_response {
${rules}
}
`);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const { file, env } = unpacked("varnishd");
  // Without jails and with as few threads as it takes, since it is one of many that are started here.
  const options = ["-F", "-j", "none", "-n", path.join(dir, "work"), "-a", `127.0.0.1:${port}`, "-f", vcl, "-s", "malloc,16m"];
  const child = startChild(file, [...options, "-p", "thread_pool_min=10", "-p", "thread_pools=1"], { env });
  await until("Varnish answers", async () => {
    if (child.exited) throw new Error(`it ended:\n${child.output}`);
    return (await rawRequest(url, "/")).status;
  }, { withinMs: 20_000 });
  return { url, stop: () => child.stop("SIGTERM"), log: () => child.output };
}
