#!/bin/sh
# Runs on images with several labels: what they write, that a killed one goes on and ends as if nothing had been, that the
# report comes again from the journal, and that several runs are put beside each other.
. tests/support/script.sh

make_label_data "$work/data"
make_label_job "$work/job.cfg" "$work/data"

# start DIR [KEY=VALUE ...]: in the background, two stages with a search and trainings without one.
start() {
    dir=$1
    shift
    "$bin/nasrun" "$work/job.cfg" 'search.strategy="bayesian"' baseline.start=first 'budget.steps=[100,160]' output.dir="$dir" \
        output.checkpoint_seconds=0.02 "$@" >>"$dir.log" 2>&1 &
    background=$!
}

await() {
    wait "$background" 2>/dev/null
    status=$?
    background=""
    return "$status"
}

run=$work/run
began=$(now)
start "$run"
await || fail "the run ended with status $?: $(tail -n 1 "$run.log")"
length=$(awk "BEGIN { print $(now) - $began }")

# ---- what it writes ----
for name in report-0.txt report-1.txt report.json predictions-0.csv predictions-1.csv splits.csv plots/labels.png \
    plots/labels-0.png plots/labels-1.png plots/reliability.png plots/precision.png plots/budgets.png; do
    check "no $name" [ -s "$run/$name" ]
done
for name in confusion shares; do check "plots/$name.png" [ ! -e "$run/plots/$name.png" ]; done
check "splits.csv: $(head -n 1 "$run/splits.csv")" [ "$(head -n 1 "$run/splits.csv")" = image,hash,split,labels ]
check "rows of splits.csv" [ "$(lines_of "$run/splits.csv")" -eq 401 ]
check "columns of predictions.csv" grep -q '^image,hash,split,trained,views,labels,predicted,"p_b, ""b""",p_cat,p_dog$' "$run/predictions.csv"
check "rows of predictions.csv" [ "$(lines_of "$run/predictions.csv")" -eq 161 ]
check "several labels in the journal" [ "$(head -n 1 "$run/journal.jsonl" | grep -c '"labels":"several"')" -eq 1 ]
check "tests in the journal" [ "$(grep -c '"event":"test".*"label_counts":\[\[.*"label_thresholds":\[' "$run/journal.jsonl")" -eq 2 ]
check "no confusion in the journal" sh -c "! grep -q '\"confusion\"' '$run/journal.jsonl'"
check "exact match in the report" grep -q '^exact match: 0\.[0-9]* (0\.[0-9]* at 0.5, which is the accuracy)$' "$run/report.txt"
check "a verdict in the report" grep -q '^verdict: .*images right by the search alone' "$run/report.txt"
check "both budgets in the report" [ "$(grep -c "^  *1[06]0 steps  *0\.[0-9]* " "$run/report.txt")" -eq 2 ]

# ---- again from the journal ----
cp -r "$run" "$work/again"
rm -r "$work/again/plots" "$work/again"/report*
"$bin/nasreport" "$work/again" >"$work/out" || fail "nasreport: status $?"
for name in report.txt report.json report-0.txt report-0.json; do check "$name comes again" cmp "$run/$name" "$work/again/$name"; done
check "nasreport prints report.txt" cmp "$work/out" "$run/report.txt"
"$bin/nasplot" "$work/again" >"$work/out" || fail "nasplot: status $?"
for name in labels labels-0 reliability precision budgets; do check "$name.png comes again" cmp "$run/plots/$name.png" "$work/again/plots/$name.png"; done
"$bin/nasplot" --format=csv --out="$work/numbers" "$run" >"$work/out" || fail "nasplot: status $?"
check "labels.csv" [ "$(lines_of "$work/numbers/labels.csv")" -eq 4 ]
check "budgets.csv" [ "$(lines_of "$work/numbers/budgets.csv")" -eq 3 ]
rm "$work/again"/predictions* "$work/again"/report*
"$bin/nasreport" --stdout "$work/again" >"$work/out" || fail "nasreport --stdout: status $?"
check "without predictions.csv all but the rankings" sh -c "grep -v '^ROC AUC\|^average precision' '$run/report.txt' | cmp - '$work/out'"
check "nothing is written by --stdout" [ ! -e "$work/again/report.txt" ]

# ---- killed at random instants ----
for i in 1 2; do
    for delay in $(awk -v seed="$i" -v whole="$length" 'BEGIN { srand(seed); for (k = 0; k <= seed % 2; k++) printf "%.3f ", rand() * whole }'); do
        start "$work/killed-$i" output.plots=false
        sleep "$delay"
        kill -9 "$background" 2>/dev/null
        await
        wait_for 10 unlocked "$work/killed-$i" ||
            fail "run $i is still locked"
    done
    start "$work/killed-$i" output.plots=false
    await || fail "run $i ended with status $?: $(tail -n 1 "$work/killed-$i.log")"
    check "run $i ends as the undisturbed one" same_run "$run" "$work/killed-$i"
    for name in "$run" "$work/killed-$i"; do sed '/^elapsed: /d; /^energy: /d; s/  *[0-9.]* s$//' "$name/report.txt" >"$name.told"; done
    check "report $i" cmp "$run.told" "$work/killed-$i.told"
done

# ---- gone on with, and its model lost ----
rm "$work/killed-1/model.safetensors"
start "$work/killed-1" output.plots=false
await || fail "a run whose model is gone ended with status $?"
check "the model comes again with its thresholds" cmp "$run/model.safetensors" "$work/killed-1/model.safetensors"
start "$work/killed-1" output.plots=false 'budget.steps=[100,200]'
await || fail "a raised budget: status $?: $(tail -n 1 "$work/killed-1.log")"
check "a third test" [ "$(grep -c '"event":"test"' "$work/killed-1/journal.jsonl")" -eq 3 ]

# ---- several runs ----
"$bin/nasreport" "$run" "$work/killed-2" "$work/killed-1" >"$work/out" || fail "nasreport of three runs: status $?"
check "the same answers" grep -q "^$run - $work/killed-2: +0.00 points .* 0 of 80 images right by the first alone, 0 by the second" "$work/out"
check "pairs: $(cat "$work/out")" [ "$(grep -c ' of 80 images right by the first alone' "$work/out")" -eq 3 ]
"$bin/nasplot" --out="$work/several" "$run" "$work/killed-1" >"$work/out" || fail "nasplot of two runs: status $?"
check "budgets.png" [ -s "$work/several/budgets.png" ]

{ cat "$work/job.cfg" && echo 'budget = { steps = 1; };'; } >"$work/study.cfg"
"$bin/nasstudy" --budgets=20,60 --seeds=1 --out="$work/study" "$work/study.cfg" output.plots=false >"$work/out" 2>&1 || fail "nasstudy: $(tail -n 1 "$work/out")"
check "a table of the study" grep -q '^ *60 steps *0\.' "$work/study/report.txt"

# ---- a journal whose thresholds are gone ----
cp -r "$work/killed-2" "$work/damaged"
sed -i 's/"label_thresholds":\[[^]]*\],//' "$work/damaged/journal.jsonl"
"$helpers/journal/test_events" --seal "$work/damaged/journal.jsonl" || fail "test_events --seal: status $?"
for command in nasreport nasplot "nasrun --resume"; do
    # shellcheck disable=SC2086 # two words
    timeout 60 "$bin"/$command "$work/damaged" >"$work/out" 2>"$work/err"
    check "$command without thresholds: status $?" [ $? -eq 2 ]
    check "$command without thresholds: $(cat "$work/err")" [ "$(grep -c 'test event: "label_thresholds" has 0 numbers, expected 3' "$work/err")" -eq 1 ]
done

# ---- begun anew ----
start "$run" --fresh output.plots=false
await || fail "--fresh: status $?: $(tail -n 1 "$run.log")"
check "the plots of the run before are gone" sh -c "! ls '$run'/plots/*.png 2>/dev/null"
finish
