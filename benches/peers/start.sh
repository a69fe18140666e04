#!/bin/sh
# What people would otherwise put before their API, made ready to be loaded beside the gateway.
#
#   benches/peers/start.sh install [NAME...]   installs these peers, or all, into target/peers; no work if they are there
#   benches/peers/start.sh start NAME          becomes that peer: the process that was started is the peer's own
#
# NAME is `express` (@x402/express before http-proxy-middleware), `mppx` (the Proxy of npm's mppx) or `axum` (x402-axum
# before hyper's pooled client). Each is one process with one thread that answers requests, in its release form.
#
# `start` goes by the environment:
#   PEER_LISTEN        host:port to listen on, a loopback address and a port that is free
#   PEER_UPSTREAM      http://host:port of the API that is sold; a path is passed on as it came
#   PEER_FACILITATOR   http://host:port of an x402 facilitator
#   PEER_PAY_TO        whom the payments go to, an EVM address
# It prints `NAME listens on host:port` when it can be asked, and runs until it is ended by SIGTERM.
#
# All offer the same:
#   GET /free   passed on without a price
#   GET /paid   $0.001 in USDC on Base (eip155:8453), scheme exact of x402 version 2; 402 without a payment
# and 404 elsewhere.
#
# When they settle: express and axum after the upstream's answer, mppx before it asks the upstream.
#
# What none of them sells is a key with a quota, so there is no peer for a call with a key. Nearest come payment channels
# (mppx's tempo.session, @x402/evm's batch-settlement) and a wallet's sign-in after a payment (@x402/extensions): all go
# by a signature of the buyer's wallet, and the first two need a chain on which money was locked before.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
peers=${CARGO_TARGET_DIR:-$here/../../target}/peers

usage() {
  sed -n '2,/^set -eu/{/^set -eu/d;s/^# \{0,1\}//;p}' "$0" >&2
  exit 2
}

install_node() {
  mkdir -p "$peers/node"
  # A stamp is a copy of what was installed last; it is written only after the installation succeeded.
  if ! cmp -s "$here/node/package-lock.json" "$peers/node/installed-package-lock.json"; then
    echo "setting up the Node peers in $peers/node"
    rm -f "$peers/node/installed-package-lock.json"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$peers/node/"
    # No install scripts: every part that is used here works without them.
    (cd "$peers/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >/dev/null)
    cp "$here/node/package-lock.json" "$peers/node/installed-package-lock.json"
  fi
  # ES modules are looked up beside the importing file only, so the programs go to where the packages are.
  cp "$here/node/"*.mjs "$peers/node/"
}

install_axum() {
  cargo build --release --locked --quiet --manifest-path "$here/axum/Cargo.toml" --target-dir "$peers/axum" </dev/null
}

# The lock file brings a Node of its own where npm has one for the system: http-proxy-middleware wants 22.15 at least,
# and mppx takes `URLPattern` for granted, which 24 has and 22 has not.
start_node() {
  is_installed "$1" "$peers/node/$1.mjs"
  node=$peers/node/node_modules/.bin/node
  "$node" --version >/dev/null 2>&1 || node=node
  NODE_ENV=production exec "$node" "$peers/node/$1.mjs"
}

# is_installed NAME FILE
is_installed() {
  [ -f "$2" ] || { echo "$1 is not installed: $0 install $1" >&2; exit 1; }
}

[ $# -ge 1 ] || usage
verb=$1
shift
case $verb in
install)
  [ $# -ge 1 ] || set -- express mppx axum
  for name; do
    case $name in
    express | mppx) install_node ;;
    axum) install_axum ;;
    *) usage ;;
    esac
  done
  ;;
start)
  case ${1-} in
  express | mppx) start_node "$1" ;;
  axum)
    is_installed axum "$peers/axum/release/axum-peer"
    exec "$peers/axum/release/axum-peer"
    ;;
  *) usage ;;
  esac
  ;;
*) usage ;;
esac
