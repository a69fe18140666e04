// Node as it comes: a path as it was sent, a path as `URL` reads it, and one that is treated kindly before it is looked at.
import http from "node:http";
import { closeServer, listen } from "../http_server.mjs";
import { goodsAt } from "./goods.mjs";

const READINGS = {
  "node, as sent": url => url.split("?")[0],
  "node, by URL": url => new URL(url, "http://upstream").pathname,
  "node, lenient": url => {
    const [path] = decodeURIComponent(url).split(/[?#]/);
    return path.toLowerCase().split("/").map(segment => segment.trim().replace(/\.$/, "")).join("/");
  },
};

export const nodeStacks = Object.entries(READINGS).map(([name, read]) => ({
  name,
  async start() {
    const server = http.createServer((request, response) => {
      let goods, status = 400;
      try {
        goods = goodsAt(read(request.url));
        status = goods ? 200 : 404;
      } catch {
        // `URL` and `decodeURIComponent` throw at what they cannot read.
      }
      response.writeHead(status);
      response.end(goods ?? "nothing");
    });
    const port = await listen(server);
    return { url: `http://127.0.0.1:${port}`, stop: () => closeServer(server) };
  },
}));
