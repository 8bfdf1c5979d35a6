#!/bin/sh
# The whole program, unchanged, on emulated GPUs (tests/gpu/emu), or on those of this machine (NASRUN_GPU, as in
# hardware.sh): search, checkpoints, kills, resumes, final fit on one device and on two, report. Beside the reference
# device it must agree within what bf16 rounds.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
. tests/support/gpu.sh
make_gpu_job
column() { sed -n "s/.*\"event\":\"model\".*\"$2\":\\([^,}]*\\).*/\\1/p" "$1/journal.jsonl"; }
operations_of() { grep -o '"operations":\[[^]]*\]' "$1/journal.jsonl"; }

# One device, beside the reference. The losses of every candidate and of the final fit: 1 % is two and a half
# roundings of bf16 (2^-8); the largest difference is printed.
check "one device: $(tail -n 1 "$work/out" 2>/dev/null)" run output.dir="$work/one" output.plots=true
check "reference: $(tail -n 1 "$work/out")" run output.dir="$work/ref" 'devices="ref"' search.ahead=1
operations_of "$work/one" >"$work/operations.one"
operations_of "$work/ref" >"$work/operations.ref"
check "GPU and reference tried different networks" cmp -s "$work/operations.one" "$work/operations.ref"
column "$work/one" validation_loss >"$work/loss.one"
column "$work/ref" validation_loss >"$work/loss.ref"
largest=$(paste "$work/loss.one" "$work/loss.ref" |
    awk '{ d = ($1 - $2) / $2; if (d < 0) d = -d; if (d > most) most = d } END { printf "%.5f %d", most, NR }')
echo "validation losses of ${largest#* } trainings: emulated bf16 GPU and reference differ by at most ${largest% *}"
check "the losses differ by $largest" less "${largest% *}" 0.01
check "too few trainings to compare: $largest" [ "${largest#* }" -ge 6 ]
check "no plots" [ -s "$work/one/plots/progress.png" ]
check "no report" grep -q '^accuracy: 0\.[4-9]' "$work/one/report.txt"

# The tools' way to a GPU: naspredict beside the plug-in, several threads on one device.
mkdir "$work/beside"
cp "$bin/naspredict" "$(dirname "$gpu")/libnasrun_cuda.so" "$work/beside"
for device in cuda:0 ref; do
    "$work/beside/naspredict" --device=$device --threads=3 --data="$work/job.cfg" --all "$work/one" >"$work/answers.$device" 2>"$work/out"
    check "naspredict --device=$device: status $?, $(tail -n 1 "$work/out")" [ $? -eq 0 ]
done
check "naspredict answers otherwise on a GPU" awk -F '\t' '
    NR == FNR { path[FNR] = $1; for (k = 4; k < NF; k++) told[FNR, k] = $k; next }
    { if ($1 != path[FNR]) bad = 1; for (k = 4; k < NF; k++) if ((told[FNR, k] - $k) ^ 2 > 1e-6) bad = 1 }
    END { exit bad || FNR != 80 }' "$work/answers.ref" "$work/answers.cuda:0"

# The order of what streams leave open is nobody's business.
EMU_ORDER=5
began=$(date +%s.%N)
check "one device, another order: $(tail -n 1 "$work/out")" run output.dir="$work/again"
length=$(echo "$began $(date +%s.%N)" | awk '{ print $2 - $1 }') # seconds that a run takes
check "one device: another order gives another run" same_run "$work/one" "$work/again"
EMU_ORDER=0
killed_run=one history=history_of devices='"cuda:0"'
if [ "$gpus" -ge 2 ]; then
    killed_run=two history=unordered_history_of devices='["cuda:0","cuda:1"]'
    check "two devices: $(tail -n 1 "$work/out")" run output.dir="$work/two" devices="$devices"
    check "two devices are not both used" [ "$(grep -c '^device  cuda:[01] ' "$work/out")" -eq 2 ]
    EMU_ORDER=7
    began=$(date +%s.%N)
    check "two devices, another order: $(tail -n 1 "$work/out")" run output.dir="$work/two-again" devices="$devices"
    length=$(echo "$began $(date +%s.%N)" | awk '{ print $2 - $1 }')
    check "two devices: another order gives another run" same_run "$work/two" "$work/two-again" unordered_history_of
    EMU_ORDER=0
else
    skip "one GPU here: a run on two"
fi

# Stopped by a signal, and killed at random instants, a part of a run's length: resumed, it ends as if nothing had been.
killed=0
for round in 1 2 3 4; do
    dir=$work/killed-$round
    signal=$([ "$round" -eq 1 ] && echo TERM || echo KILL)
    for delay in $(awk -v seed="$round" -v run="$length" \
        'BEGIN { srand(seed); print run * (0.1 + 0.7 * rand()), run * (0.1 + 0.4 * rand()) }'); do
        "$gpu" "$work/job.cfg" output.dir="$dir" devices="$devices" >>"$dir.log" 2>&1 &
        background=$!
        sleep "$delay"
        kill -"$signal" "$background" 2>/dev/null && killed=$((killed + 1))
        wait "$background" 2>/dev/null
        background=""
        wait_for 10 flock -n "$dir/journal.jsonl" true
    done
    "$gpu" "$work/job.cfg" output.dir="$dir" devices="$devices" >>"$dir.log" 2>&1
    check "killed, round $round: resumed runs failed: $(tail -n 1 "$dir.log")" [ $? -eq 0 ]
    check "killed, round $round: the resumed run differs" same_run "$work/$killed_run" "$dir" "$history"
done
check "only $killed of 8 kills met a run" [ "$killed" -ge 3 ]

# A network that does not fit is a candidate that failed, and the message says why.
if [ -n "${NASRUN_GPU:-}" ]; then
    skip "nothing fills a GPU: a network that does not fit"
    finish
fi
EMU_MEMORY=33792 # 32 MiB are the workspace of cuBLAS
run output.dir="$work/full" 'search.starts=["cnn","resnet"]' search.width=32 budget.steps=20
check "a full device: no word about memory: $(tail -n 1 "$work/out")" grep -q 'out of device memory\|bytes on the device' "$work/out"
check "a full device: something was left behind" [ "$(grep -c 'objects are left' "$work/out")" -eq 0 ]
finish
