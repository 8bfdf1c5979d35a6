#!/bin/sh
# nasinspect: the models of a run as text, CSV and JSON, the weights of one, and models that are derived again.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
run=$work/run
"$bin/nasrun" "$work/job.cfg" budget.steps=120 output.dir="$run" output.plots=false >"$work/log" 2>&1 || fail "nasrun: $(tail -n 1 "$work/log")"
cp -R "$run" "$work/before"
models=$(grep -c '"event":"candidate"' "$run/journal.jsonl")
final=$((models - 1))

# refused_by TEXT COMMAND...: refused, and the line has that text.
refused_by() {
    text=$1
    shift
    refused "$@" && grep -q "$text" "$work/err"
}
# hash_of ID RUN: what the journal has.
hash_of() { sed -n 's/.*"event":"model","id":'"$1"',.*"hash":"\([^"]*\)".*/\1/p' "$2/journal.jsonl"; }

# ---- what it shows ----
"$bin/nasinspect" "$run" >"$work/text" || fail "nasinspect: status $?"
check "a line for each model: $(lines_of "$work/text"), expected $models and a heading" [ "$(lines_of "$work/text")" -eq $((models + 1)) ]
check "the first model: $(sed -n 2p "$work/text")" \
    sh -c "sed -n 2p '$work/text' | grep -q '^ *0 *- *candidate *trained .* $(hash_of 0 "$run") *start lean\$'"
check "the final fit: $(tail -n 1 "$work/text")" sh -c "tail -n 1 '$work/text' | grep -q 'final fit *trained .* $(hash_of $final "$run") '"
"$bin/nasinspect" --format=csv "$run" >"$work/csv" || fail "nasinspect --format=csv: status $?"
check "CSV has another heading: $(head -n 1 "$work/csv")" [ "$(head -n 1 "$work/csv")" = \
    id,parent,stage,kind,state,operations,hyperparameters,accuracy,loss,parameters,flops,layers,steps,epochs,hash ]
"$bin/nasinspect" --format=json "$run" $final >"$work/json" || fail "nasinspect --format=json: status $?"
"$bin/nasinspect" "$run" $final >"$work/one" || fail "nasinspect RUN ID: status $?"
check "norms, shapes and counts are not those of the file" python3 - "$work/json" "$run/models/$final.safetensors" <<'END'
import json, math, struct, sys
told = json.load(open(sys.argv[1]))
data = open(sys.argv[2], "rb").read()
length = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + length])
assert told["kind"] == "final fit" and told["state"] == "trained", told
assert len(told["weights"]) == len(header) - 1
for tensor in told["weights"]:
    entry = header[tensor["name"]]
    first, end = entry["data_offsets"]
    values = struct.unpack("<%df" % ((end - first) // 4), data[8 + length + first:8 + length + end])
    assert tensor["values"] == len(values) and math.prod(tensor["shape"]) == len(values), tensor
    assert abs(tensor["norm"] - math.sqrt(sum(v * v for v in values))) <= 1e-9 * tensor["norm"], tensor
END
check "the text has no line for each tensor" [ "$(grep -c '^layers\.' "$work/one")" -eq "$(grep -c '"norm"' "$work/json")" ]

# ---- what it derives again ----
for id in 0 1 $final; do
    check "model $id is not derived again: $(cat "$work/out" "$work/err" 2>/dev/null)" \
        sh -c "TMPDIR='$work' '$bin/nasinspect' --replay=$id '$run' >'$work/out' 2>'$work/err' &&
            grep -q '^model $id: derived again, the same bytes, $(hash_of $id "$run")\$' '$work/out'"
done
check "the run was changed" diff -r "$run" "$work/before"
check "a folder was left: $(ls "$work")" sh -c "! ls -d '$work'/nasinspect-* 2>/dev/null"

cp -R "$run" "$work/gone" && rm "$work/gone/models/"*.safetensors
check "a child whose parent is gone: $(cat "$work/err")" \
    sh -c "'$bin/nasinspect' --replay=1 '$work/gone' 2>'$work/err' | grep -q 'the same bytes'"
cp -R "$run" "$work/other"
sed -i '/"event":"model","id":1,/s/"hash":"xxh3:[0-9a-f]*"/"hash":"xxh3:0123456789abcdef"/' "$work/other/journal.jsonl"
"$helpers/journal/test_events" --seal "$work/other/journal.jsonl" >/dev/null || fail "test_events --seal: status $?"
check "another hash: $(cat "$work/err")" \
    refused_by "derived again it has the hash $(hash_of 1 "$run"), expected xxh3:0123456789abcdef" "$bin/nasinspect" --replay=1 "$work/other"
check "a file that is not the journal's: $(cat "$work/err")" \
    refused_by "its hash is $(hash_of 1 "$run"), expected xxh3:0123456789abcdef as the journal says" "$bin/nasinspect" "$work/other" 1

# ---- what it can't ----
"$bin/nasrun" "$work/job.cfg" budget.seconds=1 search.strategy=none output.dir="$work/clocked" output.plots=false >"$work/log" 2>&1 ||
    fail "nasrun: $(tail -n 1 "$work/log")"
check "a run by the clock: $(cat "$work/err")" refused_by "a clock decided how long" "$bin/nasinspect" --replay=0 "$work/clocked"
check "a model that is not there: $(cat "$work/err")" refused_by "model 99 is not in the journal" "$bin/nasinspect" "$run" 99
check "another one: $(cat "$work/err")" refused_by "model 99 is not in the journal" "$bin/nasinspect" --replay=99 "$run"
check "no id: $(cat "$work/err")" refused_by 'found "x", expected the id' "$bin/nasinspect" "$run" x
check "a format: $(cat "$work/err")" refused_by 'expected text, json or csv' "$bin/nasinspect" --format=xml "$run"
check "both: $(cat "$work/err")" refused_by "beside --replay" "$bin/nasinspect" --replay=1 "$run" 1
mv "$work/data" "$work/moved"
check "data that are gone: $(cat "$work/err")" refused_by "the engine has ended before the model was trained: .*/data" "$bin/nasinspect" --replay=1 "$run"
finish
