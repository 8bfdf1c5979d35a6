#!/bin/sh
# The plug-in as nasrun uses it: on the hardware with `make test-gpu`, which sets NASRUN_GPU to a nasrun that has its
# plug-in beside it; otherwise on the emulated GPU, so that these tests are known to work where they are needed.
. tests/support/script.sh
. tests/support/gpu.sh
NASRUN_PLUGIN=$(dirname "$gpu")/libnasrun_cuda.so EMU_DEVICES=2 EMU_ORDER=3
export NASRUN_PLUGIN EMU_DEVICES EMU_ORDER

"$gpu" --devices >"$work/out" 2>&1
grep '^cuda:' "$work/out"
check "no GPU to test: $(grep '^no GPU' "$work/out")" grep -q '^cuda:0 ' "$work/out"
[ "$failed" -eq 0 ] || finish
[ -n "${NASRUN_GPU:-}" ] || check "no word of how much memory is free" grep -q '^cuda:0 .* of .* GB free$' "$work/out"
"$helpers/gpu/test_hardware" >"$work/tests" 2>&1
check "test_hardware ended with status $?" grep -q '^\[  PASSED  \]' "$work/tests"
while read -r line; do
    case $line in
    *'[       OK ]'*) pass ;;
    *'[  FAILED  ]'*': '*) ;;
    *'[  FAILED  ] '[a-z]*) fail "${line#*] }" ;;
    *'[  SKIPPED ] '[a-z]*) skip "${line#*] }" ;;
    esac
done <"$work/tests"
[ "$failed" -eq 0 ] || tail -n 40 "$work/tests"
finish
