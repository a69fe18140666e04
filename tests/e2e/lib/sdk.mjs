// `fetch` as an SDK has it: 429 and 5xx are tried again up to three times, 401, 402 and 403 never.
import { setTimeout as pause } from "node:timers/promises";

const RETRIES = 3;
const FIRST_PAUSE_MS = 50;

/** The last answer, and the status of each attempt. */
export async function sdkFetch(url, init) {
  const statuses = [];
  for (;;) {
    const response = await fetch(url, init);
    statuses.push(response.status);
    const again = response.status === 429 || response.status >= 500;
    if (!again || statuses.length > RETRIES) return { response, statuses };
    await response.arrayBuffer();
    const told = Number(response.headers.get("retry-after"));
    await pause(told > 0 ? told * 1_000 : FIRST_PAUSE_MS * 2 ** statuses.length);
  }
}
