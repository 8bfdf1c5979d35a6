#!/bin/sh
# A budget in seconds is kept on the wall clock, and everything is on disk by then; every stage has its report.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"

# timed DIR KEY=VALUE...: runs; $took is its wall-clock time in seconds.
timed() {
    dir=$1
    shift
    began=$(now)
    "$bin/nasrun" "$work/job.cfg" output.dir="$dir" "$@" >"$dir.log" 2>&1
    status=$?
    took=$(awk "BEGIN { print $(now) - $began }")
    check "$*: exit status $status: $(tail -n 1 "$dir.log")" [ "$status" -eq 0 ]
}
has_all() {
    for name in model.safetensors report.txt report.json plots/confusion.png plots/learning.png plots/progress.png; do
        check "$1 lacks $name" [ -s "$1/$name" ]
    done
}

timed "$work/eight" budget.seconds=8
check "a budget of 8 s took $took s" less "$took" 8.5
check "a budget of 8 s was used for $took s only" less 4 "$took"
has_all "$work/eight"
check "no final fit" grep -q '"final":true.*"validation_accuracy"' "$work/eight/journal.jsonl"

# Nothing is known of the machine when the one training begins.
timed "$work/none" budget.seconds=6 'search.strategy="none"'
check "without a search a budget of 6 s took $took s" less "$took" 6.5
check "without a search a budget of 6 s was used for $took s only" less 3 "$took"
check "without a search there is another training than the final fit" [ "$(grep -c '"event":"candidate"' "$work/none/journal.jsonl")" -eq 1 ]
has_all "$work/none"

timed "$work/stages" 'budget.seconds=[5, 9]'
check "budgets of 5 and 9 s took $took s" less "$took" 9.5
has_all "$work/stages"
for stage in 0 1; do
    check "stage $stage has no report.txt" [ -s "$work/stages/report-$stage.txt" ]
    check "stage $stage has no report.json" [ -s "$work/stages/report-$stage.json" ]
    check "stage $stage has no plot" [ -s "$work/stages/plots/confusion-$stage.png" ]
done
first=$(sed -n 's/.*"event":"test","stage":0.*"elapsed_seconds":\([0-9.]*\).*/\1/p' "$work/stages/journal.jsonl")
check "the stage of 5 s ended after ${first:-no} s" less "${first:-99}" 5.5
finish
