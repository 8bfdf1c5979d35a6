#!/bin/bash
# Random budgets of 3 to 60 s, half of them beside neighbours that keep all CPUs busy: no run ends late, all leave their
# model, and short runs use their time: they end within 3 % of the budget, or within a second where that is more.
# RUNS=100 makes more of them than the few that make test runs, SEED others, LONGEST=60 longer ones. TABLE names a
# file for a line of each.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
runs=${RUNS:-2} seed=${SEED:-1} longest=${LONGEST:-12} table=${TABLE:-$work/table}
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
export OMP_NUM_THREADS
neighbours=""
clean_more() {
    # shellcheck disable=SC2086 # several ids
    [ -z "$neighbours" ] || kill $neighbours 2>/dev/null
}
# One for each CPU, as greedy as they come.
begin_neighbours() {
    for _ in $(seq "$(nproc)"); do
        (while :; do :; done) &
        neighbours="$neighbours $!"
    done
}
end_neighbours() {
    clean_more
    # shellcheck disable=SC2086
    wait $neighbours 2>/dev/null
    neighbours=""
}

echo "budget neighbour seconds early" >"$table"
strategies=(phases none bayesian)
i=0
while [ "$i" -lt "$runs" ]; do
    budget=$(awk -v seed="$seed$i" -v longest="$longest" 'BEGIN { srand(seed); rand(); printf "%.1f", 3 + rand() * (longest - 3) }')
    strategy=${strategies[$((i % 3))]}
    busy=$((i % 2))
    [ "$busy" -eq 0 ] || begin_neighbours
    dir=$work/run-$i
    began=$(now)
    "$bin/nasrun" "$work/job.cfg" output.dir="$dir" budget.seconds="$budget" search.strategy="\"$strategy\"" >"$dir.log" 2>&1
    status=$?
    took=$(awk "BEGIN { printf \"%.2f\", $(now) - $began }")
    [ "$busy" -eq 0 ] || end_neighbours
    what="$strategy, budget of $budget s$([ "$busy" -eq 0 ] || echo ", neighbours")"
    awk "BEGIN { printf \"%.1f %d %.2f %.2f\n\", $budget, $busy, $took, $budget - $took }" >>"$table"
    check "$what: status $status, $(tail -n 1 "$dir.log")" [ "$status" -eq 0 ]
    check "$what: it took $took s" less "$took" "$budget"
    for name in model.safetensors report.txt report.json plots/confusion.png; do
        check "$what: no $name" [ -s "$dir/$name" ]
    done
    rm -rf "$dir"
    i=$((i + 1))
done
awk 'NR > 1 { n++; share = $4 / $1; sum += $4; most = $4 > most ? $4 : most; late += $4 < 0
        within += $4 <= 1 || share <= 0.03; if (NR == 2 || $4 < least) least = $4 }
    END { printf "%d runs: %d late, %d within 3 %% or 1 s; %.2f s early in the mean, %.2f to %.2f\n", n, late, within, sum / n, least, most }' "$table"
finish
