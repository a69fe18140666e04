// Many buyers at once, with the unmodified client; none of them signs a second payment for what it has paid already.
import { performance } from "node:perf_hooks";
import * as v2 from "../clients/fetch_v2.mjs";
import { decode } from "./payment.mjs";
import { until } from "./until.mjs";

const PAYERS = 8;
const CALL = 1_000n;
const PLAN = 50_000n;

/** Buys `count` things, each twentieth a plan. `acts` are done when so many are begun. */
export async function buyMany(shop, count, acts = {}) {
  const payers = await Promise.all(Array.from({ length: PAYERS }, () => shop.chain.newPayer()));
  const deals = [];
  let begun = 0;
  const buyInTurn = async payer => {
    for (let number = begun++; number < count; number = begun++) {
      await acts[number]?.();
      deals.push(await buy(shop, payer, number));
    }
  };
  await Promise.all(payers.map(buyInTurn));
  return deals;
}

/** One purchase, up to its first answer. */
async function buy(shop, payer, number) {
  const plan = number % 20 === 19;
  const target = plan ? "/x402/purchase?plan=trial" : `/weather?number=${number}`;
  const deal = { payer, plan, target, price: plan ? PLAN : CALL };
  const transport = async (input, init) => {
    const request = new Request(input, init);
    const header = request.headers.get("payment-signature");
    if (!header) return fetch(request);
    deal.paid = { headers: { "PAYMENT-SIGNATURE": header } };
    deal.nonce = decode(header).payload.authorization.nonce;
    const began = performance.now();
    const response = await fetch(request);
    deal.ms = performance.now() - began;
    return response;
  };
  deal.answer = await v2.request(payer, shop.url + target, { transport });
  deal.firstStatus = deal.answer.status;
  return deal;
}

/** Sends each payment of unknown outcome again until it is known. */
export async function askOn(shop, deals) {
  const again = async deal => {
    const response = await fetch(shop.url + deal.target, deal.paid);
    deal.answer = { status: response.status, headers: response.headers, body: await response.text() };
    return response.status !== 503;
  };
  const open = deals.filter(deal => deal.firstStatus === 503);
  await Promise.all(open.map(deal =>
    until(`the outcome of ${deal.target}`, () => again(deal), { withinMs: 30_000, everyMs: 250 })));
}
