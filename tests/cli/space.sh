#!/bin/sh
# A small file system that is nearly full: what does not fit leaves everything as it was, and the
# message says how much is missing; a model of several shards needs room for one of them.
set -eu
# A tmpfs of our own, in a namespace of our own where we may not mount otherwise.
if [ -z "${SPACE_INSIDE:-}" ]; then
	export SPACE_INSIDE=1
	unshare -m true 2>/dev/null && exec unshare -m "$0"
	unshare -rm true 2>/dev/null && exec unshare -rm "$0"
	exit 77
fi
dir=$(mktemp -d)
trap 'umount "$dir" 2>/dev/null || true; rm -rf "$dir"' EXIT
mount -t tmpfs -o size=12m,mode=700 tmpfs "$dir" 2>/dev/null || exit 77
export HOME="$dir/home" TMPDIR=/tmp
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
fail() { echo "FAILED: $*" >&2; exit 1; }
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --threads 1 --quiet; }
state() { (cd "$dir/m" && find . -type f -printf '%m %T@ %s %p\n' | sort && find . -type f | sort | xargs sha256sum); }
free() { df --output=avail -k "$dir" | tail -n 1; }
# fill KILOBYTES: leaves so much.
fill() { rm -f "$dir/filler"; n=$(($(free) - $1)); [ $n -le 0 ] || head -c ${n}k /dev/zero >"$dir/filler"; }
mkdir -p "$dir/m/big" "$HOME"
samples=$TARE_DATA/samples/demo
i=0
for model in quill-1m quill-1m-code quill-1m-perl reed-1m; do
	i=$((i + 1))
	cp "$samples/$model/model.safetensors" "$dir/m/big/model-0000$i-of-00004.safetensors"
done
cp "$samples/quill-1m/config.json" "$dir/m/big/config.json"
before=$(state)
tare scan "$dir/m"

# No room for a shard: refused with a number, and nothing has changed.
for kilobytes in 0 64 300 900; do
	fill $kilobytes
	status=0
	tare compress --all --yes >"$dir.out" 2>&1 || status=$?
	[ $status -eq 1 ] || { cat "$dir.out"; fail "$kilobytes K: status $status"; }
	grep -q 'more space is needed\|No space\|disk is full\|disk I/O' "$dir.out" || { cat "$dir.out"; fail "$kilobytes K: no word of space"; }
	rm -f "$dir/filler"
	[ "$before" = "$(state)" ] || fail "$kilobytes K: something changed"
	[ -z "$(find "$dir/s/objects" "$dir/s/files" -type f 2>/dev/null)" ] || fail "$kilobytes K: something is left in the store"
done
fill 900
tare compress --all --yes 2>&1 | grep -q '[0-9.]*[KM] more space is needed in' || fail "how much is missing is not said"

# Room for one shard and no more: each shard frees what the next one needs.
fill 2900
tare compress --all --yes >/dev/null || fail "room for one shard is not enough"
[ -z "$(find "$dir/m" -name '*.safetensors')" ] || fail "a shard is left"
# Back again: one shard at a time, until the disk is full; then the message has a number.
fill 2000
status=0
tare decompress --all --yes >"$dir.out" 2>&1 || status=$?
[ $status -eq 1 ] || fail "it cannot have fitted"
grep -q '[0-9.]*[KM] more space is needed in' "$dir.out" || { cat "$dir.out"; fail "decompress: how much is missing is not said"; }
[ -z "$(find "$dir/m" -name '.tare-*')" ] || fail "a half file is left"
rm -f "$dir/filler" "$dir.out"
tare decompress --all --yes >/dev/null || fail "with room it does not come back"
[ "$before" = "$(state)" ] || fail "not the same files"
