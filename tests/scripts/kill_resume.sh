#!/bin/sh
# Runs killed with kill -9 at random instants and resumed end like the undisturbed run: the same journal but for what
# the clock decides, the same model byte for byte; on one device, and on two that train side by side and share the
# final fit; by a strategy that grows networks, and by the one of phases; once by each of the others. KILLS=50 makes
# more of them (default 4).
. tests/support/script.sh
kills=${KILLS:-4}
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"

# start DIR: the run in the background; its id is in $background.
start() {
    # shellcheck disable=SC2086 # $strategy is several words
    "$bin/nasrun" -v "$work/job.cfg" $strategy output.dir="$1" "devices=$devices" output.plots=false output.checkpoint_seconds=0.02 \
        >>"$1.log" 2>&1 &
    background=$!
}

# await: waits for the started run; its status is returned.
await() {
    wait "$background" 2>/dev/null
    status=$?
    background=""
    return "$status"
}

# engine_of ID: the child of that supervisor.
engine_of() { grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | sed -n 's,^/proc/\([0-9]*\)/.*,\1,p'; }

# kill_runs NAME DEVICES KILLS HISTORY
kill_runs() {
    name=$1 devices=$2 wanted=$3 history=$4
    began=$(now)
    start "$work/$name"
    await || fail "the undisturbed run ended with status $?: $(tail -n 1 "$work/$name.log")"
    shape=$(grep -c '"event":"model"' "$work/$name/journal.jsonl")
    check "the undisturbed run trained $shape models" [ "$shape" -gt 5 ]
    length=$(awk "BEGIN { print $(now) - $began }")

    # More than were wanted where chance has it that all only met what is done again from its start.
    i=0
    resumed=0
    while [ "$i" -lt "$wanted" ] || { [ "$resumed" -eq 0 ] && [ "$i" -lt $((wanted + 20)) ]; }; do
        i=$((i + 1))
        dir=$work/$name-$i
        # One to three kills in one run. A resumed run is shorter, so that later kills may come too late; that is fine.
        for delay in $(awk -v seed="$i" -v whole="$length" \
            'BEGIN { srand(seed); for (k = 0; k <= seed % 3; k++) printf "%.3f ", rand() * whole }'); do
            start "$dir"
            sleep "$delay"
            kill -9 "$background" 2>/dev/null
            await
            wait_for 5 unlocked "$dir" || fail "run $i is still locked 5 s after kill -9"
        done
        start "$dir"
        if ! await; then
            fail "run $i did not end well: $(tail -n 1 "$dir.log")"
        elif ! same_run "$work/$name" "$dir" "$history"; then
            fail "run $i differs from the undisturbed one"
        else
            pass
        fi
        grep -q '^  model [0-9]* goes on from step ' "$dir.log" && resumed=$((resumed + 1))
        rm -rf "$dir"
    done
    check "of $i killed runs none went on in the middle of a training" [ "$resumed" -gt 0 ]

    # The engine alone: the supervisor starts another one within the same command.
    dir=$work/$name-engine
    start "$dir"
    wait_for 10 training_in "$dir" || fail "no training within 10 s"
    kill -9 "$(engine_of "$background")"
    if ! await; then
        fail "the run whose engine was killed did not end well: $(tail -n 1 "$dir.log")"
    elif ! grep -q 'the engine was killed by signal 9' "$dir.log"; then
        fail "the supervisor does not tell that the engine was killed"
    elif ! same_run "$work/$name" "$dir" "$history"; then
        fail "the run whose engine was killed differs from the undisturbed one"
    else
        pass
    fi
}
strategy="budget.steps=400 train.learning_rate={min=0.02;max=0.5} train.batch=[32,24]"
kill_runs one '["cpu"]' "$kills" history_of
kill_runs two '["cpu:0","cpu:1"]' $(((kills + 1) / 2)) unordered_history_of
# Three networks of two families, the better two twice as long, then the final fit.
strategy='search.strategy="phases" search.starts=["lean","res9"] search.width=0 search.max_parameters=150000 search.epochs=0.8
    budget.models=8 train.final_epochs=15 train.batch=[8,16] train.learning_rate={min=0.02;max=0.5}'
kill_runs phases '["cpu"]' $(((kills + 1) / 2)) history_of
kill_runs phases-two '["cpu:0","cpu:1"]' $(((kills + 1) / 2)) unordered_history_of

five_models_in() { [ -e "$1/journal.jsonl" ] && [ "$(grep -c '"event":"model"' "$1/journal.jsonl")" -ge 5 ]; }

# Killed once in the middle of the search, on two devices, so that several are on their way.
kill_once() {
    devices='["cpu:0","cpu:1"]'
    start "$work/$1"
    await || fail "$1: the undisturbed run ended with status $?: $(tail -n 1 "$work/$1.log")"
    dir=$work/$1-killed
    start "$dir"
    wait_for 30 five_models_in "$dir" || fail "$1: no five models within 30 s"
    kill -9 "$background" 2>/dev/null
    await
    wait_for 5 unlocked "$dir" || fail "$1 is still locked 5 s after kill -9"
    start "$dir"
    await || fail "$1: the resumed run did not end well: $(tail -n 1 "$dir.log")"
    check "$1: the resumed run differs" same_run "$work/$1" "$dir" unordered_history_of
}
grows='search.starts=["lean"] search.epochs=0.5 budget.models=9 train.final_epochs=1'
strategy="search.strategy=hill_climb search.neighbours=3 $grows"
kill_once hill_climb
strategy="search.strategy=evolution search.population=3 search.tournament=2 $grows"
kill_once evolution
strategy="search.strategy=reinforce search.policy_batch=2 search.policy_rate=0.1 $grows"
kill_once reinforce
strategy="search.strategy=asha search.width=0 search.widths=[8] search.eta=2 search.rungs=2 $grows"
kill_once asha
strategy="search.strategy=grid search.width=0 search.widths=[8,16] $grows"
kill_once grid
finish
