#!/bin/sh
# Each call that a whole run makes to CUDA, cuDNN or NCCL fails in turn, on one emulated GPU and on two: the run still
# ends with the same result, or the same command again does. Never by a
# signal, in a hang, or with something left behind. And a run whose steps can't be recorded says so, once a program.
# FAULTS=0 lets every call fail; by default a sample, spread over the run.
. tests/support/script.sh
NASRUN_GPU= # calls fail on emulated ones only
. tests/support/gpu.sh
faults=${FAULTS:-16}
make_data "$work/data" 96 32
cat >"$work/job.cfg" <<END
dataset = { format = "idx"; path = "$work/data"; validation = 0.2; };
search = { strategy = "bayesian"; starts = ["cnn"]; width = 8; };
train = { batch = 16; flip = false; };
devices = "cuda";
budget = { steps = 6; };
output = { plots = false; };
END

# one DEVICES CALL: a run in whose first process that call fails; prints how it ended.
one() {
    dir=$work/$1-$2
    history=$([ "$1" -eq 1 ] && echo history_of || echo unordered_history_of)
    EMU_DEVICES=$1 EMU_FAIL_AT=$2 EMU_ONCE=$dir.once timeout 60 "$gpu" -q "$work/job.cfg" output.dir="$dir" >"$dir.out" 2>&1
    status=$?
    if [ "$status" -eq 124 ]; then
        echo "hang"
    elif [ "$status" -ge 99 ] || grep -q 'objects are left\|emulated GPU:\|was killed by signal\|AddressSanitizer' "$dir.out"; then
        echo "broken: status $status, $(tail -n 1 "$dir.out" | cut -c 1-200)"
    elif [ "$status" -eq 0 ] && same_run "$work/whole-$1" "$dir" "$history" >"$dir.same"; then
        if grep -q 'killed by an error of the device' "$dir.out"; then
            echo "one clear line, started again, the same result"
        else
            echo "nothing lost"
        fi
    elif [ "$status" -eq 2 ] && [ "$(grep -c '^nasrun: ' "$dir.out")" -eq 1 ]; then
        EMU_DEVICES=$1 "$gpu" -q "$work/job.cfg" output.dir="$dir" >"$dir.out" 2>&1
        same_run "$work/whole-$1" "$dir" "$history" >"$dir.same" && echo "one clear line; the same command again: the same result" ||
            echo "broken: not resumed, $(tail -n 1 "$dir.out" "$dir.same" | cut -c 1-200)"
    else
        echo "unclear: status $status, $(tail -n 1 "$dir.out" | cut -c 1-200)"
    fi
    rm -rf "$dir" "$dir.out" "$dir.once" "$dir.same"
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
    check "$devices devices: no fault was met" [ "$(grep -c 'one clear line' "$work/ends")" -gt 5 ]
done

recorded_of() { unordered_history_of "$1" | grep -v '"event":"unrecorded"'; }
EMU_REFUSE_RECORDING=1 "$gpu" -v "$work/job.cfg" output.dir="$work/unrecorded" >"$work/out" 2>&1
check "unrecorded: the run failed: $(tail -n 1 "$work/out")" [ $? -eq 0 ]
check "unrecorded: not the same result" same_run "$work/whole-1" "$work/unrecorded" recorded_of
# program: how often the journal says it of that one.
unrecorded() {
    grep -c "\"event\":\"unrecorded\".*\"program\":\"$1\",\"failures\":1,\"reason\":\"CUDA cannot begin a recording: .*cudaErrorNotSupported" \
        "$work/unrecorded/journal.jsonl"
}
models=$(grep -c '"event":"candidate"' "$work/unrecorded/journal.jsonl")
check "unrecorded: not said once for each evaluation program" [ "$(unrecorded evaluation)" -eq "$models" ]
check "unrecorded: not said of the final fit, which alone has more than one step" [ "$(unrecorded training)" -eq 1 ]
check "unrecorded: -v does not say it" grep -q "training runs slower, its steps can't be recorded: CUDA cannot begin" "$work/out"
finish
