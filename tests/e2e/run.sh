#!/bin/sh
# Runs the end-to-end tests against a built gateway:
#   tests/e2e/run.sh                      all of them
#   tests/e2e/run.sh purchase.test.mjs    one file
#
# TOLLGATE_BIN         the gateway, default target/release/tollgate
# TOLLGATE_TEST_CACHE  where the test's own parts are kept, default target/e2e-cache
# TOLLGATE_TEST_LOG    a file that gets the results in the Test Anything Protocol too
# TOLLGATE_TEST_KEEP   set it to keep each gateway's folder, with its log, for reading
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
bin=${TOLLGATE_BIN:-$here/../../target/release/tollgate}
if [ ! -x "$bin" ]; then
  echo "no gateway at $bin: build it with 'cargo build --release', or set TOLLGATE_BIN" >&2
  exit 2
fi
case $bin in
  /*) ;;
  *) bin=$(pwd)/$bin ;;
esac
export TOLLGATE_BIN="$bin"

sh "$here/setup.sh"
cd "$here"
[ $# -gt 0 ] || set -- *.test.mjs
# Two files at a time: each runs a chain, a facilitator, an upstream and a gateway of its own.
exec node --test --test-concurrency=2 --test-timeout=180000 \
  --test-reporter=spec --test-reporter-destination=stdout \
  --test-reporter=tap --test-reporter-destination="${TOLLGATE_TEST_LOG:-/dev/null}" "$@" </dev/null
