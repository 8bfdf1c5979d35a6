#!/bin/bash
# For MINUTES (30): short runs, one after the other, that are killed, stopped or lose a call of the C library at instants that
# are drawn, until each has ended as the undisturbed run; and beside them one long run, whose memory and descriptors must not
# grow. At low priority. SEED draws others. `make soak`.
. tests/support/script.sh
minutes=${MINUTES:-30}
RANDOM=${SEED:-1}
renice -n 19 $$ >/dev/null
make_data "$work/data" 96 32
make_job "$work/job.cfg" "$work/data"
inject=$(realpath "$helpers/faults/inject.so")
end=$(($(date +%s) + minutes * 60))
leftovers() { find "$1" -name '*.tmp' | wc -l; }
engine_of() { grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | sed -n 's,^/proc/\([0-9]*\)/.*,\1,p'; }

# The command itself, so that its process is the one that is killed.
command=("$bin/nasrun" -q "$work/job.cfg" train.batch=16 output.plots=false budget.steps=12 output.checkpoint_seconds=0.05)
"${command[@]}" output.dir="$work/whole" >"$work/log" 2>&1 || { fail "undisturbed: $(tail -n 1 "$work/log")"; finish; }

"$bin/nasrun" -q "$work/job.cfg" train.batch=16 budget.steps=1000000 search.final_share=0.0 search.epochs=1 output.dir="$work/long" \
    >"$work/long.log" 2>&1 &
background=$!
wait_for 60 training_in "$work/long" || fail "the long run does not begin: $(tail -n 1 "$work/long.log")"
engine=$(engine_of "$background")

runs=0 starts=0 wrong=0
classes=(write fsync rename open mkdir mmap thread read flock unlink stat malloc)
most=(450 57 14 400 30 130 1 1000 16 6 60 130000) # calls of a run
while [ "$(date +%s)" -lt "$end" ]; do
    dir=$work/short
    status=1 try=0
    while [ "$status" -ne 0 ] && [ "$try" -lt 12 ]; do
        way=$((RANDOM % 4))
        [ "$try" -lt 8 ] || way=3 # and then it is left alone
        case $way in
        0 | 1)
            "${command[@]}" output.dir="$dir" >"$work/log" 2>&1 &
            one=$!
            sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
            kill "-$([ "$way" -eq 0 ] && echo KILL || echo TERM)" "$one" 2>/dev/null
            wait "$one" 2>/dev/null
            status=$?
            [ ! -e "$dir/lock" ] || wait_for 10 flock -n "$dir/lock" true # its engine goes with it, a moment later
            ;;
        2)
            class=$((RANDOM % ${#classes[@]}))
            FAULT=${classes[class]}:$((1 + RANDOM * 4 % most[class])):12:once LD_PRELOAD=$inject "${command[@]}" output.dir="$dir" >"$work/log" 2>&1
            status=$?
            ;;
        3)
            "${command[@]}" output.dir="$dir" >"$work/log" 2>&1
            status=$?
            ;;
        esac
        case $way-$status in 0-137 | 1-143 | 1-75 | ?-0 | 2-2) ;; *)
            wrong=$((wrong + 1))
            echo "way $way, try $try: status $status: $(tail -n 1 "$work/log")"
            ;;
        esac
        try=$((try + 1)) starts=$((starts + 1))
    done
    check "run $runs: another end" same_run "$work/whole" "$dir"
    check "run $runs leaves $(leftovers "$dir") files aside" [ "$(leftovers "$dir")" -eq 0 ]
    rm -rf "$dir"
    runs=$((runs + 1))
    [ ! -d "/proc/$engine/fd" ] || echo "$(awk '/^VmRSS/ { print $2 }' "/proc/$engine/status") $(find "/proc/$engine/fd" -type l | wc -l)" >>"$work/grown"
done
kill -TERM "$background"
wait "$background"
status=$?
background=""
check "the long run: status $status" [ "$status" -eq 75 ]
check "$wrong ends that are none" [ "$wrong" -eq 0 ]
echo "$runs runs in $starts starts; the long run trained $(grep -c '"event":"model"' "$work/long/journal.jsonl") models"
# The second quarter beside the last: what is kept for good is there by then.
awk '{ memory[NR] = $1; files[NR] = $2 }
    END {
        quarter = int(NR / 4)
        for (i = 1; i <= quarter; i++) { early += memory[quarter + i]; late += memory[NR - quarter + i]; before += files[quarter + i]; after += files[NR - quarter + i] }
        if (quarter == 0) { print "too short to tell what grows"; exit 1 }
        printf "the long run: %.0f kB and %.1f descriptors in the second quarter, %.0f and %.1f in the last\n", early / quarter, before / quarter, late / quarter, after / quarter
        exit late > 1.1 * early + 16384 * quarter || after > before + 2 * quarter
    }' "$work/grown"
check "memory or descriptors grow" [ $? -eq 0 ]
finish
