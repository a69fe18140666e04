#!/bin/sh
# Puts the clients, the chain, the compiler and the servers that the tests use into a cache folder.
# Says nothing and does nothing when they are there already.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
cache=${TOLLGATE_TEST_CACHE:-$here/../../target/e2e-cache}
mkdir -p "$cache"
cache=$(CDPATH= cd -- "$cache" && pwd)

# A stamp is a copy of what was installed last; it is written only after the installation succeeded.
if ! cmp -s "$here/package-lock.json" "$cache/installed-package-lock.json"; then
  echo "setting up the Node parts in $cache"
  cp "$here/package.json" "$here/package-lock.json" "$cache/"
  # `npm install` keeps to the lock file. `npm ci` would too, but it insists on anvil's binaries for every
  # system being locked, and not every registry has them all.
  # No install scripts: every part that is used here works without them.
  (cd "$cache" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >/dev/null)
  cp "$here/package-lock.json" "$cache/installed-package-lock.json"
fi

if ! cmp -s "$here/requirements.txt" "$cache/installed-requirements.txt"; then
  echo "setting up the Python parts in $cache"
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-input -r "$here/requirements.txt" </dev/null
  cp "$here/requirements.txt" "$cache/installed-requirements.txt"
fi

TOLLGATE_TEST_CACHE=$cache sh "$here/debian.sh"

# ES modules are looked up beside the importing file only, so the tests need the folder in their reach.
if [ "$(readlink "$here/node_modules" || true)" != "$cache/node_modules" ]; then
  rm -f "$here/node_modules"
  ln -s "$cache/node_modules" "$here/node_modules"
fi
