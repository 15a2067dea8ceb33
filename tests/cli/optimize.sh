#!/bin/sh
# What is stored is planned anew when better bases have come; and it may be killed at any moment.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME="$dir/home"
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID 2>/dev/null || true
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --quiet; }
fail() { echo "FAILED: $*" >&2; cat "$dir/out" >&2; exit 1; }
has() { grep -F -- "$1" "$dir/out" >/dev/null || fail "no line $1"; }
stored() { find "$dir/s/objects" -type f -printf '%s\n' | awk '{n += $1} END {print n + 0}'; }

mkdir "$dir/m"
cp -r "$TARE_DATA/samples/demo" "$dir/m/demo"
chmod -R u+w "$dir/m"
(cd "$dir/m" && find . -type f -exec sha256sum {} + | sort) >"$dir/before"

# Two fine-tunes come first, and what they come from comes later.
begin() {
	tare scan "$dir/m"
	tare compress demo/quill-1m-code demo/quill-1m-merge --yes
	tare compress demo/quill-1m demo/quill-1m-perl demo/quill-run/checkpoint-40 \
		demo/quill-run/checkpoint-80 demo/quill-run/checkpoint-120 --yes --live
} >"$dir/out"
begin
before=$(stored)
status=0
tare optimize >"$dir/out" 2>"$dir/err" </dev/null || status=$?
[ "$status" -eq 2 ] || fail "without --yes: exit status $status"
has 'demo/quill-1m-code: against demo/quill-run/checkpoint-80 (now nothing: standalone)'
[ "$(stored)" -eq "$before" ] || fail "it worked without --yes"
tare optimize --yes >"$dir/out"
after=$(stored)
[ "$after" -lt $((before * 95 / 100)) ] || fail "$before -> $after bytes"
tare verify >"$dir/out" || fail "verify"
tare optimize >"$dir/out" </dev/null
has 'Nothing would become smaller'

# Nothing is lost, whenever it is killed: the rest is on the queue.
same() {
	tare verify >"$dir/out" || fail "$1: verify"
	tare decompress --all --yes >"$dir/out" || fail "$1: decompress"
	(cd "$dir/m" && find . -type f -exec sha256sum {} + | sort) >"$dir/now"
	diff "$dir/before" "$dir/now" >&2 || fail "$1: another file"
}
same 'optimized'
for delay in 0.02 0.05 0.1 0.2 0.4; do
	begin
	"$TARE" optimize --yes --catalog "$dir/c.db" --store "$dir/s" --quiet >"$dir/out" 2>&1 &
	pid=$!
	sleep "$delay"
	kill -9 "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	tare jobs --resume >"$dir/out" 2>&1 || fail resume
	same "killed after $delay"
done
