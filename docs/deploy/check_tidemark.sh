#!/bin/sh
# Nagios, Icinga and other monitors: one line, and 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
# Run it as root (or as the user whom the agent runs as): nobody else may ask the agent.
# TIDEMARK names the program where it is not in the path.
tidemark=${TIDEMARK:-tidemark}
if ! command -v "$tidemark" >/dev/null 2>&1; then
	echo "TIDEMARK UNKNOWN - the program is not installed"
	exit 3
fi
out=$("$tidemark" status 2>&1)
code=$?
# The first line says how it is, the first numbered one why.
first=$(printf '%s\n' "$out" | sed -n '1p')
why=$(printf '%s\n' "$out" | sed -n 's/^ *1\. //p' | sed -n '1p')
case $code in
0) echo "TIDEMARK OK - $first" ;;
1) echo "TIDEMARK WARNING - ${why:-$first}" ;;
2) echo "TIDEMARK CRITICAL - ${why:-$first}" ;;
*) echo "TIDEMARK UNKNOWN - $first"; code=3 ;;
esac
exit "$code"
