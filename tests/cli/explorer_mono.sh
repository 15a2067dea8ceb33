#!/bin/sh
# The same session with NO_COLOR.
exec "$srcdir/tests/cli/explorer.sh" 1
