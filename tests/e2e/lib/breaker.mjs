// How long the gateway takes to leave a facilitator that fails, and to come back to it, as its metrics tell.
import { performance } from "node:perf_hooks";
import { until } from "./until.mjs";

const WORKS = 'gateway_facilitator_works{facilitator="first"}';

export function watchBreaker(gateway) {
  const [turns, marks] = [[], {}];
  let works = true;
  let ended = false;
  const look = async () => {
    const now = (await gateway.metric(WORKS)) === 1;
    if (now !== works) turns.push({ works: now, at: performance.now() });
    works = now;
  };
  const looking = (async () => {
    while (!ended) {
      await look().catch(() => {});
      await new Promise(resolve => setTimeout(resolve, 25));
    }
  })();
  const since = (mark, turn) => (mark && turn ? Math.round(turn.at - mark) : undefined);
  return {
    failing: () => (marks.failing ??= performance.now()),
    healed: () => (marks.healed ??= performance.now()),
    /** Waits until the facilitator is asked first again; `trade` goes on meanwhile, since a payment is its trial. */
    closes: trade => until("the facilitator works again", async () => {
      await trade();
      return works;
    }, { withinMs: 20_000, everyMs: 200 }),
    hasOpened: () => turns.some(turn => !turn.works),
    /** Milliseconds from the failure to the first opening, and from the cure to the last closing. */
    times: () => ({
      openedAfter: since(marks.failing, turns.find(turn => !turn.works)),
      closedAfter: since(marks.healed, turns.findLast(turn => turn.works)),
    }),
    stop() {
      ended = true;
      return looking;
    },
  };
}
