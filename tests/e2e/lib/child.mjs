// A child process whose output is kept, and which never outlives this process.
import { spawn } from "node:child_process";

const running = new Set();

process.on("exit", () => running.forEach(child => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

export function startChild(command, args, options = {}) {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const self = {
    output: "",
    exited: false,
    ended: undefined,
    signal: name => child.kill(name),
    /** Sends the signal and waits for the end; a process that ignores it for five seconds is killed. */
    async stop(signal = "SIGTERM") {
      if (!self.exited) child.kill(signal);
      const patience = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await self.ended;
      clearTimeout(patience);
    },
  };
  self.ended = new Promise(resolve => {
    const finish = how => {
      running.delete(child);
      self.exited = true;
      resolve(how);
    };
    child.once("close", (code, signal) => finish({ code, signal }));
    child.once("error", error => {
      self.output += `${command}: ${error.message}\n`;
      finish({ code: null, signal: null });
    });
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", text => {
      self.output += text;
    });
  }
  return self;
}
