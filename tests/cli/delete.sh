#!/bin/sh
# Delete: what `hf cache rm` would remove, and nothing that another revision or repository uses.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
mkdir -p "$HOME"
fail() { echo "FAILED: $*" >&2; exit 1; }
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --quiet; }
status() { want=$1; shift; got=0; "$@" >"$dir/out" 2>"$dir/err" || got=$?; [ "$got" -eq "$want" ] || { cat "$dir/err" "$dir/out" >&2; fail "status $got, not $want: $*"; }; }
listing() { (cd "$1" && find . | LC_ALL=C sort); }
a=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
samples=$TARE_DATA/samples/demo

# add REPO COMMIT REF NAME FILE
add() {
	sum=$(sha256sum <"$5" | cut -d' ' -f1)
	mkdir -p "$hub/models--$1/blobs" "$hub/models--$1/refs" "$hub/models--$1/snapshots/$2"
	[ -e "$hub/models--$1/blobs/$sum" ] || cp "$5" "$hub/models--$1/blobs/$sum"
	ln -s "../../blobs/$sum" "$hub/models--$1/snapshots/$2/$4"
	printf %s "$2" >"$hub/models--$1/refs/$3"
}
# Two revisions that share a blob, and another repository with the same bytes.
make_hub() {
	rm -rf "$dir/hub" "$dir/s" "$dir/c.db"*
	hub=$dir/hub
	add org--two $a main model.safetensors "$samples/quill-1m/model.safetensors"
	add org--two $a main README.md "$samples/quill-1m/README.md"
	add org--two $b v2 model.safetensors "$samples/quill-1m/model.safetensors"
	add org--two $b v2 extra.safetensors "$samples/quill-1m-code/model.safetensors"
	add org--ft $a main model.safetensors "$samples/quill-1m-perl/model.safetensors"
	printf -- '---\nbase_model: org/two\n---\n' >"$dir/card"
	add org--ft $a main README.md "$dir/card"
	mkdir -p "$hub/models--org--two/.no_exist/$a" "$hub/.locks/models--org--two"
	tare scan "$hub"
}

# Without --yes and without a terminal nothing is done.
make_hub
before=$(listing "$hub")
status 2 tare delete org/two@v2
grep -q 'frees 1.7M' "$dir/out" || fail "what it frees: $(cat "$dir/out")"
[ "$before" = "$(listing "$hub")" ] || fail "changed without --yes"
status 1 tare delete org/two@v2 --yes --readonly
[ "$before" = "$(listing "$hub")" ] || fail "changed with --readonly"
status 3 tare delete no-such-model --yes

# A revision: its snapshot, its ref, and the blob that only it leads to.
status 0 tare delete org/two@v2 --yes --json
grep -q '"freed":17' "$dir/out" || fail "freed: $(cat "$dir/out")"
gone=$(echo "$before" | grep -v -e "snapshots/$b" -e refs/v2 -e "$(sha256sum <"$samples/quill-1m-code/model.safetensors" | cut -d' ' -f1)")
[ "$gone" = "$(listing "$hub")" ] || { echo "$gone" >"$dir/want"; listing "$hub" | diff "$dir/want" - >&2; fail "not what hf cache rm removes"; }
# The last revision: the repository, but no other one and no lock.
status 0 tare delete org/two --yes
[ ! -e "$hub/models--org--two" ] || fail "the repository is left"
[ -e "$hub/models--org--ft/refs/main" ] && [ -e "$hub/.locks/models--org--two" ] || fail "more than the repository"
tare list >"$dir/out"
if grep -q 'org/two' "$dir/out"; then fail "it is still listed"; fi

# A base that is held: its name goes, its bytes stay for the fine-tune, and the plan says so.
make_hub
before=$(cd "$hub/models--org--ft" && find . -type f -exec sha256sum {} + | sort)
tare compress org/ft --yes >/dev/null
status 2 tare delete org/two org/two@v2
grep -q 'org/ft is stored as a difference from it' "$dir/out" || fail "no word of what stays held: $(cat "$dir/out")"
status 0 tare delete org/two org/two@v2 --yes
[ ! -e "$hub/models--org--two" ] || fail "the repository is left"
status 0 tare verify
status 0 tare decompress org/ft --yes
[ "$before" = "$(cd "$hub/models--org--ft" && find . -type f -exec sha256sum {} + | sort)" ] || fail "the fine-tune is not what it was"
[ -z "$(find "$dir/s/held" -type f)" ] || fail "the base is held although nobody needs it"

# Stored models: one revision of a file that both name, then the other.
make_hub
tare compress org/two org/two@v2 --yes >/dev/null
status 0 tare delete org/two@v2 --yes
status 0 tare verify
status 0 tare decompress org/two --yes
cmp "$hub/models--org--two/snapshots/$a/model.safetensors" "$samples/quill-1m/model.safetensors"
[ ! -e "$hub/models--org--two/snapshots/$b" ] || fail "the revision came back"
tare compress org/two --yes >/dev/null
status 0 tare delete org/two --yes
[ -z "$(find "$dir/s/objects" "$dir/s/files" -type f)" ] || fail "the store still has it"
# A stored base that a stored fine-tune needs.
make_hub
tare compress org/two org/two@v2 org/ft --yes >/dev/null
status 0 tare delete org/two org/two@v2 --yes
status 0 tare decompress org/ft --yes
cmp "$hub/models--org--ft/snapshots/$a/model.safetensors" "$samples/quill-1m-perl/model.safetensors"
# Its folder is gone: state gone, and it can be deleted.
make_hub
tare compress org/ft --yes >/dev/null
rm -rf "$hub/models--org--ft"
tare scan "$hub"
tare list --json | grep -q '"state":"gone"' || fail "not listed as gone"
status 0 tare delete org/ft --yes
[ -z "$(find "$dir/s/files" -type f)" ] || fail "gone, and still stored"

# In use: refused, with the process's name, and nothing is removed.
make_hub
before=$(listing "$hub")
sleep 60 <"$hub/models--org--two/snapshots/$a/model.safetensors" &
pid=$!
status 1 tare delete org/two org/two@v2 --yes
kill $pid
grep -q "sleep, pid $pid" "$dir/err" || fail "the process is not named: $(cat "$dir/err")"
[ "$before" = "$(listing "$hub")" ] || fail "removed something that was in use"

# A store that another one holds, or a plan that does not hold any more: nothing at all is touched.
tare compress org/two@v2 --yes >/dev/null
before=$(listing "$hub")
if command -v flock >/dev/null && flock --help 2>&1 | grep -q fcntl; then
	flock --fcntl "$dir/s/lock" sleep 60 &
	pid=$!
	sleep 0.5
	status 1 tare delete org/two@v2 --yes
	grep -q 'in use by another tare' "$dir/err" || fail "no word of the lock: $(cat "$dir/err")"
	[ "$before" = "$(listing "$hub")" ] || fail "removed something although the store is locked"
	kill $pid
fi
# A revision that stays, with links of another kind to the same blobs.
make_hub
for link in "$hub/models--org--two/snapshots/$b"/*; do ln -sfn "$(readlink -f "$link")" "$link"; done
before=$(listing "$hub")
tare scan "$hub" 2>/dev/null || true
status 1 tare delete org/two --yes
grep -q 'cannot be followed' "$dir/err" || fail "no word of the links: $(cat "$dir/err")"
[ "$before" = "$(listing "$hub")" ] || fail "removed blobs that a revision leads to"
# A folder of somebody else does not become a store.
mkdir -p "$dir/proj/tmp"
echo precious >"$dir/proj/tmp/file"
status 1 "$TARE" compress org/ft --yes --keep --catalog "$dir/c.db" --store "$dir/proj"
[ "$(listing "$dir/proj")" = "$(printf '.\n./tmp\n./tmp/file')" ] || fail "made a store of a folder: $(listing "$dir/proj")"

# A plain folder: weights, what only describes them, and the folder; other files stay.
mkdir -p "$dir/m/one" "$dir/m/two"
cp "$samples/quill-1m/model.safetensors" "$samples/quill-1m/config.json" "$dir/m/one"
cp "$samples/quill-1m-code/model.safetensors" "$samples/quill-1m-code/config.json" "$dir/m/two"
echo mine >"$dir/m/two/notes.txt"
tare scan "$dir/m"
status 0 tare delete one --yes
[ ! -e "$dir/m/one" ] && [ -e "$dir/m/two/model.safetensors" ] || fail "the folder of one"
status 2 tare delete two
grep -q '1 other file' "$dir/out" || fail "no word of the file that stays"
status 0 tare delete two --yes
[ "$(listing "$dir/m")" = "$(printf '.\n./two\n./two/notes.txt')" ] || fail "two: $(listing "$dir/m")"

# Checkpoints of one revision go together or not at all.
hub=$dir/hub2
for n in 40 80; do
	sum=$(sha256sum <"$samples/quill-run/checkpoint-$n/model.safetensors" | cut -d' ' -f1)
	mkdir -p "$hub/models--org--run/blobs" "$hub/models--org--run/snapshots/$a/checkpoint-$n"
	cp "$samples/quill-run/checkpoint-$n/model.safetensors" "$hub/models--org--run/blobs/$sum"
	ln -s "../../../blobs/$sum" "$hub/models--org--run/snapshots/$a/checkpoint-$n/model.safetensors"
done
tare scan "$hub"
status 1 tare delete org/run/checkpoint-40 --yes
grep -q 'goes as a whole' "$dir/err" || fail "no reason"
[ -e "$hub/models--org--run/snapshots/$a/checkpoint-40/model.safetensors" ] || fail "half a revision went"
status 0 tare delete org/run/checkpoint-40 org/run/checkpoint-80 --yes
[ ! -e "$hub/models--org--run" ] || fail "the run is left"
