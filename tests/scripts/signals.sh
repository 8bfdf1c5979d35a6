#!/bin/sh
# SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU save and stop, with status 75; what goes on afterwards ends like the
# undisturbed run. Also: a second signal, nohup, what the same command does on a finished run, --fresh, raised budgets, a crash
# before the report.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"

# run DIR KEY=VALUE...: in the foreground, its output in DIR.log. A background process of a script ignores SIGINT, so
# that env gives it back below.
run() {
    dir=$1
    shift
    "$bin/nasrun" "$work/job.cfg" output.plots=false output.dir="$dir" "$@" >"$dir.log" 2>&1
}
start() {
    dir=$1
    shift
    env --default-signal=INT "$bin/nasrun" "$work/job.cfg" output.plots=false output.dir="$dir" "$@" >"$dir.log" 2>&1 &
    background=$!
}
tests_in() { grep -c '"event":"test"' "$1/journal.jsonl"; }
steps_in() { sed -n 's/.*"event":"\(model\|failed\)".*"steps":\([0-9]*\).*/\2/p' "$1/journal.jsonl" | awk '{ s += $1 } END { print s }'; }
# reports_in DIR SUFFIX...: report and its JSON are there.
reports_in() {
    dir=$1
    shift
    for suffix in "$@"; do
        [ -s "$dir/report$suffix.txt" ] && [ -s "$dir/report$suffix.json" ] || return 1
    done
}

# stop SIGNAL DIR: sends it and checks how the run ends.
stop() {
    began=$(now)
    kill -"$1" "$background"
    wait "$background"
    status=$?
    background=""
    check "$1: exit status $status, expected 75: $(tail -n 1 "$2.log")" [ "$status" -eq 75 ]
    check "$1: it took more than 2 s to stop" less "$(now) - $began" 2
    check "$1: no line that says how to go on" grep -q "saved; go on with: nasrun --resume=$2" "$2.log"
}

run "$work/whole" budget.steps=1500 || fail "undisturbed: $(tail -n 1 "$work/whole.log")"
check "1500 steps were to be taken, found $(steps_in "$work/whole")" [ "$(steps_in "$work/whole")" -eq 1500 ]

for signal in INT TERM HUP USR1 USR2 XCPU; do
    dir=$work/$signal
    start "$dir" budget.steps=1500
    wait_for 10 training_in "$dir" || fail "$signal: no training within 10 s"
    sleep 0.5
    stop "$signal" "$dir"
    check "$signal: the run had ended before" [ "$(tests_in "$dir")" -eq 0 ]
    case $signal in USR1 | USR2 | XCPU) continue ;; esac # the same path
    "$bin/nasrun" --resume "$dir" >"$dir.log" 2>&1 || fail "$signal: resume: $(tail -n 1 "$dir.log")"
    check "$signal: the resumed run differs from the undisturbed one" same_run "$work/whole" "$dir"
done

# A second signal ends all at once, also an engine that stands still and can't save; what goes on ends like the others.
engine_of() { grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | sed -n 's,^/proc/\([0-9]*\)/.*,\1,p'; }
start "$work/twice" budget.steps=1500
wait_for 10 training_in "$work/twice" || fail "twice: no training within 10 s"
kill -STOP "$(engine_of "$background")"
kill -TERM "$background"
sleep 0.6
stop INT "$work/twice"
check "twice: it does not say that nothing was saved" grep -q 'stopped at once' "$work/twice.log"
run "$work/twice" budget.steps=1500 || fail "twice: $(tail -n 1 "$work/twice.log")"
check "twice: the resumed run differs from the undisturbed one" same_run "$work/whole" "$work/twice"

# What nohup protects is not stopped by the terminal's end.
nohup "$bin/nasrun" "$work/job.cfg" output.plots=false output.dir="$work/nohup" budget.steps=1500 >"$work/nohup.log" 2>&1 &
background=$!
wait_for 10 training_in "$work/nohup" || fail "nohup: no training within 10 s"
kill -HUP "$background"
wait "$background"
status=$?
background=""
check "nohup: status $status: $(tail -n 1 "$work/nohup.log")" [ "$status" -eq 0 ]

# A signal before there is anything to save.
start "$work/early" budget.steps=1500
sleep 0.1
stop TERM "$work/early"

# A finished run: the report again, nothing trained, nothing changed.
cp "$work/whole/journal.jsonl" "$work/before.jsonl"
run "$work/whole" budget.steps=1500 || fail "finished run: status $?"
check "a finished run was changed" cmp "$work/before.jsonl" "$work/whole/journal.jsonl"
check "a finished run does not show its report" grep -q 'macro avg' "$work/whole.log"

# A crash between test and report.
rm "$work/whole/report.txt" "$work/whole/report.json"
run "$work/whole" budget.steps=1500 || fail "lost report: status $?"
check "a lost report was not made again" reports_in "$work/whole" ""
check "making a report again changed the journal" cmp "$work/before.jsonl" "$work/whole/journal.jsonl"

# --fresh starts over, and gets to the same.
cp -R "$work/whole" "$work/again"
run "$work/again" budget.steps=1500 --fresh || fail "fresh: $(tail -n 1 "$work/again.log")"
check "--fresh did not start over" grep -q 'start lean' "$work/again.log"
check "--fresh got to something else" same_run "$work/whole" "$work/again"

# A raised budget goes on, as a longer stage or as another one; asked for once more it is finished.
# (The validation images join the last stage alone, whichever that is when it begins: not here.)
run "$work/small" budget.steps=300 train.use_validation=false || fail "small: $(tail -n 1 "$work/small.log")"
cp -R "$work/small" "$work/stages"
run "$work/small" budget.steps=500 train.use_validation=false || fail "raised: $(tail -n 1 "$work/small.log")"
check "raised budget: $(steps_in "$work/small") steps, expected 500" [ "$(steps_in "$work/small")" -eq 500 ]
check "raised budget: no second test" [ "$(tests_in "$work/small")" -eq 2 ]
run "$work/small" budget.steps=500 train.use_validation=false || fail "raised again: $(tail -n 1 "$work/small.log")"
check "a raised budget was used twice" [ "$(tests_in "$work/small")" -eq 2 ]
run "$work/stages" 'budget.steps=[300, 500]' train.use_validation=false || fail "stages: $(tail -n 1 "$work/stages.log")"
check "stages: $(steps_in "$work/stages") steps, expected 500" [ "$(steps_in "$work/stages")" -eq 500 ]
check "stages: the two reports" reports_in "$work/stages" -0 -1
run "$work/both" 'budget.steps=[300, 500]' train.use_validation=false || fail "both: $(tail -n 1 "$work/both.log")"
but_for_the_job() { history_of "$1" | sed -E 's/"job":"([^"\\]|\\.)*",//'; } # which the first line has as it was then
check "stages asked for at once end otherwise than one after the other" same_run "$work/both" "$work/stages" but_for_the_job

# Raised in the middle of a stage: once finished it stays finished.
start "$work/raised" budget.steps=1500
wait_for 10 training_in "$work/raised" || fail "raised: no training within 10 s"
stop TERM "$work/raised"
run "$work/raised" budget.steps=1600 || fail "raised within a stage: $(tail -n 1 "$work/raised.log")"
check "raised within a stage: $(steps_in "$work/raised") steps" [ "$(steps_in "$work/raised")" -eq 1600 ]
run "$work/raised" budget.steps=1600 || fail "raised within a stage, again: $(tail -n 1 "$work/raised.log")"
check "raised within a stage: finished, then trained again" [ "$(tests_in "$work/raised")" -eq 1 ]
finish
