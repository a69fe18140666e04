// The API that is sold, asking every cache there is to keep its answers.
import http from "node:http";
import { closeServer, listen } from "./http_server.mjs";
import { PREMIUM } from "./stacks/goods.mjs";

export const ETAG = '"one"';
const DATE = "Thu, 01 Jan 2026 00:00:00 GMT";
const FAR = "Thu, 01 Jan 2099 00:00:00 GMT";

/** What an upstream may say so that its answers are kept, by name. */
export const HINTS = {
  nothing: {},
  "Cache-Control": { "Cache-Control": "public, max-age=600, s-maxage=600, stale-while-revalidate=600, immutable" },
  Expires: { Expires: FAR, "Last-Modified": DATE },
  validators: { ETag: ETAG, "Last-Modified": DATE },
  "X-Accel-Expires": { "X-Accel-Expires": "600" },
  "X-Accel-Redirect": { "X-Accel-Redirect": "/behind/goods", "X-Accel-Expires": "600" },
  "Surrogate-Control": { "Surrogate-Control": "max-age=600" },
  "CDN-Cache-Control": { "CDN-Cache-Control": "max-age=600", "Cloudflare-CDN-Cache-Control": "max-age=600" },
  "Edge-Control": { "Edge-Control": "max-age=600", "X-LiteSpeed-Cache-Control": "public, max-age=600" },
  "Vary: *": { Vary: "*", "Cache-Control": "public, max-age=600" },
  "no Vary": { Vary: "Accept-Encoding", "No-Vary-Search": "params", Pragma: "public", "Cache-Control": "public, max-age=600" },
};
HINTS.all = {
  ...HINTS["Cache-Control"], ...HINTS.Expires, ...HINTS.validators, ...HINTS["X-Accel-Expires"],
  ...HINTS["Surrogate-Control"], ...HINTS["CDN-Cache-Control"], ...HINTS["Edge-Control"], Vary: "Accept",
};

/** `says` is what it adds to each answer. It knows ranges and conditions, so that a cache has something to work with. */
export async function startCachedApi() {
  const api = { says: {}, status: 200, requests: [] };
  const server = http.createServer((request, response) => {
    api.requests.push(request.url);
    const body = Buffer.from(`${PREMIUM} ${request.url}`);
    if (api.status === 200 && request.headers["if-none-match"] === ETAG) {
      response.writeHead(304, { ...api.says, ETag: ETAG });
      return response.end();
    }
    if (api.status === 200 && request.headers.range === "bytes=0-6") {
      response.writeHead(206, { ...api.says, "Content-Range": `bytes 0-6/${body.length}`, "Content-Length": 7 });
      return response.end(request.method === "HEAD" ? undefined : body.subarray(0, 7));
    }
    response.writeHead(api.status, { ...api.says, "Accept-Ranges": "bytes", "Content-Length": body.length });
    response.end(request.method === "HEAD" ? undefined : body);
  });
  const port = await listen(server);
  return Object.assign(api, { url: `http://127.0.0.1:${port}`, stop: () => closeServer(server) });
}
