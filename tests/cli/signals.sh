#!/bin/sh
# Signals and a hang-up: the file in flight is finished or taken back, the queue is kept, and
# tare jobs --resume does what is left. From the command line, and from the explorer in tmux.
set -eu
dir=$(mktemp -d)
socket=$dir/tmux
cleanup() { tmux -S "$socket" kill-server 2>/dev/null || true; rm -rf "$dir"; }
trap cleanup EXIT
export HOME="$dir/home" TMPDIR="$dir" LC_ALL=C.UTF-8
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID TMUX 2>/dev/null || true
mkdir -p "$HOME" "$dir/m"
fail() { echo "FAILED: $*" >&2; exit 1; }
tare() { "$TARE" "$@" --catalog "$dir/c.db" --store "$dir/s" --threads 1 --quiet; }
state() { (cd "$dir/m" && find . -type f -printf '%m %T@ %s %p\n' | sort && find . -type f | sort | xargs sha256sum); }
for n in 1 2 3; do cp -r "$TARE_DATA/samples/demo" "$dir/m/demo$n"; done
chmod -R u+w "$dir/m"
before=$(state)
tare scan "$dir/m"
tare jobs | grep -q 'nothing is left' || fail "a queue out of nowhere"

interrupted=0
for signal in HUP TERM INT; do
	for pause in 0.15 0.3 0.5 0.8 1.2; do
		# A shell's background jobs ignore INT: ask for the default again.
		env --default-signal=INT "$TARE" compress --all --yes --live --catalog "$dir/c.db" --store "$dir/s" --threads 1 --quiet >"$dir/out" 2>&1 &
		pid=$!
		sleep $pause
		kill -$signal $pid 2>/dev/null || true
		status=0
		wait $pid || status=$?
		[ $status -eq 0 ] || [ $status -eq 130 ] || { cat "$dir/out"; fail "$signal: status $status"; }
		[ -z "$(find "$dir/m" -name '.tare-*')" ] || fail "$signal: a file is left half way"
		if [ $status -eq 130 ] && ! tare jobs | grep -q nothing; then
			interrupted=$((interrupted + 1))
			grep -q 'tare jobs --resume' "$dir/out" || fail "$signal: no word of how to go on"
			tare jobs --json | grep -q '"state":"interrupted"' || fail "$signal: not on the queue"
			tare jobs --resume >/dev/null || fail "$signal: resume"
			tare jobs | grep -q 'nothing is left' || fail "$signal: resumed, and still on the queue"
			tare list --json | grep -q '"state":"plain"' && fail "$signal: resume left something"
		fi
		tare decompress --all --yes >/dev/null || true
		tare jobs --clear
		[ "$before" = "$(state)" ] || fail "$signal: not the same files"
	done
done
[ $interrupted -gt 0 ] || fail "no signal came while it worked"

# The explorer is hung up while it compresses.
command -v tmux >/dev/null || exit 0
export ASAN_OPTIONS=detect_leaks=0 # see tmux.sh
tmux -S "$socket" -f /dev/null new-session -d -x 100 -y 30 "'$TARE' --catalog '$dir/c.db' --store '$dir/s' --threads 1 '$dir/m'"
see() { n=0; until tmux -S "$socket" capture-pane -p | grep -qF -- "$1"; do n=$((n + 1)); [ $n -lt 300 ] || fail "no '$1'"; sleep 0.1; done; }
see '24 models'
see 'can be freed'
tmux -S "$socket" send-keys a c
see '[ Cancel ]'
tmux -S "$socket" send-keys y
sleep 0.3
pid=$(tmux -S "$socket" list-panes -F '#{pane_pid}')
tmux -S "$socket" kill-session
n=0
while kill -0 "$pid" 2>/dev/null; do n=$((n + 1)); [ $n -lt 300 ] || fail "it does not end"; sleep 0.1; done
[ -z "$(find "$dir/m" -name '.tare-*')" ] || fail "hung up: a file is left half way"
if tare jobs --json | grep -q interrupted; then
	tare jobs --resume >/dev/null || fail "hung up: resume"
fi
tare decompress --all --yes >/dev/null || true
[ "$before" = "$(state)" ] || fail "hung up: not the same files"
