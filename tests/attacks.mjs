// Prints the attacks of attacks.txt with a verdict each, from what the tests said:
//   node tests/attacks.mjs FOLDER     FOLDER has the logs that tests/run.sh wrote
// An attack is held if every test that is named for it ran and passed. Fails if one is not, or if a letter is missing.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** The attacks, in the order of the file: { letter, name, tests: [{ suite, name }], reason }. */
function attacks(text) {
  const found = [];
  for (const line of text.split("\n").filter((line) => line.trim() && !line.startsWith("#"))) {
    const head = line.match(/^([A-Z])  (.+)$/);
    const below = line.match(/^ {3}(\S+) +(.+)$/);
    if (head) found.push({ letter: head[1], name: head[2], tests: [], reason: undefined });
    else if (below?.[1] === "reason") found.at(-1).reason = below[2];
    else if (below) found.at(-1).tests.push({ suite: below[1], name: below[2] });
    else throw new Error(`attacks.txt: cannot read ${JSON.stringify(line)}`);
  }
  return found;
}

/** What each test came to: "suite name" to true or false. */
function results(folder) {
  const outcome = new Map();
  const note = (suite, name, passed) => {
    // A name that stands for several tests holds only if all of them do.
    const key = `${suite} ${name}`;
    outcome.set(key, passed && outcome.get(key) !== false);
  };
  for (const file of readdirSync(folder)) {
    const text = readFileSync(path.join(folder, file), "utf8");
    if (file.endsWith(".tap")) tap(text, note);
    else if (file.endsWith(".log")) cargo(text, note);
  }
  return outcome;
}

/** `cargo test` says which binary runs before it says what the tests in it came to. */
function cargo(text, note) {
  let suite;
  for (const line of text.split("\n")) {
    const running = line.match(/^\s*Running (?:unittests )?(\S+) /);
    if (running) suite = suiteOf(running[1]);
    const test = line.match(/^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED)/);
    if (test) note(suite, test[1], test[2] === "ok");
  }
}

/** gateway/lib.rs is the unit tests; tests/NAME.rs and tests/NAME/main.rs are NAME. */
function suiteOf(file) {
  if (file === "gateway/lib.rs") return "unit";
  return file.replace(/^tests\//, "").replace(/(\/main)?\.rs$/, "");
}

/** A test's name is that of the tests around it and its own, as one sentence. */
function tap(text, note) {
  const around = [];
  for (const line of text.split("\n")) {
    const [, indent, kind, name] = line.match(/^( *)(# Subtest:|ok \d+ -|not ok \d+ -) (.*?)(?: # (?:time|SKIP|TODO).*)?$/) ?? [];
    if (kind === undefined) continue;
    const depth = indent.length / 4;
    around.length = depth;
    if (kind === "# Subtest:") around.push(name);
    else note("e2e", [...around, name].join(" "), kind.startsWith("ok"));
  }
}

function verdict(attack, outcome) {
  if (attack.tests.length === 0) return attack.reason ? "does not apply" : "NO TEST AND NO REASON";
  const states = attack.tests.map(({ suite, name }) => outcome.get(`${suite} ${name}`));
  if (states.includes(false)) return "FAILED";
  if (states.includes(undefined)) return "NOT RUN";
  return "held";
}

const table = attacks(readFileSync(path.join(here, "attacks.txt"), "utf8"));
const outcome = results(process.argv[2]);
let bad = [...LETTERS].filter((letter) => !table.some((attack) => attack.letter === letter)).length;
for (const attack of table) {
  const said = verdict(attack, outcome);
  const tests = attack.tests.length > 0 ? `, ${attack.tests.length} test${attack.tests.length > 1 ? "s" : ""}` : "";
  console.log(`${attack.letter}  ${attack.name.padEnd(88)}  ${said}${tests}`);
  if (attack.reason) console.log(`   ${attack.reason}`);
  if (said === "held" || said === "does not apply") continue;
  bad += 1;
  for (const { suite, name } of attack.tests) {
    const state = outcome.get(`${suite} ${name}`);
    if (state !== true) console.log(`     ${state === false ? "failed" : "not run"}: ${suite} ${name}`);
  }
}
if (bad > 0) {
  console.error(`${bad} of the attacks are not held`);
  process.exitCode = 1;
}
