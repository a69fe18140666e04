// @x402/express before http-proxy-middleware, each as its README has it. The proxy's agent keeps connections alive
// without being asked to (256 at most, 64 of them idle).
import { createServer } from "node:http";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import { createProxyMiddleware } from "http-proxy-middleware";
import { facilitator, payTo, serve, upstream } from "./peer.mjs";

const network = "eip155:8453";
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator })).register(
  network,
  new ExactEvmScheme(),
);
// Without a method: a price for GET alone would let HEAD through, which Express answers wherever GET is answered.
const prices = { "/paid": { accepts: { scheme: "exact", price: "$0.001", network, payTo } } };

const app = express();
app.disable("x-powered-by");
app.use(paymentMiddleware(prices, server));
app.get(["/free", "/paid"], createProxyMiddleware({ target: upstream, changeOrigin: true }));
serve("express", createServer(app));
