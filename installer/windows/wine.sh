#!/bin/sh
# Wine 10 for the tests of the Windows programs; make test-windows calls it.
#
#   wine.sh setup             install Wine (once, about a minute, 1 GB) and make $WINEPREFIX
#   wine.sh stop              end what runs in $WINEPREFIX
#   wine.sh PROGRAM [ARG...]  run a Windows program: go test -exec, or a program of Windows by its name
#
# Debian 12 has Wine 8, in which Go's programs do not start and os.RemoveAll fails. So
# Debian 13's stands in a folder of its own, TIDEMARK_WINE, and each program runs in a
# mount namespace of its own with that folder as root: nothing is left mounted. Loopback
# and the temporary folder are this machine's. Needs root; without it setup ends with 77.
set -eu
: "${WINEPREFIX:?wine.sh: WINEPREFIX must name the folder of the simulated Windows, below the temporary folder}"
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}
root=${TIDEMARK_WINE:-$cache/tidemark-wine}
temp=${TMPDIR:-/tmp}
here=$(cd "$(dirname "$0")/../.." && pwd)

skip() { echo "skipped: $*" >&2; exit 77; }

install() {
  [ "$(id -u)" = 0 ] || skip "the Windows tests install Wine 10 and need root for it"
  unshare --mount true 2>/dev/null || skip "this machine does not allow mounts (unshare --mount)"
  [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || skip "Wine for x64 programs is had from Debian on amd64 only"
  [ ! -d "$root/usr/lib/wine" ] || return 0
  command -v mmdebstrap >/dev/null || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap debian-archive-keyring >/dev/null; }
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -m1 '/debian/\?$' || echo http://deb.debian.org/debian)
  mkdir -p "$cache"
  new=$(mktemp -d "$root.XXXXXX")
  mmdebstrap --quiet --mode=root --variant=apt --include=wine64,wine,ca-certificates --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie "$new" "$mirror"
  chmod 755 "$new"
  mv -T "$new" "$root" 2>/dev/null || rm -rf "$new" # another was faster
}

# inside runs a Linux program of the folder. The services' process lives on between calls.
inside() {
  exec unshare --mount --propagation private sh -c '
    root=$1 temp=$2 here=$3; shift 3
    mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"
    for d in "$temp" "$here"; do mkdir -p "$root$d"; mount --bind "$d" "$root$d"; done
    exec chroot "$root" /usr/bin/env -C "$PWD" PATH=/usr/bin:/bin HOME=/root XDG_RUNTIME_DIR=/run LC_ALL=C.UTF-8 WINEDEBUG="${WINEDEBUG:--all}" WINEDLLOVERRIDES="mscoree=;mshtml=" "$@"
  ' sh "$root" "$temp" "$here" "$@"
}

case "${1:?wine.sh: a program is needed}" in
setup)
  install
  if [ ! -d "$WINEPREFIX" ]; then
    mkdir -p "$WINEPREFIX"
    (inside wine wineboot --init) >/dev/null 2>&1
    (inside wineserver -w) >/dev/null 2>&1 # two managers of services otherwise
  fi
  # A server that stays: without it, Wine ends the services when the last program ends.
  (inside wineserver -p) >/dev/null 2>&1 || true
  # The first program starts the system's own, which would keep its output open.
  (inside wine cmd /c exit) >/dev/null 2>&1 ;;
stop) (inside wineserver -k) || true ;;
*) inside wine "$@" ;;
esac
