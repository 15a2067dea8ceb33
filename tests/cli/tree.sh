#!/bin/sh
# Families by the bits alone: the samples without their cards; and a card that is not true.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --quiet; }
fail() { echo "FAILED: $*" >&2; cat "$dir/out" >&2; exit 1; }
has() { grep -F -- "$1" "$dir/out" >/dev/null || fail "no line $1"; }

mkdir "$dir/m"
cp -r "$TARE_DATA/samples/demo" "$dir/m/demo"
chmod -R u+w "$dir/m"
find "$dir/m" -name README.md -exec rm {} +
tare scan "$dir/m"
LC_ALL=C tare tree | sed -E 's/ +differs.*//; s/ +[0-9]+ members.*/ (root)/; s/ +frees.*/ (alone)/;
	s/ +(finetune|merge|checkpoint)$/ \1/' >"$dir/out"
cat >"$dir/want" <<'T'
demo/quill-1m (root)
|- demo/quill-1m-code finetune
|- demo/quill-1m-perl finetune
|  `- demo/quill-1m-merge merge
`- demo/quill-run/checkpoint-40 checkpoint
   |- demo/quill-run/checkpoint-80 checkpoint
   `- demo/quill-run/checkpoint-120 checkpoint
demo/reed-1m (alone)
T
diff "$dir/want" "$dir/out" >&2 || fail "another tree"
LC_ALL=C tare tree >"$dir/out"
has 'bits  and demo/quill-1m-code'

# What was found is what the plan builds on.
tare plan --all --live >"$dir/out"
has 'delta against demo/quill-run/checkpoint-80 (included)'
[ "$(grep -c 'delta against' "$dir/out")" -eq 6 ] || fail "not six deltas"

# It is known still when they are compressed, after another scan, and when they are back.
shape() { LC_ALL=C tare tree | sed -E 's/ +differs.*//; s/ +[0-9]+ members.*//; s/ +frees.*//; s/ +(finetune|merge|checkpoint)$/ \1/; s/ +$//'; }
shape >"$dir/want"
tare compress --all --yes --live >/dev/null
tare scan "$dir/m"
shape >"$dir/out"
diff "$dir/want" "$dir/out" >&2 || fail "compressed: another tree"
tare decompress --all --yes >/dev/null
tare scan "$dir/m"
shape >"$dir/out"
diff "$dir/want" "$dir/out" >&2 || fail "given back: another tree"

# A card that names somebody else: told, and not used. What merges name are no bases.
printf -- '---\nbase_model: demo/reed-1m\n---\n' >"$dir/m/demo/quill-1m-code/README.md"
cp "$TARE_DATA/samples/demo/quill-1m-merge/README.md" "$dir/m/demo/quill-1m-merge/README.md"
tare scan "$dir/m"
LC_ALL=C tare tree >"$dir/out"
grep '^demo/quill-1m  .* 7 members' "$dir/out" >/dev/null || fail "another root"
has 'claims demo/reed-1m: the bits say no'
tare tree --json >"$dir/out"
has '"contradicted":true'
has '"bit_distance":'
tare list --json >"$dir/out"
base=$(sed -n 's/.*"id":"\([0-9a-f]*\)","name":"demo\/quill-1m",.*/\1/p' "$dir/out")
code=$(tr '{' '\n' <"$dir/out" | sed -n '/"name":"demo\/quill-1m-code"/,/"base"/s/.*"base":"\([0-9a-f]*\)".*/\1/p' | head -1)
[ -n "$base" ] && [ "$base" = "$code" ] || fail "base $code, not $base"

# A GGUF file says what it was converted from: it hangs there, and its claim is shown.
mkdir "$dir/g"
cp -r "$TARE_DATA/samples/demo/quill-1m" "$dir/g/quill-1m"
mkdir "$dir/g/quill-1m-gguf"
text() { printf "\\$(printf %o "${#1}")\0\0\0\0\0\0\0%s" "$1"; }
{
	printf 'GGUF\003\0\0\0\0\0\0\0\0\0\0\0\001\0\0\0\0\0\0\0'
	text general.base_model.0.repo_url
	printf '\010\0\0\0'
	text https://huggingface.co/acme/quill-1m
	head -c 5000 /dev/zero
} >"$dir/g/quill-1m-gguf/quill.q8_0.gguf"
"$TARE" scan "$dir/g" --catalog "$dir/g.db" --quiet
LC_ALL=C "$TARE" tree --catalog "$dir/g.db" >"$dir/out"
has '`- quill-1m-gguf'
has 'quantized'
has 'gguf'
