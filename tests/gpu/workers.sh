#!/bin/sh
# Several trainings side by side on one GPU, emulated or (NASRUN_GPU, as in hardware.sh) one of this machine's: the
# same search as on as many GPUs with one each, whatever the order of what streams leave open; kills; what a run
# measures to decide for itself; and the batches that it chooses.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
. tests/support/gpu.sh
make_gpu_job
said() { grep -q "$1" "$work/out"; }
# search_of DIR: what its candidates were and became; the final fit is shared by as many devices as there are.
search_of() { unordered_history_of "$1" | grep '"event":"\(candidate\|morph\|epoch\|model\)"' | grep -v "\"id\":$(final_of "$1")[,}]"; }
final_of() { sed -n 's/.*"event":"candidate","id":\([0-9]*\),.*"final":true.*/\1/p' "$1/journal.jsonl" | head -n 1; }

# after_the_first DIR: candidates that were proposed when one result was known.
after_the_first() { grep -c '"event":"candidate".*"observed":1,' "$1/journal.jsonl"; }

# Two workers on one GPU beside one worker on each of two.
check "two workers: $(tail -n 1 "$work/out" 2>/dev/null)" run output.dir="$work/workers" search.workers_per_device=2
check "it is not said that there are two workers" said '^workers 2 on each device$'
search_of "$work/workers" >"$work/search.workers"
check "too little was tried: $(lines_of "$work/search.workers") lines" [ "$(lines_of "$work/search.workers")" -ge 20 ]
if [ "$gpus" -ge 2 ]; then
    check "two devices: $(tail -n 1 "$work/out")" run output.dir="$work/devices" 'devices=["cuda:0","cuda:1"]'
    search_of "$work/devices" >"$work/search.devices"
    check "two workers on a GPU and two GPUs differ: $(diff "$work/search.devices" "$work/search.workers" | cut -c 1-200 | head -n 4)" \
        cmp -s "$work/search.devices" "$work/search.workers"
    # Two on each of two.
    check "two workers on two: $(tail -n 1 "$work/out")" \
        run output.dir="$work/four" search.workers_per_device=2 'devices=["cuda:0","cuda:1"]'
    check "two workers on two: fewer are on their way than there are workers" \
        [ "$(after_the_first "$work/four")" -gt "$(after_the_first "$work/workers")" ]
else
    skip "one GPU here: two workers on one beside one on each of two, and two on each"
fi
check "one worker: $(tail -n 1 "$work/out")" run output.dir="$work/one"
search_of "$work/one" >"$work/search.one"
check "one worker and two search alike: the comparison shows nothing" [ "$(cmp -s "$work/search.one" "$work/search.workers"; echo $?)" -ne 0 ]

EMU_ORDER=5
check "two workers, another order: $(tail -n 1 "$work/out")" run output.dir="$work/again" search.workers_per_device=2
check "two workers: another order gives another run" same_run "$work/workers" "$work/again" unordered_history_of
EMU_ORDER=0

# Killed and gone on with, the run is the same.
killed=0
for round in 1 2 3; do
    dir=$work/killed-$round
    for delay in $(awk -v seed="$round" 'BEGIN { srand(seed); print 0.3 + 2 * rand(), 0.3 + 2 * rand() }'); do
        "$gpu" "$work/job.cfg" output.dir="$dir" search.workers_per_device=2 >>"$dir.log" 2>&1 &
        background=$!
        sleep "$delay"
        kill -KILL "$background" 2>/dev/null && killed=$((killed + 1))
        wait "$background" 2>/dev/null
        background=""
        wait_for 10 flock -n "$dir/journal.jsonl" true
    done
    "$gpu" "$work/job.cfg" output.dir="$dir" search.workers_per_device=2 >>"$dir.log" 2>&1
    check "killed, round $round: resumed runs failed: $(tail -n 1 "$dir.log")" [ $? -eq 0 ]
    check "killed, round $round: the resumed run differs" same_run "$work/workers" "$dir" unordered_history_of
done
check "no kill met a run" [ "$killed" -ge 2 ]

# Left to itself with a budget in seconds, a run measures; what it found stands in the journal, and the same job goes
# on by it.
measured() { run -v output.dir="$work/measured" train.batch=1 "$@"; }
check "measured: $(tail -n 1 "$work/out")" measured budget.seconds=6
check "measured: it is not said" said '^workers [12] on each device: a training runs at [0-9]* images/s alone'
check "measured: no event" [ "$(grep -c '"event":"workers","per_device":[12],"alone":' "$work/measured/journal.jsonl")" -eq 1 ]
check "measured: gone on with, $(tail -n 1 "$work/out")" measured budget.seconds=8
check "measured: measured again" [ "$(grep -c '"event":"workers"' "$work/measured/journal.jsonl")" -eq 1 ]
check "with a budget in steps the clock has a say" [ "$(grep -c '"event":"workers"' "$work/one/journal.jsonl")" -eq 0 ]

# What a plan counts, and the batches: of a GPU, and of two that share the final fit, by the 160 training images.
run --plan search.workers_per_device=2
check "--plan does not count both workers' parents" said 'weights of 16 parents'
# What it measured to share the GPU it says again of the first starting network, and does not measure it twice.
run --plan train.batch=1 budget.seconds=6
alone=$(sed -n 's/^workers .*: \([0-9]*\) images.s alone.*/\1/p' "$work/out")
check "--plan measures a network twice: $(grep '^workers\|^start' "$work/out")" said "^start .* ${alone:-none} images/s"
if [ "$gpus" -lt 2 ]; then
    skip "one GPU here: what --plan says of a final fit on two"
    finish
fi
run --plan train.batch=auto 'devices=["cuda:0","cuda:1"]'
check "--plan: found $(grep '^batch' "$work/out")" said "^batch    128 images, the final fit's 128 shared by 2 devices, chosen for devices and data"
check "--plan does not count the group's buffers: $(grep 'final fit  ' "$work/out")" \
    said 'final fit .* MB and [0-9.]* MB for the group'
finish
