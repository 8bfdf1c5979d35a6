#!/bin/sh
# run.sh BUILD SECONDS [NAME...]: libFuzzer's program, BUILD/tests/fuzz/fuzz, for SECONDS at each reader, or at those of
# that NAME. It begins with the reader's valid file and with tests/fuzz/corpus; what it has learnt stays in BUILD/corpus. An
# input that makes a reader crash, take over a second of a core, or allocate more than 64 MiB and four times as much as it
# has bytes, at most 256 KiB, lies in BUILD/found, and FUZZ_TARGET=NAME BUILD/tests/fuzz/fuzz INPUT tries it again. Status 1 when there is one.
set -eu
build=$1 seconds=$2
shift 2
program=$build/tests/fuzz/fuzz failed=0
[ $# -gt 0 ] || set -- $(FUZZ_TARGET=list "$program")
scratch=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")/nasrun-fuzz-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM HUP
mkdir -p "$build/found"
seeds() { for folder in tests/fuzz/corpus/"$1"; do [ ! -d "$folder" ] || echo "$folder"; done; }
for name in "$@"; do
    mkdir -p "$build/corpus/$name"
    if TMPDIR=$scratch FUZZ_TARGET=$name FUZZ_SEEDS=$build/corpus/$name OMP_NUM_THREADS=1 \
        "$program" -max_total_time="$seconds" -timeout=20 -malloc_limit_mb=65 -max_len=262144 -print_final_stats=1 \
        -dict=tests/fuzz/words.dict \
        -artifact_prefix="$build/found/$name-" "$build/corpus/$name" $(seeds "$name") \
        >"$scratch/log" 2>&1; then
        printf '%-16s %s inputs, %s kept\n' "$name" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$scratch/log")" \
            "$(find "$build/corpus/$name" -type f | wc -l)"
    else
        failed=1
        printf '%-16s FAILED\n' "$name"
        grep -vE '^#[0-9]|^INFO' "$scratch/log" | tail -n 60
    fi
done
exit "$failed"
