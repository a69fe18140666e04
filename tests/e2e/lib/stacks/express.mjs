// Express with what is usual there: routes, static files, a mounted router, and middleware that lets headers have a say.
import http from "node:http";
import express from "express";
import { closeServer, listen } from "../http_server.mjs";
import { FREE, PREMIUM, goodsFolder } from "./goods.mjs";

export const expressStack = {
  name: "Express",
  async start() {
    const app = express();
    app.use((request, _, next) => {
      const method = ["x-http-method-override", "x-http-method", "x-method-override"]
        .map(name => request.headers[name]).find(Boolean);
      if (request.method === "POST" && method) request.method = method.toUpperCase();
      const url = request.headers["x-original-url"] ?? request.headers["x-rewrite-url"];
      if (url) request.url = url;
      next();
    });
    const premium = express.Router();
    premium.all("/{*rest}", (_, response) => response.send(PREMIUM));
    app.use("/premium", premium);
    app.all(["/weather", "/market"], (_, response) => response.send(PREMIUM));
    app.get("/read", (_, response) => response.send(PREMIUM));
    app.post("/read", (_, response) => response.send(FREE));
    app.all(["/free", "/cheap"], (_, response) => response.send(FREE));
    app.get("/public/list/:name", (_, response) => response.send(FREE));
    app.use("/public", express.static(`${goodsFolder()}/public`));
    app.use("/public", (_, response) => response.send(FREE));

    const server = http.createServer(app);
    const port = await listen(server);
    return { url: `http://127.0.0.1:${port}`, stop: () => closeServer(server) };
  },
};
