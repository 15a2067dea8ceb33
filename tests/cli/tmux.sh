# shellcheck shell=sh
# A terminal to drive the explorer in: a folder of its own, and what to do with the screen. Sourced
# by tests.
command -v tmux >/dev/null || exit 77
dir=$(mktemp -d)
socket=$dir/tmux
cleanup() {
	tmux -S "$socket" kill-server 2>/dev/null || true
	rm -rf "$dir" 2>/dev/null || { sleep 1; rm -rf "$dir"; }
}
trap cleanup EXIT
export TMPDIR="$dir" HOME="$dir" LC_ALL=C.UTF-8
unset XDG_CACHE_HOME XDG_DATA_HOME XDG_STATE_HOME HF_HOME HF_HUB_CACHE SUDO_UID TMUX NO_COLOR 2>/dev/null || true
# A terminal that goes sends HUP and CONT: under CONT the leak checker waits for ever, and spins.
export ASAN_OPTIONS=detect_leaks=0
screen() { tmux -S "$socket" capture-pane -p "$@"; }
fail() { echo "FAILED: $*" >&2; screen >&2 || true; exit 1; }
# Waits for a text on the screen, or for its end, at most 30 s.
see() {
	n=0
	until screen | grep -qF -- "$1"; do
		n=$((n + 1))
		[ $n -lt 300 ] || fail "no '$1' on the screen"
		sleep 0.1
	done
}
gone() {
	n=0
	while screen | grep -qF -- "$1"; do
		n=$((n + 1))
		[ $n -lt 300 ] || fail "'$1' stays on the screen"
		sleep 0.1
	done
}
key() { tmux -S "$socket" send-keys "$@"; sleep 0.1; }
start() { tmux -S "$socket" -f /dev/null new-session -d -x 80 -y 24 "$@"; }
stop() { tmux -S "$socket" kill-server; sleep 0.2; }
