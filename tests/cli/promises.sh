#!/bin/sh
# Ways in which a store once lost a file, or wrote where it must not: each one as a story.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME XDG_CONFIG_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
fail() { echo "FAILED: $*" >&2; [ ! -s "$dir/out" ] || cat "$dir/out" >&2; exit 1; }
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --quiet; }
samples=$TARE_DATA/samples/demo
sum() { sha256sum <"$1" | cut -d' ' -f1; }
fresh() {
	rm -rf "$dir/m" "$dir/s" "$dir"/c.db* "$dir/home"
	mkdir -p "$dir/home" "$dir/m"
	for name in "$@"; do
		mkdir "$dir/m/$name"
		cp "$samples/$name"/* "$dir/m/$name/"
	done
	tare scan "$dir/m" >/dev/null
}
file() { echo "$dir/m/$1/model.safetensors"; }

# gc is refused while a pack cannot be read; meanwhile a delta loses its manifest, and is used again.
# What it is a difference from must stay, although only its object says so.
fresh quill-1m quill-1m-code reed-1m
before=$(sum "$(file quill-1m-code)")
tare compress quill-1m --yes >/dev/null
tare compress quill-1m-code --yes >/dev/null
ls -R "$dir/s/objects" >"$dir/names"
tare compress reed-1m --yes >/dev/null
pack=$(find "$dir/s/objects" -name '*.pack' | while read -r p; do grep -q "$(basename "$p")" "$dir/names" || echo "$p"; done | head -1)
[ -n "$pack" ] || fail "the last model has no pack"
cp -p "$pack" "$dir/pack"
chmod u+w "$pack"
printf 'xxxxxxxx' | dd of="$pack" bs=1 conv=notrunc 2>/dev/null
tare decompress quill-1m-code --yes >/dev/null 2>&1 || fail "decompress beside a damaged pack"
tare scan >/dev/null 2>&1
tare compress quill-1m-code --yes >"$dir/out" 2>&1 || fail "compress beside a damaged pack"
grep -q 'nothing is removed until that is settled' "$dir/out" || fail "compress does not say that gc refuses"
cp -p "$dir/pack" "$pack"
tare decompress quill-1m --yes >/dev/null || fail "decompress the base"
tare gc >/dev/null || fail "gc"
tare verify >"$dir/out" 2>&1 || fail "verify finds damage after it"
tare decompress quill-1m-code --yes >"$dir/out" 2>&1 || fail "a base in use is gone"
[ "$(sum "$(file quill-1m-code)")" = "$before" ] || fail "other bytes came back"

# A manifest that does not name a base of its objects is told of, and mended.
fresh quill-1m quill-1m-code
tare compress quill-1m quill-1m-code --yes >/dev/null
manifest=$(grep -l '"bases"' "$dir"/s/files/*.json | head -1)
[ -n "$manifest" ] || fail "no manifest names a base"
wanted=$(sed -n 2p "$manifest")
sed -n 2p "$manifest" | sed 's/"bases":\[[^]]*\],//g' | tr -d '\n' >"$dir/body"
{ printf 'tare-manifest 3 %s %s\n' "$(xxhsum -H2 "$dir/body" 2>/dev/null | cut -c1-32)" "$(stat -c %s "$dir/body")"; cat "$dir/body"; echo; } >"$dir/text"
n=$(stat -c %s "$dir/text")
{ cat "$dir/text"; head -c $(((n + 4095) / 4096 * 4096 - n)) /dev/zero | tr '\0' '\n'; cat "$dir/text"; } >"$manifest"
! tare verify >"$dir/out" 2>&1 || fail "a manifest without its bases is called good"
grep -q 'does not name every base' "$dir/out" || fail "what is wrong with the manifest is not said"
tare verify --repair >"$dir/out" 2>&1 || fail "it is not mended"
[ "$(sed -n 2p "$manifest")" = "$wanted" ] || fail "other bases were written down"

# A copy is made under tare's own names: what others call NAME.part stays, like everything else.
fresh quill-1m
tare compress quill-1m --yes >/dev/null
mkdir -p "$dir/to/quill-1m"
echo precious >"$dir/to/quill-1m/model.safetensors.part"
tare decompress quill-1m --to "$dir/to" >/dev/null || fail "a copy"
[ "$(cat "$dir/to/quill-1m/model.safetensors.part")" = precious ] || fail "a stranger's .part is gone"
[ "$(ls -A "$dir/to/quill-1m" | grep -c tare)" -eq 0 ] || fail "something is left beside the copy"

# A model is more than its weights: what `hf cache rm` or a stranger takes comes back with them.
fresh quill-1m
echo '{}' >"$dir/m/quill-1m/tokenizer_config.json"
chmod 640 "$dir/m/quill-1m/tokenizer_config.json"
: >"$dir/m/quill-1m/merges.txt"
head -c 3000000 /dev/urandom >"$dir/m/quill-1m/tokenizer.json"
state() { (cd "$dir/m" && find . -type f -printf '%m %T@ %s %p\n' | sort && find . -type f | sort | xargs sha256sum); }
before=$(state)
tare compress quill-1m --yes >/dev/null
rm -r "$dir/m/quill-1m"
tare verify >"$dir/out" || fail "verify"
grep -q '5 of its other files are gone' "$dir/out" || fail "verify does not count what is gone"
tare scan >/dev/null 2>&1
tare list | grep -q '!files' || fail "list does not show that files are gone"
tare doctor >"$dir/out"
grep -q '5 of its other files are gone' "$dir/out" || fail "doctor does not count what is gone"
tare decompress quill-1m --to "$dir/to2" >/dev/null
[ "$(ls -A "$dir/to2/quill-1m" | wc -l)" -eq 6 ] || fail "a copy is no complete folder"
tare decompress quill-1m --yes >"$dir/out" 2>&1 || fail "back without its folder"
[ "$(state)" = "$before" ] || { state; echo "$before"; fail "the folder is not what it was"; }
tare gc >/dev/null
[ -z "$(find "$dir/s/objects" "$dir/s/files" -type f)" ] || fail "companions outlast their model"
# What is there is never written over.
tare scan >/dev/null
tare compress quill-1m --yes >/dev/null
echo mine >"$dir/m/quill-1m/config.json"
tare decompress quill-1m --yes >/dev/null
[ "$(cat "$dir/m/quill-1m/config.json")" = mine ] || fail "a companion was written over"

# The same in a hub cache: snapshots, refs and links, after the whole repository was removed.
rm -rf "$dir/hub" "$dir/s" "$dir"/c.db*
repo=$dir/hub/models--org--a commit=0123456789012345678901234567890123456789
mkdir -p "$repo/blobs" "$repo/snapshots/$commit/sub" "$repo/refs"
printf $commit >"$repo/refs/main"
for name in model.safetensors config.json; do
	blob=$(sum "$samples/quill-1m/$name")
	cp "$samples/quill-1m/$name" "$repo/blobs/$blob"
	ln -s "../../blobs/$blob" "$repo/snapshots/$commit/$name"
done
ln -s "../../../blobs/$blob" "$repo/snapshots/$commit/sub/config.json"
hub() { (cd "$dir/hub" && find . -printf '%y %s %p %l\n' | grep -v '^d' | sort && find . -type f | sort | xargs sha256sum); }
before=$(hub)
tare scan "$dir/hub" >/dev/null
tare compress org/a --yes >/dev/null || fail "compress in a hub cache"
rm -r "$repo"
tare decompress org/a --yes >"$dir/out" 2>&1 || fail "a removed repository does not come back"
[ "$(hub)" = "$before" ] || { hub; echo "$before"; fail "the repository is not what it was"; }

# Companions that the store has the only copy of stay until they are back, one by one.
fresh quill-1m
cp "$dir/m/quill-1m/model.safetensors" "$dir/kept"
tare compress quill-1m --yes >/dev/null
rm "$dir/m/quill-1m/config.json"
cp "$dir/kept" "$dir/m/quill-1m/model.safetensors"
tare gc >/dev/null 2>&1
tare scan >/dev/null 2>&1
[ ! -e "$dir/m/quill-1m/config.json" ] || fail "gc gives files back"
grep -q '"state":"companions"' "$dir"/s/files/*.json || fail "the only copies were dropped"
tare verify | grep -q 'verify --repair puts copies there' || fail "how they come back is not said"
tare verify --repair >/dev/null 2>&1
cmp "$dir/m/quill-1m/config.json" "$samples/quill-1m/config.json" || fail "a companion is lost"

# A companion may be the bytes of a tensor that is stored as a difference: what that needs stays.
fresh quill-1m quill-1m-code
mkdir "$dir/m/z" "$dir/m/w"
tail -c 65536 "$dir/m/quill-1m/model.safetensors" >"$dir/m/z/tokenizer.model"
tail -c 65536 "$dir/m/quill-1m-code/model.safetensors" >"$dir/m/z/vocab.txt"
cp "$samples/reed-1m/model.safetensors" "$samples/reed-1m/config.json" "$dir/m/z/"
cp "$dir/m/quill-1m/model.safetensors" "$dir/m/quill-1m/config.json" "$dir/m/w/"
printf 'x' | dd of="$dir/m/w/model.safetensors" bs=1 seek=1652500 conv=notrunc 2>/dev/null
tare scan >/dev/null
before=$(sum "$(file w)")
tare compress quill-1m quill-1m-code --yes >/dev/null
tare compress z --yes >/dev/null
tare compress w --yes >/dev/null
tare decompress quill-1m quill-1m-code --yes >/dev/null 2>&1
tare verify --deep >"$dir/out" 2>&1 || fail "a base went with its models"
rm "$dir/m/z/tokenizer.model" "$dir/m/z/vocab.txt"
tare decompress w z --yes >"$dir/out" 2>&1 || fail "w and z"
[ "$(sum "$(file w)")" = "$before" ] || fail "w is another one"
tail -c 65536 "$dir/m/quill-1m/model.safetensors" | cmp - "$dir/m/z/tokenizer.model" || fail "another tokenizer"

# A torn last line of the roster is no damage; the next writer puts the manifest on it again.
fresh quill-1m reed-1m
tare compress quill-1m --yes >/dev/null
tare compress reed-1m --yes >/dev/null
size=$(stat -c %s "$dir/s/roster")
truncate -s $((size - 20)) "$dir/s/roster"
tare verify >"$dir/out" 2>&1 || fail "a torn line is called damage"
tare gc >/dev/null
[ "$(grep -c "^+" "$dir/s/roster")" -eq 4 ] || fail "the torn line was not mended"
# Of what comes and goes the roster keeps no more than a bound.
head -1 "$dir/s/roster" | grep -q '^tare-roster 3$' || fail "the roster has another head"

# With two stores (two file systems), one that fails does not keep the files of the other, and each
# log has what went into its own store alone.
shm=$(mktemp -d /dev/shm/tare-XXXXXX 2>/dev/null || echo "$dir")
if [ "$(stat -c %d "$shm")" != "$(stat -c %d "$dir")" ]; then
	trap 'rm -rf "$dir" "$shm"' EXIT
	fresh quill-1m
	mkdir -p "$shm/m/reed-1m"
	cp "$samples/reed-1m"/* "$shm/m/reed-1m/"
	both() { "$TARE" "$@" --catalog "$dir/c2.db" --quiet; }
	both scan "$dir/m" "$shm/m" >/dev/null
	both compress --all --yes >"$dir/out" 2>&1 || fail "two stores"
	[ -d "$shm/m/.tare" ] && [ -d "$dir/home/.local/share/tare/store" ] || fail "there are no two stores"
	! grep -q reed "$dir/home/.local/share/tare/store/log" || fail "a log counts the other store's models"
	! grep -q quill "$shm/m/.tare/log" || fail "a log counts the other store's models, too"
	both decompress --all --yes >"$dir/out" 2>&1 || fail "back from two stores"
	echo damaged >"$dir/home/.local/share/tare/store/files/00000000000000000000000000000000.json"
	! both compress --all --yes >"$dir/out" 2>&1 || fail "a store that refuses is not told of"
	[ ! -e "$shm/m/reed-1m/model.safetensors" ] || fail "one store that fails kept the files of the other"
fi

# On a network file system originals wait beside their places; they come back by a rename, and go
# when their time is over, unless somebody wrote to them.
if [ -n "${FAULT_LIBRARY:-}" ]; then
	far() { LD_PRELOAD=$FAULT_LIBRARY FAULT_SCOPE=$dir FAULT_LACKS="leases noreplace local" "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --quiet; }
	fresh quill-1m
	path=$(file quill-1m)
	before=$(sum "$path") inode=$(stat -c %i "$path")
	far compress quill-1m --yes >"$dir/out" 2>&1 || fail "compress on a network file system"
	grep -q 'are freed after' "$dir/out" || fail "when it is freed is not said"
	aside=$(ls "$dir"/m/quill-1m/.tare-aside-*) || fail "the original does not wait"
	[ ! -e "$path" ] || fail "the original is in its place"
	far gc >/dev/null || fail "gc"
	[ -e "$aside" ] || fail "the original did not wait"
	far decompress quill-1m --yes >/dev/null || fail "back from aside"
	[ "$(stat -c %i "$path")" = "$inode" ] || fail "it was decoded, although it lay there"
	mkdir -p "$dir/home/.config/tare"
	later() { # the time is over: the manifest says so
		manifest=$(grep -l '"state":"aside"' "$dir"/s/files/*.json)
		sed -n 2p "$manifest" | sed 's/"until":[0-9]*/"until":1/' | tr -d '\n' >"$dir/body"
		{ printf 'tare-manifest 3 %s %s\n' "$(xxhsum -H2 "$dir/body" 2>/dev/null | cut -c1-32)" "$(stat -c %s "$dir/body")"; cat "$dir/body"; echo; } >"$dir/text"
		n=$(stat -c %s "$dir/text")
		{ cat "$dir/text"; head -c $(((n + 4095) / 4096 * 4096 - n)) /dev/zero | tr '\0' '\n'; cat "$dir/text"; } >"$manifest"
	}
	far scan >/dev/null
	far compress quill-1m --yes >/dev/null 2>&1
	later
	aside=$(ls "$dir"/m/quill-1m/.tare-aside-*)
	cp -p "$aside" "$dir/kept"
	printf 'x' | dd of="$aside" bs=1 seek=5000 conv=notrunc 2>/dev/null
	touch -r "$dir/kept" "$aside"
	far gc >/dev/null 2>&1
	far gc >/dev/null 2>&1
	[ -e "$path" ] && [ "$(sum "$path")" != "$before" ] || fail "what was written to a waiting original is lost"
	cp -p "$dir/kept" "$path"
	far scan >/dev/null
	far compress quill-1m --yes >/dev/null 2>&1
	later
	far gc >/dev/null 2>&1 || fail "gc when the time is over"
	[ -z "$(ls -A "$dir/m/quill-1m" | grep aside)" ] || fail "the original waits for ever"
	far decompress quill-1m --yes >/dev/null || fail "back from the store"
	[ "$(sum "$path")" = "$before" ] || fail "other bytes came back"
	far scan >/dev/null
	far compress quill-1m --yes --now >/dev/null 2>&1
	[ -z "$(ls -A "$dir/m/quill-1m" | grep aside)" ] || fail "--now waits"
fi

# A limit on the size of files is told of, and takes nothing.
fresh quill-1m
before=$(sum "$(file quill-1m)")
! (ulimit -f 200 && tare compress quill-1m --yes) >"$dir/out" 2>&1 || fail "a limit on the size of files"
grep -q 'File too large' "$dir/out" || fail "what is in the way is not said"
[ "$(sum "$(file quill-1m)")" = "$before" ] || fail "the file is not what it was"
tare verify >/dev/null || fail "verify after a limit"

# A header that there is no memory for: its file is named and left out, the others are indexed.
if [ -n "${FAULT_LIBRARY:-}" ]; then # sanitizers want all addresses
	fresh quill-1m
	mkdir "$dir/m/huge"
	awk 'BEGIN { printf "{"; for (i = 0; i < 300000; i++) printf "%s\"layers.%d.weight\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i ? "," : "", i, i, i + 1; printf "}" }' >"$dir/header"
	n=$(stat -c %s "$dir/header")
	{ printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $((n & 255)) $((n >> 8 & 255)) $((n >> 16 & 255)) $((n >> 24 & 255)))"; head -c 4 /dev/zero; cat "$dir/header"; head -c 300000 /dev/zero; } >"$dir/m/huge/model.safetensors"
	(ulimit -v 120000 && tare scan --headers) >"$dir/out" 2>&1 || [ $? -eq 1 ] || fail "a header without memory for it ends the program"
	grep -q 'huge/model.safetensors: not enough memory' "$dir/out" || fail "the file is not named"
	tare list | grep -q '^quill-1m' || fail "the others are not indexed"
fi

# An inode flag that would not come back: the file is left alone.
if chattr +d "$(file quill-1m)" 2>/dev/null; then
	! tare compress quill-1m --yes >"$dir/out" 2>&1 || fail "a flag would be lost"
	grep -q 'no dump' "$dir/out" || fail "which flag is in the way is not said"
	chattr -d "$(file quill-1m)"
fi

# A store that was cut off while it was made is no damage.
fresh quill-1m
mkdir -p "$dir/s/files" "$dir/s/held" "$dir/s/objects" "$dir/s/tmp"
: >"$dir/s/lock"
tare verify >"$dir/out" 2>&1 || fail "a store in the making is called damaged"
tare compress quill-1m --yes >/dev/null || fail "a store in the making is not carried on"

# An index that cannot be used is said, instead of "no files".
! "$TARE" compress --all --yes --store "$dir/none" --catalog /proc/none/c.db >"$dir/out" 2>&1 || fail "without an index"
grep -q 'index cannot be used' "$dir/out" || fail "what is wrong with the index is not said"

# A features mask that is not known: incompatible ones refuse, read-only ones refuse to write.
fresh quill-1m
tare compress quill-1m --yes >/dev/null
grep -q '^tare-store 3$' "$dir/s/format" || fail "the store is not of version 3"
feature() { # feature WHICH: the format file with a bit that no program knows
	sed -e "/^check/d" -e "s/^$1 .*/$1 8000/" "$dir/format" >"$dir/s/format"
	printf 'check %s\n' "$(xxhsum -H3 "$dir/s/format" 2>/dev/null | awk '{print $NF}')" >>"$dir/s/format"
}
cp "$dir/s/format" "$dir/format"
feature compatible
tare verify >"$dir/out" 2>&1 || fail "an unknown compatible feature is refused"
feature read-only-compatible
tare verify >"$dir/out" 2>&1 || fail "a store cannot be read for a read-only compatible feature"
! tare gc >"$dir/out" 2>&1 || fail "a store is written to in spite of an unknown feature"
grep -q 'newer tare' "$dir/out" || fail "why it is not written to is not said"
feature incompatible
! tare verify >"$dir/out" 2>&1 || fail "an unknown incompatible feature is read"
grep -q 'newer tare' "$dir/out" || fail "why it is not read is not said"
