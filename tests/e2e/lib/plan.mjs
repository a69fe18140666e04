// Plans and their keys, when a test is about something else.
import assert from "node:assert/strict";
import * as v2 from "../clients/fetch_v2.mjs";

/** Buys `plan` with `payer`'s money and returns the answer; its cap is raised, which is tried where dear plans are sold. */
export async function purchase({ url }, plan, payer, client = v2) {
  const response = await client.request(payer, `${url}/x402/purchase?plan=${plan}`, { maxAmountPerPayment: "$1000" });
  if (response.status !== 200) throw new Error(`could not buy ${plan}: ${response.status} ${response.body}`);
  return JSON.parse(response.body);
}

/** Buys `plan` with a new payer's money and returns the key. */
export async function buyPlan(world, plan) {
  return (await purchase(world, plan, await world.chain.newPayer())).apiKey;
}

export const withKey = key => ({ headers: { "X-API-KEY": key } });

/** How the subscription stands that these request options open. */
export async function statusOf({ url }, init, query = "") {
  const response = await fetch(`${url}/x402/status${query}`, init);
  assert.equal(response.status, 200);
  return response.json();
}
