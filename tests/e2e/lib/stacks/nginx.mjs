// nginx: files, locations, an internal rewrite; and one nginx before another that hands on the path it has decoded.
import { startNginx } from "../nginx.mjs";
import { freePort } from "../ports.mjs";
import { FREE, PREMIUM, goodsFolder } from "./goods.mjs";

const server = port => `
  server {
    listen 127.0.0.1:${port};
    root ${goodsFolder()};
    default_type text/plain;
    location ~* ^/premium/ { rewrite ^ /.goods last; }
    location = /.goods { internal; return 200 "${PREMIUM}\\n"; }
    location ^~ /public/ { try_files $uri @public; }
    location @public { return 200 "${FREE}\\n"; }
    location /public/old/ { rewrite ^/public/old/(.*)$ /public/$1 last; }
  }`;

// Common, and wrong: an encoded question mark is a real one behind it.
const decodes = (port, behind) => `
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://127.0.0.1:${behind}$uri; }
  }`;

export const nginxStacks = [
  {
    name: "nginx",
    async start() {
      const port = await freePort();
      return startNginx(() => server(port), `http://127.0.0.1:${port}`);
    },
  },
  {
    name: "nginx, by $uri",
    async start() {
      const [port, behind] = [await freePort(), await freePort()];
      return startNginx(() => server(behind) + decodes(port, behind), `http://127.0.0.1:${port}`);
    },
  },
];
