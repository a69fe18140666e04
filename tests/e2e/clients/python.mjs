// The unmodified Python x402 client, run as a program of its own.
import path from "node:path";
import { startChild } from "../lib/child.mjs";
import { e2eDir, pythonBin } from "../lib/paths.mjs";

export const name = "Python x402";

export async function request(payer, url, { method = "GET", headers = {}, body = "" } = {}) {
  const script = path.join(e2eDir, "clients/pay.py");
  const contentType = headers["content-type"] ?? "";
  const child = startChild(pythonBin, [script, url, method, body, contentType], {
    env: { ...process.env, PAYER_KEY: payer.key, PYTHONDONTWRITEBYTECODE: "1" },
  });
  const { code } = await child.ended;
  if (code !== 0) throw new Error(`pay.py ended with ${code}:\n${child.output}`);
  const answer = JSON.parse(child.output.trim().split("\n").at(-1));
  return { status: answer.status, headers: new Headers(answer.headers), body: answer.body };
}
