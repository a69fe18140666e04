#!/bin/sh
# Every test there is: form, lints, licences, documentation, unit and integration tests, the sample configurations, what
# a request costs, and the end-to-end tests with real clients, a real EVM chain and a real facilitator. What those need is
# installed from the registries into target/e2e-cache.
set -eu
cd "$(dirname "$0")/.."

. examples/needs.sh
need_to_build
need node nodejs
need npm npm
need python3 python3
need valgrind valgrind
python3 -c 'import ensurepip' 2>/dev/null || missing="${missing:-} python3-venv"
install_missing

logs=${CARGO_TARGET_DIR:-target}/test-logs
rm -rf "$logs"
mkdir -p "$logs"

step() {
  printf '\n== %s\n' "$*"
  "$@" </dev/null
}

# logged NAME COMMAND...: cargo's tests by name go to a file, which attacks.mjs reads; the screen gets their sums, and
# everything if one fails.
logged() {
  log=$logs/$1.log
  shift
  printf '\n== %s\n' "$*"
  "$@" </dev/null >"$log" 2>&1 || { cat "$log"; exit 1; }
  grep '^test result' "$log"
}

export CARGO_TERM_COLOR=never
step cargo fmt --check
step tests/supply.sh
step cargo clippy --locked --all-targets --quiet -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --locked --no-deps --quiet
logged tests cargo test --locked
step cargo clippy --locked --all-targets --features crash-points --quiet -- -D warnings
logged crash cargo test --locked --features crash-points --test crash --test faults
step cargo build --release --locked --quiet
bin=${CARGO_TARGET_DIR:-target}/release/tollgate
step "$bin" demo --walk --port 28402
TOLLGATE_BIN=$bin step tests/instructions.sh
TOLLGATE_BIN=$bin TOLLGATE_TEST_LOG=$(cd "$logs" && pwd)/e2e.tap step tests/e2e/run.sh
step node tests/attacks.mjs "$logs"
printf '\nall tests passed\n'
