// Python: a folder of files behind the standard library's server, and Flask.
import { fileURLToPath } from "node:url";
import { startChild } from "../child.mjs";
import { pythonBin } from "../paths.mjs";
import { freePort } from "../ports.mjs";
import { rawRequest } from "../raw.mjs";
import { until } from "../until.mjs";
import { goodsFolder } from "./goods.mjs";

const flaskApp = fileURLToPath(new URL("flask_app.py", import.meta.url));

async function startPython(args) {
  const port = await freePort();
  const child = startChild(pythonBin, args(String(port)));
  const url = `http://127.0.0.1:${port}`;
  await until("Python answers", async () => {
    if (child.exited) throw new Error(`it ended:\n${child.output}`);
    return (await rawRequest(url, "/free")).status === 200;
  }, { withinMs: 15_000 });
  return { url, stop: () => child.stop() };
}

export const pythonStacks = [
  {
    name: "http.server",
    start: () => startPython(port => ["-m", "http.server", "--bind", "127.0.0.1", "--directory", goodsFolder(), port]),
  },
  { name: "Flask", start: () => startPython(port => [flaskApp, port]) },
];
