#!/bin/sh
# The Windows tests: packages with code for Windows, and the programs end to end, in a
# simulated Windows that is new each time. Where Wine cannot be installed they are
# skipped, with the reason; REQUIRED=1 makes that a failure.
set -eu
cd "$(dirname "$0")/../.."
wine=$PWD/installer/windows/wine.sh
work=$(mktemp -d)
export WINEPREFIX=$work/prefix
cleanup() { "$wine" stop >/dev/null 2>&1 || true; rm -rf "$work"; }
trap cleanup EXIT
trap 'exit 1' INT TERM

code=0
"$wine" setup || code=$?
if [ $code = 77 ]; then
  echo "make test-windows: skipped" >&2
  [ -z "${REQUIRED:-}" ] || exit 1
  exit 0
fi
[ $code = 0 ] || exit $code

# Packages whose behaviour differs on Windows. Left out: tests that hold settings of
# other systems against Unix paths (discover), that write with real SQLCipher or go on for
# minutes under Wine (sqlcipher, collector), that make links, which Wine does not find
# (discover, agent), whose fault is a Unix one (a full disk, a
# removed open file: spool; a socket: agent), and the archive, which needs a POSIX log.
windows() {
  echo "== $*"
  env -u TIDEMARK_SIMULATOR GOOS=windows CGO_ENABLED=0 go test -count=1 -exec "$wine" "$@"
}
windows ./agent/config ./internal/durable ./collector/media
windows -run 'Accounts|Places|Profiles|ThisMachine|Explain|Expand' ./collector/discover
windows -run 'OpenShared|ViewSeesTheNewestCommit' ./collector/sqlcipher
windows -run 'OrderAndChain|ReceiptOrKeep|NumbersGoOn|KeysTravel|Locked|Newer|Format1Opens' ./spool
windows -run 'Service' ./installer
windows -run 'Strangers|Pipe|Enrol|SecondAgent|Once$|RunWaits|NotRunning' ./agent

TIDEMARK_WINE_RUN=$wine go test -count=1 -v -timeout 20m -run '^TestWindows' ./cmd/tidemark
