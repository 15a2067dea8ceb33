#!/bin/sh
# The screens in the documents are what the explorer shows.
set -eu
exec "$builddir/tests/ui/paint" --check "$srcdir/README.md" "$srcdir/docs/explorer.md"
