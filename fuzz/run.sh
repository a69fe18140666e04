#!/bin/sh
# Fuzzes each target for so many seconds (3600), one after the other: fuzz/run.sh [SECONDS] [TARGET...]
#
# It needs cargo-fuzz (`cargo install cargo-fuzz`), a C++ compiler, and Linux or macOS. The stable compiler will do: it
# has the sanitizer, and is only told to let us use it. What was learned stays in fuzz/target/corpus between runs, the
# seeds in fuzz/corpus are left alone, and what breaks a target is put into fuzz/artifacts.
set -eu
cd "$(dirname "$0")"

seconds=${1:-3600}
[ "$#" -eq 0 ] || shift
if [ "$#" -eq 0 ]; then
  # shellcheck disable=SC2046  # a list of names
  set -- $(cargo fuzz list)
fi
export RUSTC_BOOTSTRAP=1
failed=
for target; do
  learned=target/corpus/$target
  mkdir -p "$learned"
  echo "== $target"
  cargo fuzz run "$target" "$learned" "corpus/$target" -- -max_total_time="$seconds" -max_len=16384 \
    -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 || failed="$failed $target"
done
if [ -n "$failed" ]; then
  echo "broken:$failed" >&2
  exit 1
fi
