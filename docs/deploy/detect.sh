#!/bin/sh
# Detection for MDM systems on macOS and Linux: ends with 0 when Tidemark is installed and is of
# at least the version given (the first argument, such as 1.2.0; none accepts any).
tidemark=${TIDEMARK:-tidemark}
least=$1
command -v "$tidemark" >/dev/null 2>&1 || { echo "not installed"; exit 1; }
version=$("$tidemark" version --json | sed -n 's/^ *"version": "\([^"]*\)".*/\1/p')
echo "tidemark $version"
[ -n "$version" ] || exit 1
[ -z "$least" ] && exit 0
# A version is compared number by number; what follows the numbers (-rc1, +build) is left out.
awk -v have="$version" -v want="$least" 'BEGIN {
	sub(/^v/, "", have); sub(/[-+].*/, "", have); sub(/^v/, "", want); sub(/[-+].*/, "", want)
	n = split(have, h, "."); m = split(want, w, ".")
	for (i = 1; i <= (n > m ? n : m); i++) {
		if (h[i] + 0 > w[i] + 0) exit 0
		if (h[i] + 0 < w[i] + 0) exit 1
	}
	exit 0
}'
