#!/bin/sh
# An engine that is killed again and again: of the candidates that were in training side by side, each is tried with
# nothing beside it, and only the one with which it happens again is given up.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
dir=$work/run
journal=$dir/journal.jsonl

engine_of() { grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | sed -n 's,^/proc/\([0-9]*\)/.*,\1,p'; }
# Epochs of candidate ID that the journal tells of.
epochs_of() { cat "$journal" 2>/dev/null | grep -c "\"event\":\"epoch\",\"id\":$1,"; }
has_epochs() { [ "$(epochs_of "$1")" -gt "$2" ]; }
restarted() { [ -e "$dir/restarts.txt" ] && [ "$(lines_of "$dir/restarts.txt")" -eq "$1" ]; }

"$bin/nasrun" "$work/job.cfg" budget.models=3 search.epochs=100 train.final_epochs=1 'devices=["cpu:0","cpu:1"]' \
    output.dir="$dir" output.plots=false output.checkpoint_seconds=0.02 >"$dir.log" 2>&1 &
background=$!
wait_for 30 has_epochs 1 2 || fail "candidate 1 is not trained: $(tail -n 1 "$dir.log")"
wait_for 30 has_epochs 2 2 || fail "candidate 2 is not trained beside it"
kill -9 "$(engine_of "$background")"
wait_for 10 restarted 2 || fail "not both candidates are noted: $(cat "$dir/restarts.txt")"
check "other candidates are noted: $(cat "$dir/restarts.txt")" [ "$(cut -d ' ' -f 1 "$dir/restarts.txt" | sort | tr '\n' ' ')" = "1 2 " ]

# 1 goes on, and 2 waits.
one=$(epochs_of 1) two=$(epochs_of 2)
wait_for 30 has_epochs 1 $((one + 2)) || fail "candidate 1 does not go on"
check "candidate 2 is trained beside it" [ "$(epochs_of 2)" -le "$two" ]
kill -9 "$(engine_of "$background")"
wait "$background"
status=$?
background=""
check "status $status: $(tail -n 1 "$dir.log")" [ "$status" -eq 0 ]
check "candidate 1 is not given up" grep -q '"event":"failed","id":1,.*killed the engine 2 times, last by signal 9' "$journal"
check "candidate 2 is given up, too" grep -q '"event":"model","id":2,' "$journal"
check "more have failed" [ "$(grep -c '"event":"failed"' "$journal")" -eq 1 ]
check "more kills are noted: $(cat "$dir/restarts.txt")" restarted 3
check "no report" grep -q '^accuracy: 0\.' "$dir/report.txt"
check "checkpoints are left" [ -z "$(ls "$dir" | grep checkpoint)" ]
finish
