#!/bin/sh
# Puts nginx and Varnish into the cache folder, from Debian's packages as they are: unpacked, nothing is installed, so
# no service starts and nothing has to be taken away again. Whoever has both on the PATH needs none of it.
# Says nothing and does nothing when they are there already.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
cache=${TOLLGATE_TEST_CACHE:-$here/../../target/e2e-cache}
root=$cache/debian

command -v nginx >/dev/null 2>&1 && command -v varnishd >/dev/null 2>&1 && exit 0
[ ! -e "$root/complete" ] || exit 0
command -v apt-get >/dev/null 2>&1 || { echo "please install nginx and varnish first" >&2; exit 1; }

# What an installation would add. The two themselves are named, in case one of them is installed somewhere else.
wanted() {
  apt-get -s install --no-install-recommends nginx varnish 2>/dev/null | awk '$1 == "Inst" { print $2 }'
  echo nginx varnish
}

echo "unpacking nginx and Varnish in $root"
rm -rf "$root"
mkdir -p "$root/packages"
if ! apt-cache show varnish >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] && as_root= || as_root="sudo -n"
  $as_root apt-get update </dev/null >/dev/null
fi
# shellcheck disable=SC2046  # a list of packages
(cd "$root/packages" && apt-get download $(wanted | tr ' ' '\n' | sort -u) </dev/null >/dev/null 2>&1) || {
  echo "the packages of nginx and varnish cannot be had" >&2
  exit 1
}
for package in "$root"/packages/*.deb; do
  dpkg -x "$package" "$root"
done
rm -r "$root/packages"
touch "$root/complete"
