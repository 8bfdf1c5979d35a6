#!/bin/sh
# A search over cells: children change a cell in all its repeats, the final fit is of a deeper and wider network that
# computes at first what its parent does; killed and resumed it is the same run, and its models are derived again.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
sed -e 's/strategy = "bayesian"; starts = \["lean"\]; width = 8;/space = "cells"; width = 8;/' "$work/job.cfg" >"$work/cells.cfg"
echo 'final = { repeats = 3; width = 16; }; budget = { steps = 120; };' >>"$work/cells.cfg"
for name in whole killed; do
    # start: of that run, with more settings behind it
    start() { "$bin/nasrun" -v "$work/cells.cfg" output.plots=false output.checkpoint_seconds=0.02 output.dir="$work/$name" >>"$work/$name.log" 2>&1 & background=$!; }
    # until PATTERN: the journal has a line like it
    until_line() { grep -q "$1" "$work/$name/journal.jsonl" 2>/dev/null; }
    for pattern in '"event":"candidate","id":2' '"event":"candidate".*"final":true' '"event":"test"'; do
        [ "$name" = whole ] && [ "$pattern" != '"event":"test"' ] && continue
        start
        wait_for 300 until_line "$pattern" || fail "$name: no line $pattern: $(tail -n 1 "$work/$name.log")"
        if [ "$pattern" != '"event":"test"' ]; then
            kill -9 "$background"
        fi
        wait "$background" 2>/dev/null
        background=""
        wait_for 5 unlocked "$work/$name" || fail "$name is still locked 5 s after kill -9"
    done
done
check "the killed run differs" same_run "$work/whole" "$work/killed"
check "the report says nothing of how the final network came about" \
    grep -q '^grown from: model [0-9]*: 2 more cells a stage, widen net +100%, final fit$' "$work/whole/report.txt"

# What was searched, and what came of it.
check "children are not of cells" python3 - "$work/whole/journal.jsonl" <<'END'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
candidates = {e["id"]: e for e in events if e["event"] == "candidate"}
morphs = [e for e in events if e["event"] == "morph"]
first, final = candidates[0], [e for e in candidates.values() if e.get("final")][-1]
children = [e for e in candidates.values() if e["parent"] is not None and e["parent"] >= 0 and e is not final]
assert first["operations"][1:3] == ["normal 0.conv3+0.identity", "reduction 0.conv3+0.max"], first["operations"]
assert len(children) >= 3, len(children)
for child in children:
    assert all(" in all " in text for text in child["operations"]), child["operations"]
assert final["operations"] == ["2 more cells a stage", "widen net +100%", "final fit"], final["operations"]
parent = candidates[final["parent"]]
layers = lambda e: len(e["graph"]["layers"])
assert layers(final) > 1.9 * layers(parent), (layers(final), layers(parent))
exits = [layer for layer in final["graph"]["layers"] if 1 << 18 <= layer["id"] < 2 << 18 and layer["id"] % 1024 == 0]
assert len(exits) == 9, len(exits)
assert [e["operation"] for e in morphs if e["id"] == final["id"]] == final["operations"][:2]
assert all(e["difference"] <= 0.02 for e in morphs), morphs  # what bf16 rounds
assert [e["difference"] for e in morphs if e["id"] == final["id"]][0] == 0.0
END
final=$(sed -n 's/.*"event":"candidate","id":\([0-9]*\),.*"final":true.*/\1/p' "$work/whole/journal.jsonl")
check "the final fit is not derived again: $(cat "$work/out" "$work/err" 2>/dev/null)" \
    sh -c "TMPDIR='$work' '$bin/nasinspect' --replay=$final '$work/whole' >'$work/out' 2>'$work/err' && grep -q 'the same bytes' '$work/out'"

# Left open, it is as deep and wide as there is time for.
"$bin/nasrun" "$work/cells.cfg" final.repeats=0 final.width=0 budget.steps=240 output.plots=false output.dir="$work/open" >"$work/log" 2>&1 ||
    fail "final left open: $(tail -n 1 "$work/log")"
check "the open final fit is no deeper network: $(grep '"final":true' "$work/open/journal.jsonl" | cut -c 1-200)" \
    grep -q '"event":"candidate".*"2 more cells a stage","widen net +100%","final fit"' "$work/open/journal.jsonl"

# said PATTERN ARGUMENT...: refused, by a line like that.
said() {
    pattern=$1
    shift
    refused "$bin/nasrun" "$work/cells.cfg" output.dir="$work/none" "$@" && grep -Eq "$pattern" "$work/err"
}
while IFS='|' read -r pattern arguments; do
    # shellcheck disable=SC2086 # several words
    check "$arguments: $(head -n 1 "$work/err")" said "$pattern" $arguments
done <<'END'
found "phases", expected a strategy that makes children|search.strategy=phases
found "none", expected a strategy that makes children|search.strategy=none
found "lean", expected "cell" or "random_cell"|search.starts=["cell","lean"]
final.repeats: found 3, expected 0 or at least the 4 of search.repeats|search.repeats=4
found 81, expected a whole number from 0 to 80|final.repeats=81
found 8, expected 0 or a multiple of 8, 16 or more|search.width=16 final.width=8
found 20, expected 0 or a multiple of 8, 8 or more|final.width=20
search.morphs: found none that changes cells|search.morphs=["widen_net","prune"]
END
finish
