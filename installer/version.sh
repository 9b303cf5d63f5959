#!/bin/sh
# The version of this tree: the two numbers of the file VERSION, and as the third how many
# commits there are up to this one. It rises with every commit, and every package manager
# (dpkg, rpm, Windows Installer, pkgutil) compares it rightly. A tree with changes that are
# not committed is "+dirty"; a shallow clone, which cannot count, is "+shallow"; without git
# the third number is 0.
set -eu
cd "$(dirname "$0")/.."
base=$(cat VERSION)
git rev-parse --git-dir >/dev/null 2>&1 || { echo "$base.0"; exit; }
if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
  echo "version: a shallow clone does not know how many commits there are: git fetch --unshallow" >&2
  echo "$base.0+shallow"
  exit
fi
dirty=; git diff-index --quiet HEAD -- || dirty=+dirty
echo "$base.$(git rev-list --count HEAD)$dirty"
