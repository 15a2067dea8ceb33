#!/bin/sh
# The arrows hold, and a planted violation of each kind is caught.
set -eu
check=$srcdir/build-aux/check-arrows
"$check" "$srcdir"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
plant() {
	rm -rf "$dir/t"
	mkdir -p "$dir/t/build-aux" "$dir/t/src/base" "$dir/t/src/store" "$dir/t/ui/kit"
	cp "$srcdir/build-aux/arrows" "$dir/t/build-aux/"
	echo "$2" >"$dir/t/$1"
	if "$check" "$dir/t" >"$dir/out"; then
		echo "not caught: $1: $2" >&2
		exit 1
	fi
	grep -q "$1" "$dir/out"
}
plant src/base/a.c '#include "ops/ops.h"'
plant src/store/a.c '#include "jobs/pool.h"'
plant src/store/a.c '#include <sqlite3.h>'
plant ui/kit/list.c '#include <curses.h>'
plant ui/kit/list.c '#include "ops/session.h"'
plant src/base/a.c '#include <pthread.h>'
mkdir -p "$dir/t/src/attic"
plant src/base/a.c '#include "attic/x.h"'
