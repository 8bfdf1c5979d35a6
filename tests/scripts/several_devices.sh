#!/bin/sh
# Jobs on several CPU devices: the same run every time, all of them named, and what can't be is refused in one line.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
two='devices=["cpu:0","cpu:1"]'

: >"$work/out"
run() { "$bin/nasrun" "$work/job.cfg" budget.steps=300 output.plots=false "$@" >"$work/out" 2>&1; }
for dir in first second; do
    check "two devices: the run failed: $(tail -n 1 "$work/out")" run "$two" output.dir="$work/$dir"
done
check "two runs on the same two devices differ" same_run "$work/first" "$work/second" unordered_history_of
check "not both devices are named" [ "$(grep -c '^device  cpu:[01] ' "$work/out")" -eq 2 ]
check "the journal does not name both devices" grep -q '"devices":\["cpu:0 [^"]*","cpu:1 ' "$work/first/journal.jsonl"
check "two devices: no report" grep -q '^accuracy: 0\.[6-9]' "$work/first/report.txt"

# Three do not share a batch of 32; two of them do.
check "three devices: the run failed: $(tail -n 1 "$work/out")" \
    run 'devices=["cpu:0","cpu:1","cpu:2"]' output.dir="$work/three"
check "three devices: it is not said that two share the batch" grep -q 'final fit.s batch of 32 is shared by 2 of them' "$work/out"

# With a budget in seconds nobody waits for the first result: a change of the starting network is trained from fresh
# weights.
"$bin/nasrun" "$work/job.cfg" budget.seconds=8 output.plots=false "$two" output.dir="$work/seconds" >"$work/out" 2>&1
check "a budget in seconds: the run failed: $(tail -n 1 "$work/out")" [ $? -eq 0 ]
check "the second device waits for the first result" \
    grep -q '"event":"candidate","id":1,"parent":-1,' "$work/seconds/journal.jsonl"
check "what it trains is no change of the starting network" \
    [ "$(grep -c '"event":"candidate","id":1,"parent":-1,.*"start"' "$work/seconds/journal.jsonl")" -eq 0 ]

# Between two validations of a network lies half a second at least, but for its last one, behind which a final fit's
# epochs may have none; with a budget in steps each epoch is validated.
too_soon() {
    sed -n '/"validation_loss":null/!s/.*"event":"epoch","id":\([0-9]*\),.*"seconds":\([^,]*\),.*/\1 \2/p' "$1/journal.jsonl" |
        awk '{ if ($1 in last && last[$1] - before[$1] < 0.5) n++; before[$1] = last[$1]; last[$1] = $2 } END { print n + 0 }'
}
validations_of() { grep -c '"event":"epoch","id":0,' "$1/journal.jsonl"; }
epochs_of() { sed -n 's/.*"event":"model","id":0,.*"epochs":\([0-9]*\),.*/\1/p' "$1/journal.jsonl"; }
check "a budget in seconds: $(too_soon "$work/seconds") validations were too soon" [ "$(too_soon "$work/seconds")" -eq 0 ]
check "a budget in steps: $(validations_of "$work/first") validations of $(epochs_of "$work/first") epochs" \
    [ "$(validations_of "$work/first")" -eq "$(epochs_of "$work/first")" ]

"$bin/nasrun" --plan "$work/job.cfg" "$two" >"$work/out" 2>&1
check "--plan does not list both devices" [ "$(grep -c '^device   cpu:[01] ' "$work/out")" -eq 2 ]

# The batch that is chosen fits the training part, which a batch of 128 would not; the job keeps saying "auto".
"$bin/nasrun" --plan "$work/job.cfg" train.batch=auto search.data=0.2 >"$work/out" 2>&1
check "--plan does not say which batch was chosen" \
    grep -q "^batch    64 images, the final fit's 128, chosen for devices and data" "$work/out"
auto() { run 'train.batch="auto"' search.data=0.2 "$two" output.dir="$work/auto" "$@"; }
check "a chosen batch: the run failed: $(tail -n 1 "$work/out")" auto
check "a chosen batch: candidates train with another one" grep -q '"event":"plan","id":0,"batch":64,' "$work/auto/journal.jsonl"
check "a chosen batch: the job forgets that it is chosen" grep -q 'batch = "auto";' "$work/auto/job.cfg"
check "a chosen batch: the same job is refused" auto
auto train.batch=64
check "a chosen batch: one that was set is taken for the same" grep -q 'train.batch: found 64, expected "auto"' "$work/out"

# refused TEXT DEVICES
refused() {
    run "devices=$2" output.dir="$work/refused"
    check "$2: expected status 2" [ $? -eq 2 ]
    check "$2: expected one line with \"$1\", found: $(cat "$work/out")" \
        [ "$(grep -c "$1" "$work/out")" -eq "$(lines_of "$work/out")" ]
    check "$2: something was made" [ ! -e "$work/refused" ]
}
refused 'found "ref:0" beside "cpu:1", expected one kind of device' '["cpu:1","ref:0"]'
run "$two" search.workers_per_device=2 output.dir="$work/refused"
check "several workers on a CPU device are not refused: $(cat "$work/out")" \
    grep -q 'search.workers_per_device=2: found 2 on "cpu:0", expected 1 or "auto"' "$work/out"
rm -rf "$work/refused"
refused 'found "cpu" among others, expected it alone' '["cpu","cpu:0"]'
refused 'found "cpu:1" twice' '["cpu:1","cpu:1"]'
refused 'found "auto" among others' '["auto","cpu"]'
finish
