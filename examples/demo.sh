#!/bin/sh
# Builds the gateway and shows it: a sample API, the gateway and a sandbox facilitator in one process, with play money.
#
#   examples/demo.sh          starts it and says what to try; Ctrl-C ends it
#   examples/demo.sh --walk   plays a buyer through it, and ends
#   examples/demo.sh --port N uses ports N to N+3 instead of 8402 to 8405
set -eu
cd "$(dirname "$0")/.."

. examples/needs.sh
need_to_build
install_missing

cargo build --release --locked --quiet --bin tollgate
exec "${CARGO_TARGET_DIR:-target}/release/tollgate" demo "$@"
