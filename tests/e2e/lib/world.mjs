// Everything that one test file needs, started together and ended together.
import { privateKeyToAccount, generatePrivateKey } from "viem/accounts";
import { startChain } from "./chain.mjs";
import { startFacilitator } from "./facilitator.mjs";
import { startGateway } from "./gateway.mjs";
import { startUpstream } from "./upstream.mjs";

/** A chain, a facilitator, an upstream, and a gateway between them. `options` go to the gateway;
 * with `onChain` it can look at the chain. */
export async function startWorld(tables, options = {}) {
  const started = [];
  const stop = async () => {
    for (const end of started.splice(0).reverse()) await end();
  };
  try {
    const chain = await startChain();
    started.push(chain.stop);
    const facilitator = await startFacilitator(chain);
    started.push(facilitator.stop);
    const upstream = await startUpstream();
    started.push(upstream.stop);
    const payTo = privateKeyToAccount(generatePrivateKey()).address;
    const env = { ...options.env, TEST_RPC_URL: chain.url };
    if (options.onChain) tables = `[networks.base]\nrpc_url = { env = "TEST_RPC_URL" }\n${tables}`;
    const gateway = await startGateway({ upstream, facilitator, payTo, tables, ...options, env });
    started.push(gateway.remove);
    return { chain, facilitator, upstream, gateway, payTo, url: gateway.url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
