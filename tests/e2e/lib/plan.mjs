// Buying a plan when a test is about something else, and using its key.
import * as v2 from "../clients/fetch_v2.mjs";

/** Buys `plan` with a new payer's money and returns the key. */
export async function buyPlan({ chain, url }, plan) {
  const response = await v2.request(await chain.newPayer(), `${url}/x402/purchase?plan=${plan}`);
  if (response.status !== 200) throw new Error(`could not buy ${plan}: ${response.status} ${response.body}`);
  return JSON.parse(response.body).apiKey;
}

export const withKey = key => ({ headers: { "X-API-KEY": key } });
