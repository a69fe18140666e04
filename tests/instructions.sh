#!/bin/sh
# What a request costs the release build, in instructions of the processor, beside what is recorded
# (benches/instructions/recorded.toml): it fails if one has grown.
#   tests/instructions.sh           compares; builds what is not there, and counts TOLLGATE_BIN if that is given
#   tests/instructions.sh record    records new counts, and those of a bare Pingora of the same build profile (minutes)
set -eu
cd "$(dirname "$0")/.."

. examples/needs.sh
need_to_build
need valgrind valgrind
install_missing

target=${CARGO_TARGET_DIR:-target}
bin=${TOLLGATE_BIN:-}
if [ -z "$bin" ]; then
  cargo build --release --locked --quiet
  bin=$target/release/tollgate
fi
case ${1:-compare} in
  compare) TOLLGATE_BIN=$bin exec cargo test --locked --quiet --bench instructions -- compare ;;
  record)
    # The bench builds a gateway of its own in the same place, with what the tests need of its dependencies.
    mkdir -p "$target/instructions"
    cp "$bin" "$target/instructions/tollgate"
    TOLLGATE_BIN=$target/instructions/tollgate exec cargo bench --locked --quiet --bench instructions -- record
    ;;
  *) echo "usage: tests/instructions.sh [record]" >&2 && exit 2 ;;
esac
