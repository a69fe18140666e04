// Everything that one test file needs, started together and ended together.
import { privateKeyToAccount, generatePrivateKey } from "viem/accounts";
import { startChain } from "./chain.mjs";
import { startFacilitator } from "./facilitator.mjs";
import { startGateway } from "./gateway.mjs";
import { startUpstream } from "./upstream.mjs";

const onBase = {
  network: "base",
  startChain,
  startFacilitator,
  newReceiver: () => privateKeyToAccount(generatePrivateKey()).address,
};

/** A chain, a facilitator, an upstream, and a gateway between them. `options` go to the gateway;
 * `parts` are those of another network, and with `onChain` it can look at the chain. */
export async function startWorld(tables, options = {}) {
  const { onChain, parts = onBase } = options;
  const { network } = parts;
  const started = [];
  const stop = async () => {
    for (const end of started.splice(0).reverse()) await end();
  };
  try {
    const chain = await parts.startChain();
    started.push(chain.stop);
    const facilitator = await parts.startFacilitator(chain);
    started.push(facilitator.stop);
    const upstream = await startUpstream();
    started.push(upstream.stop);
    const payTo = await parts.newReceiver(chain);
    const env = { ...options.env, TEST_RPC_URL: chain.url };
    if (onChain) tables = `[networks.${network}]\nrpc_url = { env = "TEST_RPC_URL" }\n${tables}`;
    const gateway = await startGateway({ upstream, facilitator, payTo, tables, network, ...options, env });
    started.push(gateway.remove);
    return { chain, facilitator, upstream, gateway, payTo, url: gateway.url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
