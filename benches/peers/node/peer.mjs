// What both Node peers are told, as `../start.sh` describes it.

export const listen = new URL(`http://${told("PEER_LISTEN")}`);
export const upstream = new URL(told("PEER_UPSTREAM")).origin;
export const facilitator = told("PEER_FACILITATOR");
export const payTo = told("PEER_PAY_TO");

function told(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

// Starts the server, and says so when it can be asked.
export function serve(name, server) {
  server.listen(Number(listen.port), listen.hostname, () => console.log(`${name} listens on ${listen.host}`));
}
