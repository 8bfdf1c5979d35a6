#!/bin/sh
# Runs every test program and script and adds up what they say. Usage: tests/run.sh PROGRAM... A program speaks
# cmocka's TAP-like summary (1.1.7 puts the group's name before what failed and what was skipped, 1.1.5 does not); a
# script ends with a line "N passed, N failed[, N skipped]". The last line of the output is "N passed, N failed, N
# skipped"; the status is 0 only when nothing failed.
#
# They run side by side, one a CPU, scripts first, for they take longest; behind them, one by one, those scripts that say so
# ("# Runs alone: ..."), because they have deadlines or use all CPUs.
set -u
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"

# --one COUNTS PROGRAM: runs it, says how it went, adds its counts to that file.
if [ "${1:-}" = --one ]; then
    counts=$2 program=$3
    log=$(mktemp)
    trap 'rm -f "$log" "$log.said"' EXIT
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
    {
        printf '%-44s %4d passed %3d failed %3d skipped %4d s\n' "$program" "$p" "$f" "$s" $(($(date +%s) - began))
        [ "$s" -gt 0 ] && grep -i 'skip' "$log" | head -n 5
        [ "$f" -gt 0 ] && tail -n 60 "$log"
    } >"$log.said"
    cat "$log.said" # at once: others speak at the same time
    echo "$p $f $s" >>"$counts"
    exit 0
fi

counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
trap 'exit 1' INT TERM HUP
is_script() { case $1 in *.sh) ;; *) false ;; esac; }
is_alone() { is_script "$1" && grep -q '^# Runs alone' "$1"; }
{
    for program in "$@"; do
        ! is_script "$program" || is_alone "$program" || printf '%s\0' "$program"
    done
    for program in "$@"; do
        is_script "$program" || printf '%s\0' "$program"
    done
} | OMP_WAIT_POLICY=passive xargs -0 -r -n 1 -P "$(nproc)" "$0" --one "$counts"
for program in "$@"; do
    ! is_alone "$program" || "$0" --one "$counts" "$program"
done
awk -v programs=$# '
    { passed += $1; failed += $2; skipped += $3 }
    END {
        if (NR != programs) { failed += programs - NR; print programs - NR " programs were not run to their end" }
        printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0
    }' "$counts"
