#!/bin/sh
# Removes Tidemark from this Mac. Identity, keys and undelivered records stay, unless
# "--purge" is given. What the archive does not have yet is delivered, kept or discarded
# as removal.undelivered says, and what is left is said.
set -e
purge=
case "${1:-}" in
  "") ;;
  --purge) purge=--purge ;;
  *) echo "usage: uninstall.sh [--purge]" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "uninstall.sh: do it as an administrator: sudo $0" >&2; exit 1; }
/bin/launchctl bootout system/tidemark 2>/dev/null || true
/Library/Tidemark/bin/tidemark service settle $purge || true
rm -f /Library/LaunchDaemons/tidemark.plist /Library/LaunchAgents/tidemark.notice.plist
[ "$(readlink /usr/local/bin/tidemark)" != /Library/Tidemark/bin/tidemark ] || rm -f /usr/local/bin/tidemark
rm -rf /Library/Tidemark
[ -z "$purge" ] || rm -rf "/Library/Application Support/Tidemark" /Library/Logs/Tidemark
/usr/sbin/pkgutil --forget tidemark.agent >/dev/null 2>&1 || true
