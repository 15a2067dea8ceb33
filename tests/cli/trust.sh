#!/bin/sh
# Stores of others, and stores that came with a download: nothing is written by them where it must
# not be. With root, two users without rights play the owner and the victim.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset XDG_CACHE_HOME XDG_DATA_HOME XDG_CONFIG_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
fail() { echo "FAILED: $*" >&2; [ ! -s "$dir/out" ] || cat "$dir/out" >&2; exit 1; }
mkdir -p "$dir/home" "$dir/m/a" "$dir/victim"
export HOME="$dir/home"
cp "$TARE_DATA/samples/demo/quill-1m"/* "$dir/m/a/"
store=$dir/m/.tare
tare() { "$TARE" "$@" --catalog "$dir/c.db" --quiet; }

# rewrite SED: changes the one manifest of the store, with a right checksum, in both copies.
rewrite() {
	manifest=$(grep -l '"state":"stored"' "$store"/files/*.json)
	sed -n 2p "$manifest" | sed "$1" | tr -d '\n' >"$dir/body"
	sum=$(xxhsum -H2 "$dir/body" 2>/dev/null | cut -c1-32)
	{ printf 'tare-manifest 3 %s %s\n' "$sum" "$(stat -c %s "$dir/body")"; cat "$dir/body"; echo; } >"$dir/text"
	n=$(stat -c %s "$dir/text")
	{ cat "$dir/text"; head -c $(((n + 4095) / 4096 * 4096 - n)) /dev/zero | tr '\0' '\n'; cat "$dir/text"; } >"$manifest"
	rm -f "$store/roster"
}
make_store() {
	rm -rf "$store" "$dir"/c.db* "$dir/home"
	mkdir -p "$dir/home"
	cp "$TARE_DATA/samples/demo/quill-1m"/* "$dir/m/a/"
	tare scan "$dir/m" >/dev/null
	tare compress --all --yes --store "$store" >/dev/null || fail "compress"
}

# A store that came with a folder: the registry of this user does not know it.
for change in \
	"s#\"path\":\"$dir/m/a/model.safetensors\"#\"path\":\"$dir/victim/x\"#" \
	"s#\"path\":\"$dir/m/a/model.safetensors\"#\"path\":\"$dir/victim/x\"#;s#\"root\":\"$dir/m\",\"format\"#\"root\":\"/\",\"format\"#" \
	"s#\"path\":\"$dir/m/a/model.safetensors\"#\"path\":\"$dir/m/a/../../victim/x\"#" \
	"s#\"links\":\[\]#\"links\":[{\"path\":\"$dir/victim/x\",\"target\":\"/evil\",\"mtime_ns\":1}]#"; do
	make_store
	rewrite "$change"
	rm -rf "$dir/home" "$dir"/c.db*
	mkdir "$dir/home"
	tare scan "$dir/m" >/dev/null 2>&1
	tare decompress --all --yes >"$dir/out" 2>&1 || true
	[ ! -e "$dir/victim/x" ] && [ ! -L "$dir/victim/x" ] || fail "decompress wrote by: $change"
	cp "$TARE_DATA/samples/demo/quill-1m/model.safetensors" "$dir/m/a/"
	"$TARE" gc --store "$store" --catalog "$dir/c.db" --quiet >"$dir/out" 2>&1 || true
	[ ! -e "$dir/victim/x" ] && [ ! -L "$dir/victim/x" ] || fail "recovery wrote by: $change"
done

# A model that names a file often is named once.
make_store
rewrite 's#"views":\[\({[^]]*}\)\]#"views":[\1,\1,\1]#'
tare decompress --all --yes >"$dir/out" 2>&1 || fail "a model that names a file three times"
[ -z "$(find "$store/files" -type f)" ] || fail "something of it is left"

# What lies below the folder of the store comes back all the same, known here or not.
make_store
rm -rf "$dir/home" "$dir"/c.db*
mkdir "$dir/home"
tare scan "$dir/m" >/dev/null
tare decompress --all --yes >"$dir/out" 2>&1 || fail "an own store beside its models is not used"
cmp "$dir/m/a/model.safetensors" "$TARE_DATA/samples/demo/quill-1m/model.safetensors" || fail "other bytes"

# Folders of objects that are links lead nowhere.
make_store
real=$dir/home/.local/share/tare/store
mkdir -p "$dir/m2/a"
cp "$TARE_DATA/samples/demo/reed-1m"/* "$dir/m2/a/"
tare scan "$dir/m2" >/dev/null
tare compress m2/a --yes >/dev/null 2>&1 || tare compress --all --yes >/dev/null 2>&1 || true
objects=$(find "$real/objects" -type f | wc -l)
[ "$objects" -gt 0 ] || fail "nothing is in the usual store"
evil=$dir/dl/.tare
mkdir -p "$evil/files" "$evil/held" "$evil/tmp" "$evil/objects"
cp "$real/format" "$evil/format"
for folder in "$real"/objects/*; do ln -s "$folder" "$evil/objects/"; done
tare scan "$dir/dl" >/dev/null 2>&1 || true
tare gc >"$dir/out" 2>&1 || true
tare gc --store "$evil" >"$dir/out" 2>&1 || true
[ "$(find "$real/objects" -type f | wc -l)" -eq "$objects" ] || fail "gc went through a link"
rm -rf "$dir/dl" "$dir/m2"

# What replaces a store that was made here is not it.
make_store
cp -r "$store" "$dir/copy"
rm -rf "$store"
mv "$dir/copy" "$store"
rewrite "s#\"path\":\"$dir/m/a/model.safetensors\"#\"path\":\"$dir/victim/x\"#;s#\"root\":\"$dir/m\",\"format\"#\"root\":\"/\",\"format\"#"
tare scan "$dir/m" >/dev/null 2>&1
tare decompress --all --yes >"$dir/out" 2>&1 || true
[ ! -e "$dir/victim/x" ] || fail "a store that replaces a known one writes anywhere"

# A folder in the way that is a link is not followed.
make_store
mv "$dir/m/a" "$dir/away"
ln -s "$dir/victim" "$dir/m/a"
tare decompress --all --yes >"$dir/out" 2>&1 || true
[ ! -e "$dir/victim/model.safetensors" ] || fail "a link on the way was followed"
rm "$dir/m/a"
mv "$dir/away" "$dir/m/a"

# lock and log that are links are not written to.
for name in lock log; do
	echo precious >"$dir/victim/$name"
	rm -f "$store/$name"
	ln -s "$dir/victim/$name" "$store/$name"
	tare gc --store "$store" >"$dir/out" 2>&1 || true
	tare decompress --all --yes >"$dir/out" 2>&1 || true
	[ "$(cat "$dir/victim/$name")" = precious ] || fail "$name: a link was written through"
	rm -f "$store/$name"
	[ -e "$dir/m/a/model.safetensors" ] || tare decompress --all --yes >/dev/null
	make_store
done

# tare trust: remembered, listed, revoked.
tare trust "$store" --yes >/dev/null || fail "trust"
tare trust | grep -qF "$store" || fail "what is trusted is not listed"
tare trust "$store" --revoke || fail "revoke"
tare trust | grep -q 'no store' || fail "what is trusted was not forgotten"

[ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null || exit 0
as() { uid=$1; shift; setpriv --reuid="$uid" --regid="$uid" --clear-groups env HOME="$dir/h$uid" TMPDIR="$dir" "$@" --catalog "$dir/h$uid/c.db" --quiet; }
chmod 755 "$dir"
rm -rf "$dir/m"
mkdir -p "$dir/m/a" "$dir/h23456" "$dir/h12345"
cp "$TARE_DATA/samples/demo/quill-1m"/* "$dir/m/a/"
chown -R 23456:23456 "$dir/m" "$dir/h23456"
chown 12345:12345 "$dir/h12345"
cp "$TARE" "$dir/tare"
as 23456 "$dir/tare" scan "$dir/m" >/dev/null
as 23456 "$dir/tare" compress --all --yes --shared --store "$store" >"$dir/out" 2>&1 || fail "compress as a user"
[ "$(stat -c %U:%a "$store")" != "" ] || fail "no store"
[ $(($(stat -c 0%a "$store") & 5)) -eq 5 ] || fail "--shared: others cannot read the store"
# Neither the victim nor root give anything back from it, or write to it, until they trust it.
as 12345 "$dir/tare" scan "$dir/m" >/dev/null 2>&1
as 12345 "$dir/tare" verify >"$dir/out" 2>&1 || fail "another user's store cannot be read"
! as 12345 "$dir/tare" decompress --all --to "$dir/h12345/to" >"$dir/out" 2>&1 || fail "a stranger's store is given back from"
grep -q 'tare trust' "$dir/out" || fail "what to do is not said"
! tare gc --store "$store" >"$dir/out" 2>&1 || fail "root writes to a user's store"
as 12345 "$dir/tare" trust "$store" --yes >/dev/null || fail "trust as a user"
as 12345 "$dir/tare" decompress --all --to "$dir/h12345/to" >"$dir/out" 2>&1 || fail "a trusted store is refused"
grep -q "belongs to user 23456: it gives back a below $dir/h12345/to" "$dir/out" || fail "what is written where is not said"
cmp "$dir/h12345/to/a/model.safetensors" "$TARE_DATA/samples/demo/quill-1m/model.safetensors" || fail "other bytes"
# A new folder in its place is not what was trusted.
mv "$store" "$store.old"
cp -r "$store.old" "$store"
chown -R 23456:23456 "$store"
! as 12345 "$dir/tare" decompress --all --to "$dir/h12345/again" >"$dir/out" 2>&1 || fail "another folder under the same name is trusted"
# A folder above it that everyone may write to makes an own store a stranger's.
chown -R root:root "$dir/m"
chmod 777 "$dir/m"
! tare gc --store "$store" >"$dir/out" 2>&1 || fail "a store below a folder of everyone is used"
grep -q 'written to by everyone' "$dir/out" || fail "why it is not used is not said"
chmod 1777 "$dir/m"
tare gc --store "$store" >"$dir/out" 2>&1 || fail "a sticky folder above is refused"
