#!/bin/sh
# Kinds of terminals, with and without colours; suspending and coming back; strange names.
set -eu
. "$srcdir/tests/cli/tmux.sh"

mkdir -p "$dir/m/模型-é" "$dir/m/plain"
for d in "$dir/m/模型-é" "$dir/m/plain"; do
	cp "$TARE_DATA/samples/demo/quill-1m/model.safetensors" "$dir/m/plain/../tmp.safetensors"
	mv "$dir/m/tmp.safetensors" "$d/model.safetensors"
	echo '{}' >"$d/config.json"
done

# A colour is 3x, 9x or 38;5;x; attributes are others.
colours() { screen -e | grep -cE "$(printf '\033')\\[[0-9;]*(3[0-7]|4[0-7]|38;5)[0-9;]*m" || true; }
for term in xterm-256color screen tmux linux vt100; do
	infocmp "$term" >/dev/null 2>&1 || continue
	leaks=1
	[ "$term" != linux ] || leaks=0 # there ncurses loads libgpm, which leaks a few bytes
	start "ASAN_OPTIONS=detect_leaks=$leaks TERM=$term '$TARE' '$dir/m'; echo status \$?; cat"
	see '[1 Models]'
	see 'plain'
	[ "$term" = vt100 ] || [ "$(colours)" -gt 0 ] || fail "$term: no colours"
	key 2; see '[2 Families]'
	key 4; see '[4 Delta]'
	key '?'; see 'Help'
	key Escape; key q
	see 'status 0'
	stop
done
start "NO_COLOR=1 TERM=xterm-256color '$TARE' '$dir/m'; cat"
see '[1 Models]'
[ "$(colours)" -eq 0 ] || fail "colours in spite of NO_COLOR"
screen -e | grep -q "$(printf '\033')\\[[0-9;]*7m" || fail "the cursor is not reversed"
stop

# Without a terminal that can place text: the reason, and the way out.
start "TERM=dumb '$TARE' '$dir/m'; echo status \$?; cat"
see 'tare help names the commands'
see 'status 1'
stop

# Wide characters and combining marks keep the columns.
start "'$TARE' '$dir/m'; cat"
see '模型-é'
see ' dir     BF16'
[ "$(screen | grep -c '^.\{3\}.* dir     BF16     1.7M')" -eq 2 ] || fail "columns are shifted"
stop

# Ctrl-Z and back, in a shell with jobs.
start "env PS1='shell> ' bash --norc -i"
see 'shell>'
key "'$TARE' '$dir/m'" Enter
see '[1 Models]'
key C-z
see 'Stopped'
key 'fg' Enter
see '[1 Models]'
key j; key q
gone '[1 Models]'
