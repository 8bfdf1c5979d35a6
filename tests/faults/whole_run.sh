#!/bin/sh
# A whole search, stopped and gone on with, with its report, plots and predictions, and one whose journal is damaged: what
# `make asan` and `make tsan` run beside the test programs, for these call functions and this the programs. NASRUN_BIN says
# where they are.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"

# quiet FILE: no sanitizer has said anything there.
quiet() { ! grep -E 'Sanitizer|runtime error:' "$1"; }

# works WHAT COMMAND...: it does its work, and no sanitizer speaks.
works() {
    what=$1
    shift
    "$@" >"$work/log" 2>&1 || fail "$what: $(tail -n 3 "$work/log")"
    check "$what: a sanitizer speaks" quiet "$work/log"
}

for strategy in bayesian phases; do
    job="search.strategy=\"$strategy\" budget.models=4 search.epochs=1 train.final_epochs=1 output.checkpoint_seconds=0.05"
    for dir in whole stopped; do
        # shellcheck disable=SC2086 # several words
        "$bin/nasrun" "$work/job.cfg" $job output.dir="$work/$strategy-$dir" >"$work/log" 2>&1 &
        background=$!
        if [ "$dir" = stopped ]; then
            wait_for 120 training_in "$work/$strategy-$dir" || fail "$strategy: no training within 120 s"
            kill -TERM "$background"
        fi
        wait "$background"
        status=$?
        background=""
        check "$strategy, $dir: status $status, $(tail -n 3 "$work/log")" [ "$status" -eq 0 -o "$dir-$status" = stopped-75 ]
        check "$strategy, $dir: $(grep -m 1 -E 'Sanitizer|runtime error' "$work/log")" quiet "$work/log"
    done
    works "$strategy, gone on with" "$bin/nasrun" --resume="$work/$strategy-stopped"
    check "$strategy, gone on with: another end" same_run "$work/$strategy-whole" "$work/$strategy-stopped"
done

run=$work/bayesian-stopped
works "nasreport" "$bin/nasreport" "$run"
works "nasplot" "$bin/nasplot" "$run"
works "naspredict" "$bin/naspredict" "$run" "$work/data/two.png"
works "naspredict on threads" "$bin/naspredict" --threads=3 --data="$work/job.cfg" "$run"
sed -i '6s/"seq":5/"seq":4/' "$run/journal.jsonl"
works "--salvage" "$bin/nasrun" --salvage --resume="$run"
check "--salvage: another end" same_run "$work/bayesian-whole" "$run"
finish
