#!/bin/sh
# Calls of the C library fail, one in each of many short runs, once or for good, also while a killed run is gone on with:
# writes, reads, files, folders, locks, threads, processes, allocations. Each run ends with one line and status 2, after
# which the same command ends as it would have, or as if nothing had been: tests/faults/faults.py.
# FAULTS=0 lets the calls of every site fail, SLICE=1/4 a quarter of them; by default a sample, spread over the run.
. tests/support/script.sh
make_data "$work/data" 96 32
most=${FAULTS:-80}
# In memory where there is such a place: the runs flush their files a hundred times a second.
place=$work
[ ! -w /dev/shm ] || place=$(mktemp -d /dev/shm/nasrun-faults-XXXXXX)
clean_more() { rm -rf "$place"; }
python3 tests/faults/faults.py --nasrun "$bin/nasrun" --data "$work/data" --inject "$helpers/faults/inject.so" \
    --work "$place" ${most:+--most "$most"} --slice "${SLICE:-1/1}" ${EVERY:+--every} ${ONLY:+--only "$ONLY"} ${LIST:+--list "$LIST"} >"$work/out" 2>&1
status=$?
cat "$work/out"
points=$(sed -n 's/^\([0-9]*\) of [0-9]* points$/\1/p' "$work/out")
wrong=$(grep -c '^WRONG ' "$work/out")
passed=$((${points:-0} - wrong)) failed=$wrong
check "the undisturbed runs" [ "${points:-0}" -gt 0 ]
check "faults were met" [ "$(sed -n 's/^total \([0-9]*\) one line.*/\1/p' "$work/out")" -gt $((${points:-0} / 4)) ]
check "the status of faults.py is $status" [ "$status" -eq $((wrong > 0)) ]
finish
