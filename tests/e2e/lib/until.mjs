// Polling with a deadline: the only way in which these tests wait.
import { setTimeout as pause } from "node:timers/promises";

/** Calls `probe` until it returns something truthy, and returns that. */
export async function until(what, probe, { withinMs = 5_000, everyMs = 25 } = {}) {
  const deadline = Date.now() + withinMs;
  let failure;
  for (;;) {
    try {
      const seen = await probe();
      if (seen) return seen;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`not within ${withinMs} ms: ${what}`, { cause: failure });
    }
    await pause(everyMs);
  }
}
