#!/bin/sh
# The demo without a terminal: everything comes back identical, and nothing is left behind.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
TMPDIR=$dir HOME=$dir XDG_CACHE_HOME= XDG_DATA_HOME= "$TARE" --demo </dev/null >"$dir/out" 2>&1 || {
	cat "$dir/out"
	exit 1
}
grep -q 'every one is identical' "$dir/out"
grep -q 'compressed demo/quill-1m-code' "$dir/out"
[ -z "$(find "$dir" -name 'tare-demo-*')" ]
# Nothing of it is remembered in the home.
[ "$(ls -A "$dir")" = out ] || { ls -A "$dir"; exit 1; }
