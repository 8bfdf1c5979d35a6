#!/bin/sh
# Runs every test program and script and adds up what they say. Usage: tests/run.sh PROGRAM... A program speaks
# cmocka's TAP-like summary (1.1.7 puts the group's name before what failed and what was skipped, 1.1.5 does not); a
# script ends with a line "N passed, N failed[, N skipped]". The last line of the output is "N passed, N failed, N
# skipped"; the status is 0 only when nothing failed.
set -u
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for program in "$@"; do
    began=$(date +%s)
    "$program" >"$log" 2>&1
    status=$?
    p=$(sed -n -e 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' -e 's/^\([0-9]*\) passed, [0-9]* failed.*/\1/p' "$log" | tail -n 1)
    f=$(sed -n -e 's/^\[  FAILED  \] \(.*: \)\{0,1\}\([0-9]*\) test(s).*/\2/p' -e 's/^[0-9]* passed, \([0-9]*\) failed.*/\1/p' "$log" | tail -n 1)
    s=$(sed -n -e 's/^\[  SKIPPED \] \(.*: \)\{0,1\}\([0-9]*\) test(s).*/\2/p' -e 's/^[0-9]* passed, [0-9]* failed, \([0-9]*\) skipped.*/\1/p' "$log" | tail -n 1)
    p=${p:-0} f=${f:-0} s=${s:-0}
    # A program that fails without saying which test, or that ran none, has failed.
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ "$p" -eq 0 ] && [ "$f" -eq 0 ] && [ "$s" -eq 0 ]; then f=1; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-44s %4d passed %3d failed %3d skipped %4d s\n' "$program" "$p" "$f" "$s" $(($(date +%s) - began))
    [ "$s" -gt 0 ] && grep -i 'skip' "$log" | head -n 5
    [ "$f" -gt 0 ] && tail -n 60 "$log"
done
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
