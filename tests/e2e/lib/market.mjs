// Two facilitators on one chain, each with gas of its own, and gateways between them and an API.
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { GAS_KEY, startChain } from "./chain.mjs";
import { startFacilitatorProcess } from "./facilitator_process.mjs";
import { startGateway } from "./gateway.mjs";
import { startLiar } from "./liar.mjs";
import { startUpstream } from "./upstream.mjs";

// The fourth well-known account of every anvil; the third is the stranger's.
const OTHER_GAS_KEY = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6";
const TABLES = `
[[routes]]
path  = "/weather"
price = "$0.001"

[[routes]]
path  = "/data"
units = 1.0

[[plans]]
name     = "trial"
price    = "$0.05"
units    = 1_000
duration = "30d"
`;
// Short, so that what hangs is given up soon; a verdict of an honest one takes far less.
const TIMES = { verify_timeout: "2s", settle_timeout: "3s", resolve_timeout: "1s" };

/** `first` is the facilitator that fails, `liar` the same one behind somebody who lies, `second` the one that does not. */
export async function startMarket() {
  const started = [];
  const begin = async (thing, end) => {
    started.push(() => end(thing));
    return thing;
  };
  const stop = async () => {
    for (const end of started.splice(0).reverse()) await end();
  };
  try {
    const chain = await begin(await startChain(), chain => chain.stop());
    const [first, second] = await Promise.all([GAS_KEY, OTHER_GAS_KEY].map(key => startFacilitatorProcess(chain, key)));
    for (const facilitator of [first, second]) await begin(facilitator, ({ kill }) => kill());
    const liar = await begin(await startLiar(first), ({ stop }) => stop());
    const upstream = await begin(await startUpstream(), ({ stop }) => stop());
    return { chain, first, second, liar, upstream, stop, open: options => openShop({ chain, second, upstream }, options) };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A gateway with books and a receiver of its own: it asks `failing` and the second one in turns. */
async function openShop({ chain, second, upstream }, { failing, onChain = true, network = "", keys = {} }) {
  const payTo = privateKeyToAccount(generatePrivateKey()).address;
  const looks = onChain ? `[networks.base]\nrpc_url = { env = "TEST_RPC_URL" }\n${network}\n` : "";
  const gateway = await startGateway({
    upstream,
    facilitators: [{ name: "first", url: failing.url, ...keys }, { name: "second", url: second.url }],
    facilitatorKeys: TIMES,
    payTo,
    tables: looks + TABLES,
    env: { TEST_RPC_URL: chain.url },
  });
  upstream.requests.splice(0);
  return { chain, upstream, gateway, payTo, url: gateway.url };
}
