#!/bin/sh
# The explorer in a real terminal (tmux): filter, mark two, plan, compress, watch, bring back,
# quit. The expected lines were written by hand from the product's design.
set -eu
command -v tmux >/dev/null || exit 77
dir=$(mktemp -d)
socket=$dir/tmux
cleanup() { tmux -S "$socket" kill-server 2>/dev/null || true; rm -rf "$dir"; }
trap cleanup EXIT
export TMPDIR="$dir" HOME="$dir" LC_ALL=C.UTF-8
unset XDG_CACHE_HOME XDG_DATA_HOME HF_HOME HF_HUB_CACHE SUDO_UID TMUX 2>/dev/null || true
screen() { tmux -S "$socket" capture-pane -p; }
fail() { echo "FAILED: $*" >&2; screen >&2 || true; exit 1; }
# Waits for a text on the screen, at most 30 s.
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

tmux -S "$socket" -f /dev/null new-session -d -x 80 -y 24 "NO_COLOR=${1:-} '$TARE' --demo; echo status \$?; cat"
see ' tare  8 models'
see '[1 Models]'
see '   NAME                      SOURCE  DTYPE    SIZE   DISK  FREES  READ  FLAGS'
see 'demo/quill-run  3 ckpts'
see 'can be freed'
see 'sorted by FREES'
see ' c compress  x decompress'
see '? help  q quit'
key 2
see '[2 Families]'
see '   FAMILY                         RELATION     BITS KNOWN BY    FREES    ALL'
see '└─ quill-1m-merge'
see 'merge      2.'
key g; key t; see '7 marked: frees about'
key t; key h; see '+ demo/quill-1m'
gone 'quill-1m-merge'
key Enter; see 'quill-1m-merge'
key 1; see '[1 Models]'; key g
key / ; key -l 'quill-1m-'; see 'filter: quill-1m-'
gone 'reed-1m'
key Enter
key g; key Space; key Space
see '2 marked: frees about'
key c
see 'Compress 2 models   store'
see 'delta against'
see 'held by link'
see 'frees about'
see 'until then: offline loads fail'
see '[ Cancel ]'
key y
see 'packed'
key 5
see 'compress 2 models'
see 'done'
key 1; key Escape
key a; key x
gone 'packed'
key '?'
see 'give the files back, byte for byte'
key Escape
tmux -S "$socket" resize-window -x 20 -y 5
see 'too small'
tmux -S "$socket" resize-window -x 160 -y 48
see 'revision'
key q
see 'status 0'
[ -z "$(find "$dir" -name 'tare-demo-*')" ] || fail "the demo left something behind"
