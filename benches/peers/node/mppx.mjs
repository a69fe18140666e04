// mppx's `Proxy`, which sells over MPP (`WWW-Authenticate: Payment`) and over x402 (`PAYMENT-REQUIRED`) in one 402. It
// settles before it asks the upstream. Its first path segment names a service, so each path here is one. It asks the
// upstream through Node's own `fetch`, which keeps connections alive.
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { Proxy, Service } from "mppx/proxy";
import { evm, Mppx } from "mppx/server";
import { facilitator, payTo, serve, upstream } from "./peer.mjs";

// `evm.charge` is the method that settles through an x402 facilitator; mppx's others need a chain, or Stripe.
const charge = evm.charge({ currency: evm.assets.base.USDC, recipient: payTo, x402: { facilitator } });
const mppx = Mppx.create({ methods: [charge], secretKey: randomBytes(32).toString("base64") });

const proxy = Proxy.create({
  services: [
    Service.from("free", { baseUrl: `${upstream}/free`, routes: { "GET /": true } }),
    Service.from("paid", { baseUrl: `${upstream}/paid`, routes: { "GET /": mppx.charge({ amount: "0.001" }) } }),
  ],
});
serve("mppx", createServer(proxy.listener));
