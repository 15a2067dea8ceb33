#!/bin/sh
# What differs between the samples, and what they have more than once.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --quiet; }
fail() { echo "FAILED: $*" >&2; cat "$dir/out" >&2; exit 1; }
has() { grep -E -- "$1" "$dir/out" >/dev/null || fail "no line $1"; }

mkdir "$dir/m"
cp -r "$TARE_DATA/samples/demo" "$dir/m/demo"
chmod -R u+w "$dir/m"
cp "$dir/m/demo/reed-1m/model.safetensors" "$dir/m/copy.safetensors"
tare scan "$dir/m"

# Frozen when it was trained: layers 0 and 1, the embeddings, the final norm.
tare delta demo/quill-1m-perl demo/quill-1m >"$dir/out"
has '^demo/quill-1m-perl against demo/quill-1m$'
has '^857216 elements: 51\.01% unchanged'
has '^0 +100\.00% +0\.00 '
has '^1 +100\.00% +0\.00 '
has '^2 +1\.96% '
has '^embed_tokens +100\.00%'
has '^norm +100\.00%'
has '^lm_head +3\.35%'
tare delta demo/quill-1m-perl --json >"$dir/json"
tr '{' '\n' <"$dir/json" >"$dir/out"
frozen=$(grep -c '"unchanged":1.0,"bit_distance":0.0' "$dir/out")
[ "$frozen" -ge 20 ] || fail "$frozen tensors unchanged"
grep -E '"layer":[01],' "$dir/out" | grep -v '"unchanged":1\.0,' >"$dir/err" && fail "a change in a frozen layer"

# The same from the store, and back.
tare compress demo/quill-1m demo/quill-1m-perl --yes >/dev/null
other() { "$TARE" "$@" --catalog "$dir/other.db" --store "$dir/s" --quiet; }
other scan "$dir/m"
other delta demo/quill-1m-perl demo/quill-1m --json >"$dir/out"
cmp -s "$dir/json" "$dir/out" || fail "another difference when they are stored"
other delta demo/quill-1m-perl demo/quill-1m --json >"$dir/out"
cmp -s "$dir/json" "$dir/out" || fail "another difference when it is remembered"
tare decompress --all --yes >/dev/null
status=0
tare delta demo/quill-1m >"$dir/out" 2>&1 || status=$?
[ "$status" -eq 2 ] || fail "a model without a parent: exit status $status"
status=0
tare delta demo/reed-1m "$dir/m/copy.safetensors" >"$dir/out" || status=$?
[ "$status" -eq 0 ] || fail "a copy: exit status $status"
has '^857216 elements: 100\.00% unchanged'

# The copy is a file, the frozen layers are tensors.
tare duplicates --files >"$dir/out"
has '1\.7M wasted: 2 files'
has 'copy\.safetensors$'
[ "$(grep -c wasted: "$dir/out")" -eq 1 ] || fail "not one pair of files"
tare duplicates --json >"$dir/out"
wasted=$(sed -n 's/.*"wasted":\([0-9]*\)}$/\1/p' "$dir/out")
sum=$(grep -o '"wasted":[0-9]*,' "$dir/out" | tr -dc '0-9\n' | awk '{n += $1} END {print n + 0}')
[ "$wasted" -eq "$sum" ] || fail "$wasted wasted, $sum in groups"

# The sums of a report are those of the list.
tare report --by family --format csv >"$dir/out"
has '^family,models,size,disk,stored,frees$'
has '^"demo/quill-1m",7,'
size=$(awk -F, 'NR > 1 {n += $3} END {print n}' "$dir/out")
tare report --by dtype --json >"$dir/out"
has "\"total\":\{\"models\":9,\"size\":$size,"
tare report --by owner --format markdown >"$dir/out"
has '^\| together \| +9 \|'
status=0
tare report --by colour >"$dir/out" 2>&1 || status=$?
[ "$status" -eq 2 ] || fail "--by colour: exit status $status"
