#!/bin/sh
# libFuzzer with ASan and UBSan on every target: fuzz.sh SECONDS, from the build folder.
set -eu
seconds=${1:-60}
command -v clang >/dev/null || { echo "fuzzing needs clang"; exit 1; }
top=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
libs=$(pkg-config --cflags --libs libzstd sqlite3 libxxhash jansson yaml-0.1 libcrypto)
for target in $(sed -n 's/^    {"\([a-z]*\)", run_.*/\1/p; s/.* {"\([a-z]*\)", run_.*/\1/p' "$top/tests/fuzz/targets.c" | sort -u); do
	cat >"fuzz_$target.c" <<-C
		#include "tests/fuzz/targets.h"
		#include <string.h>
		int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
		int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
		{
		    for (size_t i = 0; i < fuzz_target_count; i++)
		        if (strcmp(fuzz_targets[i].name, "$target") == 0)
		            fuzz_targets[i].run(data, n);
		    return 0;
		}
	C
	# shellcheck disable=SC2046,SC2086
	clang -std=gnu17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -Isrc -I"$top/src" -I"$top" \
		-DTARE_SOURCE_DATA='""' -DTARE_DATADIR='""' -o "fuzz_$target" "fuzz_$target.c" \
		"$top/tests/fuzz/targets.c" $(ls "$top"/src/base/*.c "$top"/src/model/*.c "$top"/src/bits/*.c \
		"$top"/src/codec/*.c "$top"/src/formats/*.c "$top"/src/lineage/*.c "$top"/src/store/*.c) $libs -lm
	mkdir -p "corpus_$target"
	"./fuzz_$target" -max_total_time="$seconds" -rss_limit_mb=2048 "corpus_$target"
done
