#!/bin/sh
# The explorer in a real terminal (tmux): filter, mark two, plan, compress, watch, bring back,
# quit. The expected lines were written by hand from the product's design.
set -eu
. "$srcdir/tests/cli/tmux.sh"

start "NO_COLOR=${1:-} '$TARE' --demo; echo status \$?; cat"
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
key g; key / ; key -l 'm-perl'; key Enter; key g; key Enter
see '[tensors] largest'
key f; see '[largest]'
key Enter; see 'the same content stands in'
key Escape; key f; key f
see 'finetune     demo/quill-1m'
key f; see 'nothing was done with it yet'
key Escape; key d
see 'demo/quill-1m-perl against demo/quill-1m'
see '51.0% unchanged'
key m; see 'bits that differ: 0 to '
key 3; see '[3 Duplicates]'
key 1; key Escape; gone 'filter:'
key o; see 'What can be freed, by doing what'
key Escape
key e; see 'write what is shown to'
key C-u; key -l "$dir/out.json"; key Enter
see 'written: '
grep -q '"name":"demo/quill-1m-perl"' "$dir/out.json" || fail 'not written'
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
