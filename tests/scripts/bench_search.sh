#!/bin/sh
# The bench of the search: its statistics by hand-computed cases; stopped and started again it ends with the same table;
# the placebo changes nothing.
#
# Runs alone: it has deadlines.
. tests/support/script.sh

check "statistics and tables" python3 tests/python/check_bench_search.py

# Ten classes of 1,200 training images and 20 test images: noise, which is brighter in half of the classes.
python3 - "$work/images" <<'END'
import os, random, struct, sys
os.mkdir(sys.argv[1])
noise = random.Random(1)
dark, bright = (bytes(noise.randrange(low, low + 128) for _ in range(1 << 16)) for low in (0, 128))
for name, count in (("train", 12000), ("t10k", 200)):
    with open(os.path.join(sys.argv[1], name + "-labels-idx1-ubyte"), "wb") as out:
        out.write(struct.pack(">2I", 0x801, count) + bytes(i % 10 for i in range(count)))
    with open(os.path.join(sys.argv[1], name + "-images-idx3-ubyte"), "wb") as out:
        out.write(struct.pack(">4I", 0x803, count, 28, 28))
        for i in range(count):
            at = noise.randrange((1 << 16) - 784)
            out.write((bright if i % 2 else dark)[at : at + 784])
END

options="--nasrun $bin/nasrun --placebo $helpers/bench/search/nasrun_placebo --fashion $work/images --seconds 1 --seeds 2
    --static none,lean-8 --selection 1 --arms none,placebo --primary bayesian"
bench() { # bench DIR [OPTION...]
    dir=$1
    shift
    # shellcheck disable=SC2086  # several words
    python3 tests/bench/search/bench.py $options --out "$dir" "$@" >"$dir.log" 2>&1
}
cells_done() { find "$1/cells" -name report.json 2>/dev/null | wc -l; }
some_done() { [ "$(cells_done "$1")" -ge 2 ]; }

check "the bench did not end well" bench "$work/whole"
lines=$(lines_of "$work/whole/results.jsonl")
check "$lines results, expected those of 2 cells to choose by and of 3 or 4 arms with 2 seeds" [ "$lines" -ge 8 ]
check "there are training images left over" grep -q '"train":10000,"validation":2000,"test":200,' "$work/whole/cells/fashion-1-none-1/journal.jsonl"

# In a session of its own, so that the runs are stopped as well.
# shellcheck disable=SC2086
setsid python3 tests/bench/search/bench.py $options --out "$work/stopped" >"$work/stopped.log" 2>&1 &
background=$!
check "no cell was done" wait_for 120 some_done "$work/stopped"
kill -TERM "-$background" 2>/dev/null
wait "$background" 2>/dev/null
# Its runs end by themselves a moment later; one that had just begun may not have a journal yet.
nobody() { ! kill -0 "-$background" 2>/dev/null; }
wait_for 30 nobody || fail "a run goes on after the bench was stopped"
background=""
before=$(cells_done "$work/stopped")
check "all cells were done before it was stopped" [ "$before" -lt "$lines" ]
find "$work/stopped/cells" -name report.json -exec stat -c '%n %y' {} + | sort >"$work/kept"
check "it did not go on" bench "$work/stopped"
check "stopped and started again, the table is another one" cmp "$work/whole/table.md" "$work/stopped/table.md"
sed "s,$work/whole,$work/stopped,g" "$work/whole/results.jsonl" >"$work/expected"
check "stopped and started again, results are others" cmp "$work/expected" "$work/stopped/results.jsonl"
check "a cell that was done was run again" [ -z "$(find "$work/stopped/cells" -name report.json -exec stat -c '%n %y' {} + | sort |
    comm -13 - "$work/kept")" ]

# What another program began is not mixed with this one's.
cp "$bin/nasrun" "$work/other" && echo >>"$work/other"
check "results of two programs are mixed" [ "$(bench "$work/whole" --nasrun "$work/other"; echo $?)" -ne 0 ]
check "why it is refused is not said" grep -q "begun by another nasrun, of commit" "$work/whole.log"

# Each of the placebo's children is its parent.
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
"$helpers/bench/search/nasrun_placebo" "$work/job.cfg" budget.models=5 search.epochs=1 train.final_epochs=1 output.plots=false \
    output.dir="$work/placebo" >"$work/log" 2>&1 || fail "the placebo: $(tail -n 1 "$work/log")"
check "the placebo's children are changed" [ "$(grep -c '"operations":\["train further"\]' "$work/placebo/journal.jsonl")" = 4 ]
check "the placebo's networks differ" [ "$(sed -n 's/.*"graph":\(.*\),"parameters".*/\1/p' "$work/placebo/journal.jsonl" | sort -u | wc -l)" = 1 ]
finish
