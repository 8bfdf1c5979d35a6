#!/bin/bash
# What a machine does to a run: its clock jumps, it stands still across the deadline, its disk is full and then is not, it
# has few files, little memory, small files and stacks, its memory is short by a control group, somebody removes the run
# folder, a name that is there is not seen for a moment, images can't be read for a moment. One line and status 2, after which
# the same command ends as the undisturbed run, or the same bytes at once.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
make_data "$work/data" 96 32
make_job "$work/job.cfg" "$work/data"
inject=$(realpath "$helpers/faults/inject.so") clock=$(realpath "$helpers/faults/clock.so")
group="" disk=""
clean_more() {
    [ -z "$disk" ] || umount "$disk" 2>/dev/null
    [ -z "$group" ] || rmdir "$group" 2>/dev/null
}
run() { # DIR KEY=VALUE...
    dir=$1
    shift
    "$bin/nasrun" -q "$work/job.cfg" train.batch=16 output.plots=false output.dir="$dir" "$@" >"$dir.log" 2>"$dir.err"
}
steps="budget.steps=8"
run "$work/whole" $steps || fail "undisturbed: $(cat "$work/whole.err")"

# told DIR STATUS WHAT: how a disturbed run ended; then the same command, undisturbed.
lines_told() { grep -cE '^(nasrun|libgomp): |^out of dynamic memory' "$1"; }
told() {
    check "$3: status $2, $(tail -n 2 "$1.err")" [ "$2" -eq 0 -o \( "$2" -eq 2 -a "$(lines_told "$1.err")" -ge 1 \) ]
    [ "$2" -eq 0 ] || run "$1" $steps || fail "$3, and then: $(tail -n 1 "$1.err")"
    check "$3: another end" same_run "$work/whole" "$1"
    rm -rf "$1"
}

# ---- clocks ----
LD_PRELOAD=$clock run "$work/jumps" $steps
told "$work/jumps" $? "a clock that jumps"
began=$(now)
LD_PRELOAD=$clock run "$work/budget" budget.seconds=3 || fail "a clock that jumps, in seconds: $(cat "$work/budget.err")"
check "a clock that jumps: a budget of 3 s took $(awk "BEGIN { print $(now) - $began }") s" less "$(now) - $began" 4.5

set -m # a group of its own
"$bin/nasrun" -q "$work/job.cfg" output.dir="$work/still" budget.seconds=3 >"$work/still.log" 2>"$work/still.err" &
background=$!
set +m
wait_for 10 training_in "$work/still" || fail "no training within 10 s"
kill -STOP -- "-$background"
sleep 3.2
kill -CONT -- "-$background"
wait "$background"
status=$?
background=""
check "stopped across the deadline: status $status, $(cat "$work/still.err")" [ "$status" -eq 0 ]
check "stopped across the deadline: no model" [ -s "$work/still/model.safetensors" ]
check "stopped across the deadline: no report" [ -s "$work/still/report.txt" ]

# ---- a disk that is full, and then is not ----
disk=$work/disk
mkdir "$disk"
if mount -t tmpfs -o size=300k tmpfs "$disk" 2>/dev/null; then
    run "$disk/run" $steps
    status=$?
    cp "$disk/run.err" "$work/full" 2>/dev/null
    check "a full disk: status $status, $(cat "$work/full")" [ "$status" -eq 2 ]
    mount -o remount,size=100m "$disk"
    run "$disk/run" $steps || fail "a disk that is not full any more: $(cat "$disk/run.err")"
    check "a disk that was full: another end" same_run "$work/whole" "$disk/run"
    umount "$disk"
else
    skip "a full disk: may not mount"
fi
disk=""

# ---- limits ----
for limit in "-n 6" "-n 9" "-f 20" "-f 200" "-v 60000" "-v 150000" "-s 64"; do
    # shellcheck disable=SC2086 # two words
    (ulimit $limit && run "$work/limited" $steps)
    status=$?
    if [ ! -f "$work/limited.err" ] || grep -q 'error while loading shared libraries' "$work/limited.err"; then
        check "ulimit $limit: the loader, status $status" [ "$status" -ne 0 ]
        continue
    fi
    told "$work/limited" "$status" "ulimit $limit"
done

# ---- a control group with less memory than the run takes, and with more ----
peak=$("$bin/nasrun" -v "$work/job.cfg" train.batch=16 $steps output.plots=false output.dir="$work/peak" | sed -n 's/.* peak \([0-9]*\) MB.*/\1/p')
check "no peak is told" [ "${peak:-0}" -gt 0 ]
for share in 120 80; do
    bytes=$((${peak:-0} * 10000 * share))
    if group=/sys/fs/cgroup/memory/nasrun-test-$$ && mkdir "$group" 2>/dev/null; then
        echo "$bytes" >"$group/memory.limit_in_bytes"
    elif group=/sys/fs/cgroup/nasrun-test-$$ && mkdir "$group" 2>/dev/null && [ -e "$group/memory.max" ]; then
        echo "$bytes" >"$group/memory.max"
    else
        rmdir "$group" 2>/dev/null
        group=""
        skip "a control group: can't be made here"
        break
    fi
    (echo "$BASHPID" >"$group/cgroup.procs" && run "$work/grouped" $steps)
    told "$work/grouped" $? "$share % of $peak MB of memory"
    rmdir "$group"
    group=""
done

# ---- the run folder goes ----
"$bin/nasrun" -q "$work/job.cfg" output.dir="$work/removed" budget.steps=2000 >"$work/removed.log" 2>"$work/removed.err" &
background=$!
wait_for 10 training_in "$work/removed" || fail "no training within 10 s"
rm -rf "$work/removed" || rm -rf "$work/removed"
wait "$background"
status=$?
background=""
check "a run folder that was removed: status $status, $(cat "$work/removed.err")" [ "$status" -eq 2 ]
check "a run folder that was removed: $(cat "$work/removed.err")" [ "$(lines_told "$work/removed.err")" -eq 1 ]
rm -rf "$work/removed"

# ---- a name that is not seen for a moment, as on a file system of the network ----
for call in 12 16 20 27; do
    for fault in open:$call:2 open:$call:116 stat:$((call - 4)):116; do
        cp -R "$work/whole" "$work/late"
        FAULT=$fault:once LD_PRELOAD=$inject run "$work/late" $steps
        told "$work/late" $? "late: $fault"
    done
done

# ---- images that can't be read for a moment are not damaged ----
mkdir -p "$work/photos/a" "$work/photos/b"
for i in 1 2 3 4 5 6 7 8; do
    cp "$work/data/two.png" "$work/photos/a/$i.png"
    cp tests/data/images/turned.jpg "$work/photos/b/$i.jpg"
done
sed "s,^dataset.*,dataset = { path = \"$work/photos\"; on_error = \"skip\"; resize = 8; };," "$work/job.cfg" >"$work/photos.cfg"
for number in 24 12 5 4; do # EMFILE, ENOMEM, EIO, EINTR
    for call in 40 75 90; do
        for class in open read; do
            FAULT=$class:$call:$number:once LD_PRELOAD=$inject "$bin/nasrun" --plan "$work/photos.cfg" budget.steps=1 >"$work/out" 2>&1
            check "$class $call fails with $number: $(grep -m 1 'left out\|skipped' "$work/out")" sh -c "! grep -q 'left out\|skipped' '$work/out'"
        done
    done
done
finish
