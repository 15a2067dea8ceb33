#!/bin/sh
# libFuzzer with ASan and UBSan: fuzz.sh SECONDS [TARGET...], from the build folder. It begins with
# the inputs that were kept (tests/fuzz/corpus), and what it finds anew is kept there too.
set -eu
seconds=${1:-60}
[ $# -eq 0 ] || shift
command -v clang >/dev/null || { echo "fuzzing needs clang (Debian: clang, libclang-rt-14-dev)"; exit 1; }
top=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
modules="libzstd sqlite3 libxxhash jansson yaml-0.1 libcrypto"
flags="-std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -g -O1 -Isrc -I$top/src -I$top -DTARE_SOURCE_DATA=\"\" -DTARE_DATADIR=\"\""
sanitize=-fsanitize=address,undefined
mkdir -p fuzz
for source in "$top"/src/base/*.c "$top"/src/model/*.c "$top"/src/bits/*.c "$top"/src/codec/*.c \
	"$top"/src/formats/*.c "$top"/src/lineage/*.c "$top"/src/store/*.c "$top"/tests/fuzz/targets.c; do
	object=fuzz/$(echo "${source#"$top"/}" | tr / _).o
	# shellcheck disable=SC2046,SC2086
	[ "$object" -nt "$source" ] || clang $flags $sanitize -fsanitize=fuzzer-no-link $(pkg-config --cflags $modules) -c -o "$object" "$source"
done
[ $# -gt 0 ] || set -- $(sed -n 's/^    {"\([a-z0-9-]*\)", run_.*/\1/p' "$top/tests/fuzz/targets.c")
for target; do
	cat >"fuzz/main_$target.c" <<-C
		#include "tests/fuzz/targets.h"
		#include <stdio.h>
		#include <string.h>
		int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
		int LLVMFuzzerInitialize(int *argc, char ***argv);
		static const struct fuzz_target *target;
		/* The seeds become inputs of the working corpus. */
		int LLVMFuzzerInitialize(int *argc, char ***argv)
		{
		    (void)argc;
		    (void)argv;
		    for (size_t i = 0; i < fuzz_target_count; i++)
		        if (strcmp(fuzz_targets[i].name, "$target") == 0)
		            target = &fuzz_targets[i];
		    for (int i = 0; i < 4; i++) {
		        char name[64];
		        struct buf seed = {0};
		        snprintf(name, sizeof name, "fuzz/work_$target/seed%d", i);
		        target->seed(i, &seed);
		        FILE *f = fopen(name, "w");
		        if (f) {
		            fwrite(seed.data, 1, seed.len, f);
		            fclose(f);
		        }
		        buf_release(&seed);
		    }
		    return 0;
		}
		int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
		{
		    target->run(data, n);
		    return 0;
		}
	C
	# shellcheck disable=SC2046,SC2086
	clang $flags $sanitize -fsanitize=fuzzer -o "fuzz/fuzz_$target" "fuzz/main_$target.c" fuzz/*.c.o $(pkg-config --libs $modules) -lm
	# A limit that hides what lies behind a parser's own limits hides faults: 64 KiB, of a block.
	longest=16384
	case $target in front-matter | lineage | roster) longest=200000 ;; esac
	work=fuzz/work_$target kept=$top/tests/fuzz/corpus/$target
	mkdir -p "$work" "$kept"
	echo "== $target, $seconds s"
	"./fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=$longest -rss_limit_mb=2048 -timeout=10 \
		-print_final_stats=1 "$work" "$kept" 2>"fuzz/$target.log" || { tail -n 40 "fuzz/$target.log"; exit 1; }
	grep -E 'number_of_executed_units|peak_rss' "fuzz/$target.log" || true
	# Only what reaches something that nothing else reaches is worth keeping.
	rm -rf fuzz/merged && mkdir fuzz/merged
	"./fuzz/fuzz_$target" -merge=1 -max_len=$longest fuzz/merged "$kept" "$work" >/dev/null 2>&1
	rm -rf "$kept" && mkdir -p "$kept"
	find fuzz/merged -type f -exec cp -t "$kept" {} +
done
