#!/bin/sh
# The command line: JSON with its fields, exit statuses, errors in one line, read-only.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home" TMPDIR="$dir"
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
mkdir -p "$HOME" "$dir/m"
cp -r "$TARE_DATA/samples/demo" "$dir/m/demo"
chmod -R u+w "$dir/m"
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
status() { want=$1; shift; got=0; "$@" >"$dir/out" 2>"$dir/err" || got=$?; [ "$got" -eq "$want" ] || { cat "$dir/err" "$dir/out" >&2; fail "status $got, not $want: $*"; }; }
has() { for field; do grep -q "\"$field\":" "$dir/out" || fail "no field $field in $(head -c 300 "$dir/out")"; done; }

status 0 tare scan "$dir/m" --json
has roots path source models files tensors size disk seconds errors
status 0 tare list --json
has models id name source path revision formats dtypes files tensors parameters size disk unique frees stored state base modified read flags totals
status 0 tare show demo/quill-1m-code --json
has files sha256 tensors dtype shape bytes claims kind target detail
grep -q '"target":"demo/quill-1m"' "$dir/out" || fail "the claim of the card"
status 0 tare plan quill-1m-code --json
has models estimated base base_how files action reason base_bytes frees needed free seconds

# Without a terminal and without --yes nothing is done.
before=$(find "$dir/m" -type f | xargs sha256sum | sort)
status 2 tare compress quill-1m
[ "$before" = "$(find "$dir/m" -type f | xargs sha256sum | sort)" ] || fail "changed without --yes"
status 1 tare compress quill-1m --yes --readonly
[ ! -e "$dir/s" ] || fail "--readonly made a store"

status 0 tare compress --all --yes --live --json
has models id size stored freed files seconds state error
[ -z "$(find "$dir/m" -name '*.safetensors')" ] || fail "originals are left"
status 0 tare verify --json
has objects bytes damaged
status 0 tare gc --dry-run --json
has objects bytes dry_run
status 0 tare log --json
has entries time what before after result
status 0 tare doctor --json
has version libraries roots stores problems
rm "$dir/c.db"*
status 0 tare scan "$dir/m"
status 0 tare decompress --all --yes --json
[ "$before" = "$(find "$dir/m" -type f | xargs sha256sum | sort)" ] || fail "not the same files"

# bench
status 0 tare bench "$dir/m/demo/quill-1m-code/model.safetensors" --base "$dir/m/demo/quill-1m/model.safetensors" --json
has file base results codec raw stored ratio encode_gbps decode_gbps threads
for codec in raw zstd bitx delta planes; do grep -q "\"codec\":\"$codec\"" "$dir/out" || fail "bench without $codec"; done

# Wrong usage and unknown models.
status 2 tare list --yes
status 2 tare nonsense
status 2 tare plan
status 2 tare list --sort weight
status 3 tare show no-such-model
status 0 "$TARE" help
status 0 "$TARE" help compress
status 0 "$TARE" --version
status 0 "$TARE" version
status 2 "$TARE" --nonsense
status 1 "$TARE" bench "$dir/nothing" --catalog "$dir/c.db"

# Foreign bytes are never printed as they are; one line names file and reason; the rest goes on.
mkdir -p "$dir/bad"
esc=$(printf '\033')
printf '<!DOCTYPE html>' >"$dir/bad/a${esc}[31mb.safetensors"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 99\n' 7 >"$dir/bad/p.safetensors"
cp "$dir/m/demo/reed-1m/model.safetensors" "$dir/bad/good.safetensors"
head -c 1000 "$dir/m/demo/reed-1m/model.safetensors" >"$dir/bad/cut.safetensors"
mkfifo "$dir/bad/pipe.safetensors"
status 1 tare scan "$dir/bad"
[ "$(wc -l <"$dir/err")" -eq 4 ] || { cat "$dir/err"; fail "four problems, a line each"; }
grep -q 'cut.safetensors: truncated' "$dir/err" || fail "truncated"
grep -q 'LFS pointer' "$dir/err" || fail "pointer"
grep -q 'web page' "$dir/err" || fail "page"
status 0 tare list
if cat "$dir/out" "$dir/err" | LC_ALL=C grep -q "$esc"; then fail "an escape sequence came through"; fi
grep -q 'good.safetensors' "$dir/out" || fail "the good one is listed"

# The configuration names roots and stores.
mkdir -p "$HOME/.config/tare" "$dir/conf"
cp "$dir/m/demo/reed-1m/model.safetensors" "$dir/conf/only.safetensors"
printf '# places\nroot = %s\nstore = ~/own\nnonsense\n' "$dir/conf" >"$HOME/.config/tare/config"
status 0 "$TARE" scan --catalog "$dir/c2.db"
grep -q 'not understood: nonsense' "$dir/err" || fail "the odd line is told"
status 0 "$TARE" compress only.safetensors --yes --catalog "$dir/c2.db"
[ -f "$HOME/own/format" ] || fail "the configured store is used"
status 0 "$TARE" decompress only.safetensors --yes --catalog "$dir/c2.db"
cmp "$dir/conf/only.safetensors" "$dir/m/demo/reed-1m/model.safetensors"

# A terminal that cannot place text.
status 1 env TERM=dumb "$TARE" --catalog "$dir/c.db"

# Words for shells, and pages of help.
for shell in bash zsh fish; do
	"$TARE" completion $shell >"$dir/out"
	for command in scan list tree duplicates delta report optimize verify; do
		grep -w -- "$command" "$dir/out" >/dev/null || fail "$shell completes no $command"
	done
	grep -e '--include-base\|-l include-base' "$dir/out" >/dev/null || fail "$shell: no --include-base"
done
"$TARE" completion bash | bash -n || fail 'the bash completion is no bash'
for topic in families deltas store safety; do
	"$TARE" help $topic >"$dir/out"
	[ "$(wc -l <"$dir/out")" -gt 8 ] || fail "no page on $topic"
done
