#!/bin/sh
# The program of before store version 3 refuses a store of version 3, and leaves it as it is. It is
# built from the repository's history; where there is none, this is left out. Part of make torture.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME XDG_CONFIG_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
fail() { echo "FAILED: $*" >&2; [ ! -s "$dir/out" ] || cat "$dir/out" >&2; exit 1; }
old=7acb1a3
git -C "$srcdir" cat-file -e "$old^{commit}" 2>/dev/null || { echo "no history: the program of $old is not built"; exit 77; }
mkdir -p "$dir/src" "$dir/b" "$HOME" "$dir/m"
git -C "$srcdir" archive "$old" | tar -x -C "$dir/src"
(cd "$dir/src" && autoreconf -fi >/dev/null 2>&1)
(cd "$dir/b" && ../src/configure -q >/dev/null && make -s -j"$(getconf _NPROCESSORS_ONLN)" tare >/dev/null 2>&1) || fail "the old program cannot be built"
cp -r "$TARE_DATA/samples/demo/quill-1m" "$dir/m/"
new() { "$TARE" "$@" --catalog "$dir/new.db" --store "$dir/s" --quiet; }
before() { "$dir/b/tare" "$@" --catalog "$dir/old.db" --store "$dir/s" --quiet; }
new scan "$dir/m" >/dev/null
new compress --all --yes >/dev/null
picture() { (cd "$dir/s" && find . -type f ! -name lock | sort | xargs sha256sum); }
was=$(picture)
before scan "$dir/m" >/dev/null 2>&1 || true
for command in verify gc "verify --repair" "decompress --all --yes" "compress --all --yes"; do
	# shellcheck disable=SC2086
	! before $command >"$dir/out" 2>&1 || [ ! -e "$dir/m/quill-1m/model.safetensors" ] || fail "the old program carries out: $command"
	[ "$(picture)" = "$was" ] || fail "the old program changed the store: $command"
done
! before gc >"$dir/out" 2>&1 || fail "the old program opens the store"
grep -q 'newer tare' "$dir/out" || fail "the old program does not say why"
new decompress --all --yes >/dev/null || fail "it does not come back"
cmp "$dir/m/quill-1m/model.safetensors" "$TARE_DATA/samples/demo/quill-1m/model.safetensors" || fail "other bytes"
echo "the program of $old refuses a store of version 3"
