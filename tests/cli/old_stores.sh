#!/bin/sh
# Stores that earlier versions wrote: 1 by tare 0.1.0, 2 by what came between. Both hold a base and
# a fine-tune (objects and packs; planes-1, bitx, zstd). They are read, and carried on.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
fail() { echo "FAILED: $*" >&2; exit 1; }
base=2938d8f99da597efad9d5d4babe3649b6faa10b81c86f3ae012b63d26bb5f280
fine=972bfbd124cca3ad8e6b585d4b6805755a69f9800675483b8e8142ce5588bce2
for version in 1 2; do
	store=$dir/s$version
	cp -r "$srcdir/tests/data/store-$version" "$store"
	chmod -R u+rwX "$store"
	mkdir -p "$store/held" "$store/tmp"
	tare() { "$TARE" "$@" --catalog "$dir/c$version.db" --store "$store" --quiet; }
	# It lies beside the home folder, and was made by somebody: the user says that it is his own.
	"$TARE" trust "$store" --yes >/dev/null
	tare verify >"$dir/out" 2>&1 || { cat "$dir/out" >&2; fail "store $version: verify"; }
	mkdir "$dir/to$version"
	tare decompress base.safetensors --to "$dir/to$version" >/dev/null || fail "store $version: base"
	tare decompress fine.safetensors --to "$dir/to$version" >/dev/null || fail "store $version: fine"
	for sum in "$base" "$fine"; do
		find "$dir/to$version" -type f -exec sha256sum {} + | grep "$sum" >/dev/null ||
			fail "store $version: other bytes came back"
	done
	# A fine-tune of what an old store holds: the delta of today against an object of then.
	mkdir "$dir/m$version"
	find "$dir/to$version" -type f -name 'fine*' -exec cp {} "$dir/m$version/again.safetensors" \;
	printf '\377\077' | dd of="$dir/m$version/again.safetensors" bs=1 seek=20000 conv=notrunc 2>/dev/null
	sum=$(sha256sum <"$dir/m$version/again.safetensors")
	tare scan "$dir/m$version"
	tare plan again.safetensors --base base.safetensors --json | grep '"base_how":"stored"' >/dev/null ||
		fail "store $version: the stored base is not used"
	tare compress again.safetensors --base base.safetensors --yes >/dev/null || fail "store $version: compress"
	tare decompress again.safetensors --yes >/dev/null || fail "store $version: give back"
	[ "$sum" = "$(sha256sum <"$dir/m$version/again.safetensors")" ] || fail "store $version: again differs"
	tare verify >/dev/null || fail "store $version: verify after it"
done
