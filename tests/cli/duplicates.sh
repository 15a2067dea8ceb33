#!/bin/sh
# Duplicates: files, two formats of one model, hard links and, where one can be mounted, clones.
set -eu
dir=$(mktemp -d)
mounted=
cleanup() { [ -z "$mounted" ] || umount "$dir/x"; rm -rf "$dir"; }
trap cleanup EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --quiet; }
fail() { echo "FAILED: $*" >&2; cat "$dir/out" >&2; exit 1; }
has() { grep -F -- "$1" "$dir/out" >/dev/null || fail "no line $1"; }
sample=$TARE_DATA/samples/demo/quill-1m/model.safetensors

mkdir -p "$dir/m/a" "$dir/m/b" "$dir/m/linked" "$dir/m/both"
for d in a b both; do
	cp "$sample" "$dir/m/$d/model.safetensors"
	echo '{}' >"$dir/m/$d/config.json"
done
ln "$dir/m/a/model.safetensors" "$dir/m/linked/model.safetensors"
echo '{}' >"$dir/m/linked/config.json"
head -c 1720000 /dev/urandom >"$dir/m/both/pytorch_model.bin"
tare scan "$dir/m"
tare duplicates --files >"$dir/out"
has '3.4M wasted: 3 files of 1.7M'
has 'by their sizes the same weights in two formats'
has "$dir/m/both/pytorch_model.bin"
tare duplicates --files --json >"$dir/out"
has '"kind":"file"'
has '"copies":3,"wasted":'
has '"kind":"formats"'

# What only the store has is nothing to delete.
tare compress both --yes >"$dir/out"
tare duplicates --files >"$dir/out"
! grep 'two formats' "$dir/out" >/dev/null || fail "a stored file is no second format"

# Clones share their blocks: they waste nothing.
if truncate -s 400M "$dir/img" && mkfs.xfs -q "$dir/img" >/dev/null 2>&1 && mkdir "$dir/x" &&
	mount -o loop "$dir/img" "$dir/x" 2>/dev/null; then
	mounted=1
	mkdir "$dir/x/one" "$dir/x/clone" "$dir/x/copy"
	cp "$sample" "$dir/x/one/model.safetensors"
	cp --reflink=always "$dir/x/one/model.safetensors" "$dir/x/clone/model.safetensors"
	"$TARE" scan "$dir/x" --catalog "$dir/x.db" --quiet
	"$TARE" duplicates --files --catalog "$dir/x.db" >"$dir/out"
	! grep 'wasted' "$dir/out" >/dev/null || fail "a clone wastes nothing"
	cp --reflink=never "$dir/x/one/model.safetensors" "$dir/x/copy/model.safetensors"
	"$TARE" scan "$dir/x" --catalog "$dir/x.db" --quiet
	"$TARE" duplicates --files --catalog "$dir/x.db" >"$dir/out"
	has '1.7M wasted: 3 files of 1.7M'
	has '1 of them share their blocks (clones)'
fi
