#!/bin/sh
# nasstudy: independent trainings in folders of their own, stopped and gone on with, and what becomes of them.
. tests/support/script.sh
make_data "$work/data"
cat >"$work/job.cfg" <<END
dataset = { format = "idx"; path = "$work/data"; validation = 0.2; };
search = { strategy = "none"; starts = ["lean"]; width = 8; };
train = { batch = 32; flip = false; translate = 1; };
budget = { steps = 1; };
devices = "cpu";
threads = 1;
END
study=$work/study

# study DIR: all of it, or what is left.
study() { "$bin/nasstudy" --budgets=4,400 --seeds=1 --out="$1" "$work/job.cfg" evaluate.views=1; }

"$bin/nasstudy" --budgets=4,400 --seeds=1 --out="$study" "$work/job.cfg" evaluate.views=1 >"$work/log" 2>&1 &
background=$!
while kill -0 "$background" 2>/dev/null && ! grep -q '"epoch"' "$study/400-1/journal.jsonl" 2>/dev/null; do sleep 0.05; done
kill -TERM "$background"
wait "$background"
status=$?
background=""
check "stopped it ends with $status, expected 75: $(tail -n 2 "$work/log")" [ "$status" -eq 75 ]
check "stopped it leaves no finished run" [ -s "$study/4-1/report.txt" ]
check "stopped it reports" [ ! -e "$study/report.txt" ]
study "$study" >"$work/log" 2>&1 || fail "gone on with it ends with $?: $(tail -n 2 "$work/log")"
check "the second run has not gone on" grep -q '"event":"test"' "$study/400-1/journal.jsonl"
study "$work/whole" >"$work/log" 2>&1 || fail "at once it ends with $?: $(tail -n 2 "$work/log")"
table() { sed "s|$1||g" "$1/report.txt"; }
table "$study" >"$work/stopped"
table "$work/whole" >"$work/at_once"
check "stopped and gone on with it gives another table: $(diff "$work/stopped" "$work/at_once")" cmp "$work/stopped" "$work/at_once"
for file in budgets.png budgets.csv; do check "no $file" [ -s "$study/$file" ]; done
check "not a row for each run: $(cat "$study/budgets.csv")" [ "$(lines_of "$study/budgets.csv")" -eq 3 ]

# The same of any runs, by the other tools; what is not there is no table.
"$bin/nasreport" "$study/4-1" "$study/400-1" >"$work/table" || fail "nasreport of two: status $?"
check "nasreport makes another table" cmp "$work/table" "$study/report.txt"
"$bin/nasplot" --out="$work/plots" "$study/4-1" "$study/400-1" || fail "nasplot of two: status $?"
check "nasplot makes another picture" cmp "$work/plots/budgets.png" "$study/budgets.png"
check "two runs are not compared: $(cat "$work/table")" grep -q 'p = ' "$work/table"

for options in "" --budgets= --budgets=4,4 --budgets=4,x --budgets=-1 "--budgets=4 --seeds=2-1" "--budgets=4 --seeds=1,,2" \
    "--budgets=4 --seeds=" "--budgets=4 --out="; do
    # shellcheck disable=SC2086  # several options
    check "nasstudy $options" refused "$bin/nasstudy" $options "$work/job.cfg"
done
check "nasstudy with a seed" refused "$bin/nasstudy" --budgets=4 --out="$work/x" "$work/job.cfg" seed=3
check "nasstudy without a job" refused "$bin/nasstudy" --budgets=4 --out="$work/x" "$work/missing.cfg"
check "nasreport with a folder that is no run" refused "$bin/nasreport" "$study/4-1" "$work/missing"
finish
