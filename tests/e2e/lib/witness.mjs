// Whoever remembers every credential that was sent or given, and searches what was written for it.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { startChild } from "./child.mjs";
import { tollgateBin } from "./paths.mjs";
import { decode } from "./payment.mjs";

/** Ways to ask, which remember every credential that was sent or given, and every word that was answered. */
export function startWitness(gateway, env) {
  const [keys, payments, proofs, answers] = [new Set(), new Set(), new Set(), []];
  const remember = headers => {
    for (const name of ["payment-signature", "x-payment"]) {
      const sent = headers.get(name);
      if (!sent || sent.includes("mark-of")) continue;
      payments.add(sent);
      const { payload } = decode(sent);
      if (payload.signature) payments.add(payload.signature.slice(2));
    }
    const [token, header] = [headers.get("authorization"), headers.get("sign-in-with-x")];
    if (token?.startsWith("SIWX ")) proofs.add(token.slice(5)).add(token.split(".").at(-1).slice(2));
    if (header) proofs.add(header).add(decode(header).signature.slice(2));
    for (const key of [headers.get("x-api-key"), token?.replace("Bearer ", "")]) {
      if (key?.startsWith("tg_live_")) keys.add(key);
    }
  };
  // Whom an answer gives a key may read it there, as the value of that member and nowhere else.
  const hear = async (place, response) => {
    const text = await response.clone().text();
    const given = /"apiKey": ?"(tg_live_\w+)"/.exec(text)?.[1];
    if (given) keys.add(given);
    const head = [...response.headers].join("\n");
    answers.push([`an answer of ${place}`, `${head}\n${given ? text.replace(given, "") : text}`]);
    return text;
  };
  const spy = async (input, init) => {
    const request = new Request(input, init);
    remember(request.headers);
    const response = await fetch(request);
    await hear(request.url, response);
    return response;
  };
  const ask = async (target, status, headers = {}, method = "GET", body = undefined) => {
    const response = await spy(new URL(target, gateway.url), { method, headers, body });
    const text = await response.text();
    if (status) assert.equal(response.status, status, `${method} ${target}: ${text}`);
    return text.startsWith("{") ? { status: response.status, ...JSON.parse(text) } : { status: response.status };
  };
  const run = async args => {
    const child = startChild(tollgateBin, args, { cwd: gateway.dir, env: { ...process.env, ...env } });
    const { code } = await child.ended;
    answers.push([`what ${args.join(" ")} prints`, child.output]);
    return { code, output: child.output };
  };
  const command = async (...args) => (await run(args)).code;
  const output = async (...args) => (await run(args)).output.split("\n").find(line => line.startsWith("{"));
  return { keys, payments, proofs, answers, spy, ask, command, output };
}

/** The files of a folder, as pairs of name and text. */
export function filesIn(dir) {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
  return files.map(({ parentPath, name }) => [name, readFileSync(path.join(parentPath, name), "latin1")]);
}

/** A text as it may stand in a log: as it is, as bytes in hex or in decimal, and in base64 wherever it begins. */
function forms(text) {
  const bytes = Buffer.from(text);
  const behind = shift => Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64");
  const within = shift => behind(shift).slice(4 * Math.ceil(shift / 3), -4);
  return [text, bytes.toString("hex"), bytes.join(", "), ...[0, 1, 2].map(within)];
}

/** None of these may be found there, in whatever form. */
export function assertNowhere(secrets, place, text) {
  for (const secret of secrets) {
    for (const form of forms(secret)) {
      const at = text.indexOf(form);
      assert.equal(at, -1, `${secret} is in ${place}: ${text.slice(Math.max(0, at - 200), at + form.length + 100)}`);
    }
  }
}
