#!/bin/sh
# The power goes at some instants of short runs, also while a killed run is gone on with: what was not flushed is lost, torn,
# or comes in another order. The next start ends as the undisturbed run: tests/faults/power.py.
# INSTANTS=0 tries all of them, SLICE=1/4 a quarter of these.
. tests/support/script.sh
if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" != tmpfs ] || [ ! -w /dev/shm ]; then
    skip "the power that goes: needs a tmpfs at /dev/shm"
    finish
fi
make_data "$work/data" 96 32
most=${INSTANTS:-6}
place=$(mktemp -d /dev/shm/nasrun-power-XXXXXX)
clean_more() { rm -rf "$place"; }
python3 tests/faults/power.py --nasrun "$bin/nasrun" --data "$work/data" --inject "$helpers/faults/inject.so" \
    --power "$helpers/faults/power.so" --work "$place" --most "$most" --slice "${SLICE:-1/1}" >"$work/out" 2>&1
status=$?
cat "$work/out"
wrong=$(grep -c '^WRONG ' "$work/out")
passed=$(($(sed -n 's/^\([0-9]*\) of [0-9]* instants$/\1/p' "$work/out" | grep . || echo 0) - wrong)) failed=$wrong
check "the undisturbed runs" grep -q ' instants$' "$work/out"
check "nothing was lost" [ "$(awk '$1 == "drop" { print $2 }' "$work/out")" -gt 0 ]
check "the status of power.py is $status" [ "$status" -eq $((wrong > 0)) ]
finish
