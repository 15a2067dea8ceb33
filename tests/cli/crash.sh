#!/bin/sh
# kill -9 at some instant of compress, decompress and gc, over and over: every file comes back.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
rounds=${CRASH_ROUNDS:-50}
fail() { echo "FAILED: $*" >&2; exit 1; }
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --threads 2 --quiet; }
state() { (cd "$dir/m" && find . -type f -printf '%m %T@ %s %p\n' | sort && find . -type f | sort | xargs sha256sum); }
mkdir -p "$dir/m"
cp -r "$TARE_DATA/samples/demo" "$dir/m/demo"
chmod -R u+w "$dir/m"
before=$(state)
tare scan "$dir/m"
# A store is there from the start: on a slow machine no round might come so far as to make one.
tare compress reed-1m --yes --live --keep >/dev/null
i=0
while [ $i -lt "$rounds" ]; do
	i=$((i + 1))
	case $((i % 5)) in
	4) set -- gc ;;
	0) set -- decompress --all --yes ;;
	1) set -- compress --all --yes --live ;;
	2) set -- compress quill-1m-code quill-1m-perl --yes --live --keep ;;
	3) set -- decompress quill-1m --yes ;;
	esac
	"$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --threads 2 --quiet >/dev/null 2>&1 &
	pid=$!
	sleep "$(awk -v i=$i 'BEGIN {srand(i); printf "%.3f", rand() * rand() * 0.3}')"
	kill -9 $pid 2>/dev/null || true
	wait $pid 2>/dev/null || true
done
tare decompress --all --yes >/dev/null || true
tare gc >/dev/null
[ "$before" = "$(state)" ] || { state >"$dir/now"; echo "$before" | diff - "$dir/now" >&2 || true; fail "something is lost or changed"; }
left=$(find "$dir/s/objects" "$dir/s/files" "$dir/s/held" -type f)
[ -z "$left" ] || fail "the store is not empty: $left"
