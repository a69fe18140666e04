// nginx with a configuration of the test's own, in a folder of its own.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { startChild } from "./child.mjs";
import { temporaryFolder } from "./stacks/goods.mjs";
import { rawRequest } from "./raw.mjs";
import { unpacked } from "./unpacked.mjs";
import { until } from "./until.mjs";

/** Starts nginx with these lines of its `http` block; `url` is what answers when it is up. */
export async function startNginx(lines, url) {
  const dir = temporaryFolder();
  for (const folder of ["body", "proxy", "fastcgi", "uwsgi", "scgi"]) mkdirSync(path.join(dir, folder));
  const config = `
daemon off;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
${lines(dir)}
}
`;
  // Workers of a master that is root would be somebody else, who cannot read the folder.
  const user = process.getuid() === 0 ? "user root;\n" : "";
  writeFileSync(path.join(dir, "nginx.conf"), user + config);
  const { file, env } = unpacked("nginx");
  const child = startChild(file, ["-p", dir, "-c", path.join(dir, "nginx.conf"), "-e", "stderr"], { env });
  await until("nginx answers", async () => {
    if (child.exited) throw new Error(`it ended:\n${child.output}`);
    return (await rawRequest(url, "/")).status;
  });
  return { url, stop: () => child.stop("SIGTERM"), log: () => child.output };
}
