# What a build or a test needs of the system, to be sourced. Debian's packages are installed where they are missing and
# where that is allowed (as root, or by sudo without a password); elsewhere they are named.

# need COMMAND PACKAGE...: the command is there, or its packages are put on the list.
need() {
  command -v "$1" >/dev/null 2>&1 || { shift; missing="${missing:-} $*"; }
}

install_missing() {
  [ -n "${missing:-}" ] || return 0
  as_root=
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  if command -v apt-get >/dev/null 2>&1 && $as_root true 2>/dev/null; then
    echo "installing:$missing"
    # shellcheck disable=SC2086  # a list of packages
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing </dev/null >/dev/null 2>&1 ||
      { $as_root apt-get update </dev/null >/dev/null &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing </dev/null >/dev/null; }
  else
    echo "please install these packages first:$missing" >&2
    exit 1
  fi
}

need_to_build() {
  command -v cargo >/dev/null 2>&1 || { echo "please install Rust first: https://rustup.rs" >&2; exit 1; }
  need cc gcc libc6-dev
  need cmake cmake
  need make make
}
