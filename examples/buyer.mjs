// A buyer in JavaScript or TypeScript: pays for a call, then buys a plan and calls with its key.
//
//   npm install @x402/fetch @x402/evm viem
//   PAYER_KEY=0x… node buyer.mjs [http://127.0.0.1:8402]
//
// Against `examples/demo.sh` any key will do: the money is play money.
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

const gateway = process.argv[2] ?? "http://127.0.0.1:8402";
const account = privateKeyToAccount(process.env.PAYER_KEY ?? generatePrivateKey());

const client = new x402Client().register("eip155:8453", new ExactEvmScheme(account));
// Without this line the client refuses to pay more than $1 at once.
client.setSpendControls({ maxAmountPerPayment: "10.00" });
const pay = wrapFetchWithPayment(fetch, client);

const weather = await pay(`${gateway}/weather?city=oslo`);
console.log("paid call:", weather.status, await weather.json());

const { apiKey, plan, expiresAt } = await (await pay(`${gateway}/x402/purchase?plan=trial`)).json();
console.log("bought:", plan, "until", expiresAt);

const keyed = await fetch(`${gateway}/weather?city=oslo`, { headers: { "X-API-KEY": apiKey } });
console.log("keyed call:", keyed.status, await keyed.json());
