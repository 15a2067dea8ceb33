#!/bin/sh
# Verify: in parts, within a budget, deep; what it finds has the same name each time.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME XDG_CONFIG_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
fail() { echo "FAILED: $*" >&2; [ ! -s "$dir/out" ] || cat "$dir/out" >&2; exit 1; }
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --quiet; }
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$2"; }
mkdir -p "$dir/m" "$HOME"
for name in quill-1m quill-1m-code reed-1m; do
	cp -r "$TARE_DATA/samples/demo/$name" "$dir/m/"
done
tare scan "$dir/m" >/dev/null
tare compress --all --yes >/dev/null

# Parts: each object belongs to one of them, the same one each time.
tare verify --json >"$dir/out"
all=$(number objects "$dir/out")
sum=0
for part in 1 2 3; do
	tare verify --subset $part/3 --json >"$dir/part"
	tare verify --subset $part/3 --json >"$dir/again"
	cmp "$dir/part" "$dir/again" || fail "part $part is another one the second time"
	sum=$((sum + $(number objects "$dir/part")))
done
[ "$sum" -eq "$all" ] || fail "the parts have $sum of $all objects"
! tare verify --subset 4/3 >"$dir/out" 2>&1 || fail "part 4 of 3"
! tare verify --budget much >"$dir/out" 2>&1 || fail "a budget that is no size"

# A budget: what was not read for longest comes first, until all was read.
rm "$dir"/c.db*
tare scan "$dir/m" >/dev/null
tare verify --budget 1K --json >"$dir/out"
unread=$(number unread "$dir/out")
[ "$unread" -gt 0 ] || fail "1 KB was enough for everything"
rounds=0
while [ "$unread" -gt 0 ] && [ $rounds -lt 100 ]; do
	tare verify --budget 1M --json >"$dir/out"
	now=$(number unread "$dir/out")
	[ "$now" -lt "$unread" ] || fail "a budget reads what was read already"
	unread=$now
	rounds=$((rounds + 1))
done
tare verify --budget 1K >"$dir/out"
grep -q 'waits longest was read' "$dir/out" || fail "what waits longest is not said"

# Deep: files are decoded as a whole. The same finding has the same id.
tare verify --deep --json >"$dir/out" || fail "deep"
[ "$(number files "$dir/out")" -eq 6 ] || fail "not every file was decoded"
object=$(find "$dir/s/objects" -type f ! -name '*.pack' | head -1)
chmod u+w "$object"
printf 'xxxx' | dd of="$object" bs=1 seek=$(($(stat -c %s "$object") - 10)) conv=notrunc 2>/dev/null
! tare verify --deep --json >"$dir/one" || fail "a damaged object is called good"
! tare verify --deep --json >"$dir/two" || fail "a damaged object is called good"
ids() { grep -o '"id":"[0-9a-f]*"' "$1" | sort -u; }
[ -n "$(ids "$dir/one")" ] && [ "$(ids "$dir/one")" = "$(ids "$dir/two")" ] || fail "a finding has another id"

# A store of an older version: deep gives its manifests the SHA-256 that they lack.
rm -rf "$dir/s" "$dir"/c.db*
cp -r "$srcdir/tests/data/store-2" "$dir/s"
chmod -R u+rwX "$dir/s"
mkdir -p "$dir/s/held" "$dir/s/tmp"
! grep -q sha256 "$dir"/s/files/*.json || fail "an old store has them already"
"$TARE" trust "$dir/s" --yes >/dev/null
tare verify --deep >"$dir/out" 2>&1 || fail "deep on an old store"
[ "$(grep -l sha256 "$dir"/s/files/*.json | wc -l)" -eq 2 ] || fail "they were not written down"
tare verify --deep >"$dir/out" 2>&1 || fail "deep, once more"
