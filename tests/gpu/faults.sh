#!/bin/sh
# Each call that a whole run makes to CUDA, cuDNN or NCCL fails in turn, on one emulated GPU and on two: the run ends well, or
# with one clear line, after which the same command goes on; never by a signal, in a hang, or with something left behind. FAULTS=0 lets every call fail; by default
# a sample, spread over the run.
. tests/support/script.sh
gpu=$helpers/../emulated/nasrun
faults=${FAULTS:-48}
LD_LIBRARY_PATH=$helpers/gpu/driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
XDG_CACHE_HOME=$work/cache
export LD_LIBRARY_PATH XDG_CACHE_HOME
make_data "$work/data" 96 32
cat >"$work/job.cfg" <<END
dataset = { format = "idx"; path = "$work/data"; validation = 0.2; };
search = { starts = ["cnn"]; width = 8; };
train = { batch = 8; flip = false; };
devices = { use = "cuda"; };
budget = { steps = 6; };
output = { plots = false; };
END

# one DEVICES CALL: a run in which that call fails; prints how it ended.
one() {
    dir=$work/$1-$2
    EMU_DEVICES=$1 EMU_FAIL_AT=$2 timeout 60 "$gpu" -q "$work/job.cfg" output.dir="$dir" >"$dir.out" 2>&1
    status=$?
    failed=$(grep -c '"event":"failed"' "$dir/journal.jsonl" 2>/dev/null)
    if [ "$status" -eq 124 ]; then
        echo "hang"
    elif [ "$status" -ge 99 ] || grep -q 'objects are left\|emulated GPU:\|was killed by signal\|AddressSanitizer' "$dir.out"; then
        echo "broken: status $status, $(tail -n 1 "$dir.out" | cut -c 1-200)"
    elif [ "$status" -eq 0 ] && [ -s "$dir/report.txt" ]; then
        [ "${failed:-0}" -gt 0 ] && echo "a candidate failed, the run went on" || echo "nothing lost"
    elif [ "$status" -ne 0 ] && [ "$(grep -c '^nasrun: ' "$dir.out")" -eq 1 ]; then
        if EMU_DEVICES=$1 EMU_FAIL_AT=0 timeout 60 "$gpu" -q "$work/job.cfg" output.dir="$dir" >"$dir.out" 2>&1; then
            echo "one clear line, and the same command again went on to the end"
        else
            echo "broken: not resumed, $(tail -n 1 "$dir.out" | cut -c 1-200)"
        fi
    else
        echo "unclear: status $status, $(tail -n 1 "$dir.out" | cut -c 1-200)"
    fi
    rm -rf "$dir" "$dir.out"
}

for devices in 1 2; do
    EMU_DEVICES=$devices EMU_CALLS=$work/calls "$gpu" -q "$work/job.cfg" output.dir="$work/whole-$devices" >"$work/out" 2>&1
    check "$devices devices: the undisturbed run failed: $(tail -n 1 "$work/out")" [ $? -eq 0 ]
    calls=$(cat "$work/calls")
    : >"$work/ends"
    for call in $(awk -v calls="$calls" -v faults="$faults" \
        'BEGIN { step = faults > 0 && calls > faults ? calls / faults : 1; for (c = 1; c <= calls; c += step) print int(c) }'); do
        one "$devices" "$call" >>"$work/ends"
    done
    echo "$devices devices, $(wc -l <"$work/ends") of $calls calls failed in turn:"
    sort "$work/ends" | uniq -c | sort -rn
    check "$devices devices: runs that ended badly" [ "$(grep -c 'hang\|broken\|unclear' "$work/ends")" -eq 0 ]
    check "$devices devices: no fault was met" [ "$(grep -c 'one clear line\|a candidate failed' "$work/ends")" -gt 5 ]
done
finish
