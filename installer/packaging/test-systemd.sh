#!/usr/bin/env bash
# Shows the Linux packages under a real systemd, in a container of Debian 12: installed by
# the commands of docs/deploy/linux.md, an account of a user captured by the installed
# service, crashes, upgrade, a state folder left open, removal, purge, and the rpm likewise.
# Needs root. The root file system is made once and kept in bin/systemd/rootfs.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "test-systemd: needs root, for containers" >&2; exit 1; }

work=$PWD/bin/systemd root=$PWD/bin/systemd/rootfs
new=$(installer/version.sh) old=0.0.1
mkdir -p "$work"

missing=()
command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ ! -d "$root" ]; then
  rm -rf "$root.new" # packages come from where this machine has its own
  mmdebstrap --quiet --mode=root --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,rpm \
    --aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' bookworm "$root.new" - </etc/apt/sources.list.d/debian.sources
  mv "$root.new" "$root"
fi

# What is installed: this build, and one that calls itself older.
pkgs=$work/pkgs
rm -rf "$pkgs"
mkdir -p "$pkgs"
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
for version in "$old" "$new"; do
  for step in binaries packages; do
    VERSION=$version go run ./installer/dist -target linux/amd64 -bin "$work/bin" -out "$pkgs" $step
  done
done
cp bin/simulator "$pkgs/simulator"
# The commands of the page, each block a script.
awk -v dir="$pkgs" '/^```sh run$/ {n++; on=1; next} /^```$/ {on=0} on {print > (dir "/page-" n ".sh")}' docs/deploy/linux.md
[ "$(ls "$pkgs"/page-*.sh | wc -l)" = 4 ] || { echo "test-systemd: docs/deploy/linux.md should have 4 blocks to run" >&2; exit 1; }

log=$work/log
systemd-nspawn -q -D "$root" --volatile=overlay -b --register=no --keep-unit --private-network -M "tidemark-$$" \
  --bind-ro="$pkgs:/pkg" --console=pipe </dev/null >"$log" 2>&1 &
nspawn=$!
leader=
trap 'kill -TERM $nspawn 2>/dev/null; wait $nspawn 2>/dev/null || true' EXIT

x() { nsenter -t "$leader" -m -p -u -i -n -C -r -w env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
sh_() { x sh -ec "cd /root; $1"; }
fail() {
  echo "test-systemd: FAILED: $1" >&2
  x systemctl status tidemark --no-pager -l >&2 || true
  x journalctl -u tidemark --no-pager -n 40 >&2 || true
  exit 1
}
check() { local what=$1; shift; "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "$what"; }; echo "ok   $what"; }
within() { # within SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >"$work/out" 2>&1; do
    [ $SECONDS -lt $end ] || { cat "$work/out" >&2; fail "$what"; }
    sleep 0.3
  done
  echo "ok   $what"
}
says() { grep -q "$1" "$work/out" || { cat "$work/out" >&2; fail "it does not say: $1"; }; }
pid() { x systemctl show -p MainPID --value tidemark; }
active() { [ "$(x systemctl is-active tidemark)" = active ]; }
# Without a process the number is 0, which kill takes for the whole group of this script.
crash() {
  local was
  within 60 "it has a process" has_process
  was=$(pid)
  case $was in '' | *[!0-9]* | 0) fail "it has lost its process" ;; esac
  x sh -c "kill -9 $was"
  within 30 "$1" restarted "$was"
}
has_process() { active && [ "$(pid)" -gt 0 ]; }
restarted() { active && [ "$(pid)" != "$1" ]; }
chat() { sh_ "setpriv --reuid alice --regid alice --clear-groups /pkg/simulator chat --root /home/alice/Documents/xwechat_files --oracle /home/alice/oracle --keys-out /home/alice/keys.json --recall 0 $*"; }
compared() { sh_ "tidemark-archive records --dir /var/lib/tidemark-archive | /pkg/simulator compare --oracle /home/alice/oracle --records -"; }
device() { sh_ "sed -n 's/.*\"device\": \"\\(d_[^\"]*\\)\".*/\\1/p' /var/lib/tidemark/enrolment.json"; }
page() { sh_ "sh -e /pkg/page-$1.sh"; }
not() { ! "$@"; }

up() {
  leader=$(pgrep -P $nspawn | head -1)
  [ -n "$leader" ] && x systemctl is-system-running | grep -q running
}
within 60 "systemd is up" up

echo "== a user with an account, and the page's commands"
sh_ "useradd -m alice; chmod 700 /home/alice"
chat --count 200 --rate 0
sh_ "cp /pkg/tidemark-archive_${old}_linux_amd64.tar.gz /pkg/tidemark_${old}_amd64.deb .; cp /home/alice/keys.json ."
check "the archive is set up" page 1
check "package, policy, keys and token are in place" page 2
says "Setting up tidemark ($old)"
within 60 "the device enrols by itself and everything is captured" sh_ "tidemark status >/dev/null"
check "the page's check" page 3
within 20 "every message of the user is in the archive, once" compared
check "the token is gone" not sh_ "test -e /etc/tidemark/enroll.token"
check "the state folder is root's alone" sh_ '[ "$(stat -c %U:%a /var/lib/tidemark)" = root:700 ]'
check "the service is enabled" x systemctl is-enabled tidemark
check "the unit is well-formed" sh_ '! systemd-analyze verify tidemark.service 2>&1 | grep .'
check "the sandbox is tight: at most 2.0 of 10" x systemd-analyze security --no-pager --threshold=20 tidemark
first=$(device)

as_alice="setpriv --reuid alice --regid alice --clear-groups env HOME=/home/alice"
within 60 "the user sees that the account is recorded" sh_ "$as_alice tidemark mine --language en | grep 'WeChat 4 .*recorded, last read'"
check "the user sees the notice" sh_ "$as_alice tidemark notice --acknowledge"
says "you acknowledged it on"
within 20 "the acknowledgement is a record" sh_ "tidemark-archive records --dir /var/lib/tidemark-archive --kind event | grep notice_acknowledged | grep -q alice"

echo "== crashes"
crash "killed, it is there again"
chat --count 40 --rate 40
within 60 "what was said meanwhile is in the archive" compared
crash "killed again"
crash "and again: it pauses"
check "status says so" not sh_ "tidemark status"
says "crashed 3 times in a row"
within 60 "and goes on" sh_ "tidemark status >/dev/null"

echo "== upgrade"
chat --count 40 --rate 0
check "upgraded in place" sh_ "dpkg -i /pkg/tidemark_${new}_amd64.deb"
check "the version is true" sh_ "[ \"\$(dpkg-query -W -f '\${Version}' tidemark)\" = $new ] && tidemark version | grep -q 'tidemark $new ' && dpkg --compare-versions $new gt $old"
within 30 "it runs, and captures" sh_ "tidemark status >/dev/null"
[ "$(device)" = "$first" ] || fail "the identity is another"
within 30 "nothing is lost or doubled" compared

echo "== a state folder that was left open"
sh_ "systemctl stop tidemark; chmod 755 /var/lib/tidemark; systemctl start tidemark"
within 20 "is closed" sh_ '[ "$(stat -c %a /var/lib/tidemark)" = 700 ]' # by systemd, before the agent would
within 30 "it runs" sh_ "tidemark status >/dev/null"

echo "== removal with an archive that is away"
sh_ "systemctl stop tidemark-archive; echo 'removal: {wait: 3s}' > /etc/tidemark/policy.d/60-removal.yaml"
chat --count 25 --rate 0
within 60 "records wait" sh_ "! tidemark status > status.txt; grep -E '^waiting +[1-9]' status.txt"
check "removed" page 4
says "not delivered: .* kept in /var/lib/tidemark"
check "the system's log says it too" sh_ "journalctl -t tidemark | grep -q 'not delivered: '"
check "the service is gone" not x systemctl is-active tidemark
check "identity and spool are kept" sh_ "test -s /var/lib/tidemark/identity.json -a -s /var/lib/tidemark/spool.db"
sh_ "systemd-run --quiet --unit=tidemark-archive-again tidemark-archive serve --dir /var/lib/tidemark-archive --listen 127.0.0.1:8440"
check "installed again" sh_ "dpkg -i /pkg/tidemark_${new}_amd64.deb"
within 60 "what was left is delivered, nothing is lost or doubled" compared
[ "$(device)" = "$first" ] || fail "the identity is another"

echo "== purge"
sh_ "systemctl stop tidemark-archive-again"
chat --count 5 --rate 0
within 60 "records wait" sh_ "! tidemark status > status.txt; grep -E '^waiting +[1-9]' status.txt"
check "purged" sh_ "apt-get purge -y tidemark"
says "not delivered: "
says "removed with the state folder"
check "nothing is left" not sh_ "ls -d /var/lib/tidemark /etc/tidemark /usr/bin/tidemark /etc/systemd/system/multi-user.target.wants/tidemark.service"

echo "== the rpm"
check "installed" sh_ "rpm -i --nodeps --force-debian /pkg/tidemark-${old}-1.x86_64.rpm"
within 20 "it runs and is enabled" sh_ "systemctl is-active tidemark && systemctl is-enabled tidemark"
check "it says that it is not enrolled" not sh_ "tidemark status"
says "not enrolled"
was=$(pid)
check "upgraded" sh_ "rpm -U --nodeps --force-debian /pkg/tidemark-${new}-1.x86_64.rpm"
within 20 "it was restarted" restarted "$was"
check "the version is true" sh_ "[ \"\$(rpm -q --qf '%{VERSION}' tidemark)\" = $new ] && tidemark version | grep -q 'tidemark $new ' && rpm -V --nodeps tidemark"
check "removed" sh_ "rpm -e --nodeps tidemark"
check "the service is gone, the state is kept" sh_ "! systemctl is-active tidemark && test -d /var/lib/tidemark"

echo "test-systemd: all held"
