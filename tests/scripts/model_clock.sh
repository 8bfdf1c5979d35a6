#!/bin/sh
# budget.clock = "model": seconds are predicted from the networks, so the same job ends with the same bytes on a
# machine that is busy, and after kills in both stages; also with two devices, whoever is done first.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"

burners=""
stop_burners() {
    # shellcheck disable=SC2086  # several ids
    [ -z "$burners" ] || kill $burners 2>/dev/null
    burners=""
}
clean_more() { stop_burners; }

# start DIR KEY=VALUE...: the run in the background; its id is in $background.
start() {
    dir=$1
    shift
    "$bin/nasrun" "$work/job.cfg" budget.clock=model output.dir="$dir" output.plots=false output.checkpoint_seconds=0.02 "$@" \
        >>"$dir.log" 2>&1 &
    background=$!
}
await() {
    wait "$background" 2>/dev/null
    status=$?
    background=""
    return "$status"
}
# whole DIR KEY=VALUE...: the run to its end.
whole() {
    start "$@"
    check "$1: the run did not end well" await
}
candidates_of() { grep -c '"event":"candidate"' "$1/journal.jsonl"; }
begun() { grep -q "\"event\":\"candidate\",\"id\":[0-9]*,\"parent\":[-0-9]*,\"stage\":$2," "$1/journal.jsonl" 2>/dev/null; }

stages='budget.seconds=[1, 1.3]'
whole "$work/quiet" "$stages"
check "$(candidates_of "$work/quiet") candidates, expected ten at least" [ "$(candidates_of "$work/quiet")" -ge 10 ]
for stage in 0 1; do
    took=$(sed -n "s/.*\"event\":\"test\",\"stage\":$stage,.*\"elapsed_seconds\":\([0-9.]*\).*/\1/p" "$work/quiet/journal.jsonl")
    check "stage $stage ended after ${took:-no} s of the model's clock" less "${took:-99}" "1.$((3 * stage))"
    check "stage $stage ended after ${took:-no} s only" less "0.9$stage" "${took:-0}"
done

for _ in 1 2 3; do
    sh -c 'while :; do :; done' &
    burners="$burners $!"
done
whole "$work/busy" "$stages"
stop_burners
check "on a busy machine the run is another one" same_run "$work/quiet" "$work/busy"

for stage in 0 1; do
    start "$work/killed" "$stages"
    check "stage $stage: no candidate to be killed" wait_for 60 begun "$work/killed" "$stage"
    kill -9 "$background" 2>/dev/null
    await
    wait_for 5 unlocked "$work/killed" || fail "the run is still locked 5 s after kill -9"
done
whole "$work/killed" "$stages"
check "after kills the run is another one" same_run "$work/quiet" "$work/killed"

# What is on its way counts as spent: candidates that are proposed ahead take nothing from the final fit's share.
whole "$work/ahead" budget.seconds=1 search.ahead=3
began=$(sed -n 's/.*"time":\([0-9.]*\),"event":"candidate",.*"final":true.*/\1/p' "$work/ahead/journal.jsonl")
check "the final fit began after ${began:-no} s of the model's clock, expected at most 0.4" less "${began:-99}" 0.4

# Without a search there is one training, to the end.
none='search.strategy="none"'
whole "$work/alone" "$none" budget.seconds=1
check "without a search: $(candidates_of "$work/alone") candidates, expected the final fit" \
    [ "$(candidates_of "$work/alone")" -eq 1 ]
took=$(sed -n 's/.*"event":"test",.*"elapsed_seconds":\([0-9.]*\).*/\1/p' "$work/alone/journal.jsonl")
check "without a search it ended after ${took:-no} s of the model's clock" less "${took:-99}" 1
check "without a search it ended after ${took:-no} s only" less 0.9 "${took:-0}"
start "$work/alone_killed" "$none" budget.seconds=1
check "without a search: nothing to be killed" wait_for 60 begun "$work/alone_killed" 0
kill -9 "$background" 2>/dev/null
await
wait_for 5 unlocked "$work/alone_killed" || fail "the run is still locked 5 s after kill -9"
whole "$work/alone_killed" "$none" budget.seconds=1
check "without a search, after a kill the run is another one" same_run "$work/alone" "$work/alone_killed"

for dir in first second; do
    whole "$work/$dir" budget.seconds=1 'devices=["cpu:0","cpu:1"]'
done
check "two runs on two devices differ" same_run "$work/first" "$work/second" unordered_history_of
finish
