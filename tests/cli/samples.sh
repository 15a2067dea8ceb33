#!/bin/sh
# The samples as a hub cache: everything is compressed and given back; what the plan said is what
# df-visible bytes show, within 5 % of the raw size.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --quiet; }
fail() { echo "FAILED: $*" >&2; exit 1; }
state() { (cd "$dir/hub" && find . -printf '%y %m %T@ %s %p -> %l\n' | grep -v '^d' | sort && find . -type f | sort | xargs sha256sum); }
weight() { find "$dir/hub" "$dir/s" -type f -printf '%i %b\n' 2>/dev/null | sort -u | awk '{n += $2 * 512} END {print n}'; }
number() { sed -n "s/.*\"$1\":\(-\{0,1\}[0-9]*\).*/\1/p" "$2"; }

mkdir -p "$dir/hub"
for model in "$TARE_DATA"/samples/demo/*; do
	repo=models--demo--$(basename "$model")
	snapshot=$dir/hub/$repo/snapshots/0123456789012345678901234567890123456789
	mkdir -p "$dir/hub/$repo/blobs" "$dir/hub/$repo/refs"
	printf 0123456789012345678901234567890123456789 >"$dir/hub/$repo/refs/main"
	(cd "$model" && find . -type f) | while read -r file; do
		sum=$(sha256sum <"$model/$file" | cut -d' ' -f1)
		mkdir -p "$snapshot/$(dirname "$file")"
		cp "$model/$file" "$dir/hub/$repo/blobs/$sum"
		case $file in
		./*/*) ln -s "../../../blobs/$sum" "$snapshot/$file" ;;
		*) ln -s "../../blobs/$sum" "$snapshot/$file" ;;
		esac
	done
done
before=$(state)
read_before=$(find "$dir/hub" -type f -printf '%A@ %p\n' | sort)
tare scan "$dir/hub"
[ "$read_before" = "$(find "$dir/hub" -type f -printf '%A@ %p\n' | sort)" ] || fail "indexing moved access times"

# One fine-tune alone: its base is held by link, and what the plan says is true.
raw=$(find "$dir/hub" -type f -size +100k -printf '%s\n' | awk '{n += $1} END {print n}')
one=$(stat -Lc %s "$dir"/hub/models--demo--quill-1m-code/snapshots/*/model.safetensors)
tare plan demo/quill-1m-code --json >"$dir/plan"
grep -q '"base_how":"held"' "$dir/plan" || fail "the base is not held"
frees=$(number frees "$dir/plan")
[ "$frees" -gt 0 ] || fail "frees $frees"
was=$(weight)
tare compress demo/quill-1m-code --yes >/dev/null
now=$(weight)
off=$((was - now - frees))
[ "${off#-}" -le $((one / 20)) ] || fail "one: plan said $frees, it was $((was - now))"
[ -z "$(find "$dir/hub" -xtype l)" ] || fail "a dangling link"
tare decompress demo/quill-1m-code --yes >/dev/null
[ "$before" = "$(state)" ] || fail "one: not the same"

# All.
tare plan --all --json >"$dir/plan"
frees=$(number frees "$dir/plan")
was=$(weight)
tare compress --all --yes >/dev/null
now=$(weight)
off=$((was - now - frees))
[ "${off#-}" -le $((raw / 20)) ] || fail "all: plan said $frees, it was $((was - now)), raw $raw"
[ -z "$(find "$dir/hub" -xtype l)" ] || fail "a dangling link"
tare verify >/dev/null
tare decompress demo/quill-1m-perl --to "$dir/copy" >/dev/null
cmp "$dir/copy/demo/quill-1m-perl/model.safetensors" "$TARE_DATA/samples/demo/quill-1m-perl/model.safetensors"
tare decompress --all --yes >/dev/null
[ "$before" = "$(state)" ] || fail "all: not the same"
[ -z "$(find "$dir/s/objects" "$dir/s/files" "$dir/s/held" -type f)" ] || fail "the store is not empty"
