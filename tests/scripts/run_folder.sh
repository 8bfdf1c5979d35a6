#!/bin/sh
# The run folder as a user meets it: two starts at once, a folder of others', data that moved, damage.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"

# nasrun DIR [ARGUMENT...]: a run of a second or two in that folder.
nasrun() {
    dir=$1
    shift
    "$bin/nasrun" "$work/job.cfg" budget.steps=60 output.plots=false output.dir="$dir" "$@"
}

# refused NAME PATTERN COMMAND...: status 2 and one line that matches.
refused() {
    name=$1 pattern=$2
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    status=$?
    if [ "$status" -ne 2 ] || [ "$(lines_of "$work/err")" -ne 1 ] || ! grep -Eq "^nas[a-z]*: .*$pattern" "$work/err"; then
        fail "$name: expected status 2 and /$pattern/, found status $status, $(head -c 400 "$work/err")"
    else
        pass
    fi
}

# ---- two starts at once: one is refused, the run is the other's, whoever asks again ----
for i in 1 2 3 4 5; do
    run=$work/both$i
    nasrun "$run" train.batch=16 >"$work/out16" 2>"$work/err16" &
    first=$!
    nasrun "$run" train.batch=32 >"$work/out32" 2>"$work/err32" &
    second=$!
    wait "$first"
    status16=$?
    wait "$second"
    status32=$?
    case $status16$status32 in
    02) winner=16 loser=32 ;;
    20) winner=32 loser=16 ;;
    *)
        fail "start $i: statuses $status16 and $status32: $(cat "$work/err16" "$work/err32")"
        continue
        ;;
    esac
    check "start $i: the loser was told: $(cat "$work/err$loser")" grep -q 'another nasrun\|another job' "$work/err$loser"
    check "start $i: job.cfg is the loser's" grep -q "batch = $winner;" "$run/job.cfg"
    check "start $i: the run is not the winner's" grep -q "\"batch\":$winner," "$run/journal.jsonl"
    refused "start $i: the loser again" 'another job.*--fresh.*train.batch' nasrun "$run" train.batch=$loser
    check "start $i: job.cfg became the loser's" grep -q "batch = $winner;" "$run/job.cfg"
    nasrun "$run" train.batch=$winner >"$work/log" 2>&1 || fail "start $i: the winner again: $(tail -n 1 "$work/log")"
done

# ---- a run that is killed keeps its job; the lock ends with it ----
run=$work/killed
"$bin/nasrun" "$work/job.cfg" output.plots=false output.dir="$run" budget.steps=20000 >"$work/log" 2>&1 &
background=$!
wait_for 10 training_in "$run" || fail "no training within 10 s"
kill -9 "$background"
wait "$background" 2>/dev/null
background=""
# The engine dies with its supervisor, and the lock with it; a moment later where the machine is busy.
is_free() { nasrun "$run" >"$work/log" 2>&1; ! grep -q 'another nasrun' "$work/log"; }
wait_for 10 is_free || fail "the lock outlives the run"
check "a killed run goes on with a smaller budget: $(cat "$work/log")" grep -q 'another job.*budget.steps' "$work/log"
printf 'seed = = ;' >"$run/job.cfg"
"$bin/nasrun" --resume="$run" budget.steps=20040 >"$work/log" 2>"$work/err" &
background=$!
wait_for 10 grep -q '"steps":20040' "$run/journal.jsonl" || fail "a damaged job.cfg: $(cat "$work/err")"
kill "$background"
wait "$background"
background=""
check "a damaged job.cfg is not told of: $(cat "$work/err")" grep -q 'job.cfg.*:1: ' "$work/err"
check "a damaged job.cfg was not written again" grep -q 'steps = \[20040\]' "$run/job.cfg"

# ---- others' files ----
mkdir "$work/theirs" "$work/theirs/models" "$work/theirs/plots"
for name in journal.jsonl checkpoint-1.bin models/1.safetensors plots/learning.png; do echo theirs >"$work/theirs/$name"; done
cp -R "$work/theirs" "$work/as_it_was"
refused "a journal of others" 'journal.jsonl: is no journal of nasrun' nasrun "$work/theirs"
refused "a journal of others, --fresh" 'journal.jsonl: is no journal of nasrun' nasrun "$work/theirs" --fresh
refused "a journal of others, --resume" 'journal.jsonl: is no journal of nasrun' "$bin/nasrun" --resume="$work/theirs"
check "a folder of others was changed" diff -r "$work/theirs" "$work/as_it_was"

run=$work/run
nasrun "$run" >"$work/log" 2>&1 || fail "a run: $(tail -n 1 "$work/log")"
for name in checkpoint-7.bin.backup models/mine.safetensors report-2.txt; do echo mine >"$run/$name"; done
nasrun "$run" >"$work/log" 2>&1 || fail "a run again: $(tail -n 1 "$work/log")"
for name in checkpoint-7.bin.backup models/mine.safetensors; do check "resuming removed $name" [ -e "$run/$name" ]; done
nasrun "$run" --fresh >"$work/log" 2>&1 || fail "--fresh: $(tail -n 1 "$work/log")"
for name in checkpoint-7.bin.backup models/mine.safetensors; do check "--fresh removed $name" [ -e "$run/$name" ]; done
check "--fresh left an old report" [ ! -e "$run/report-2.txt" ]
mv "$run/models" "$work/elsewhere"
ln -s "$work/elsewhere" "$run/models"
refused "a linked models/, --fresh" 'models: is a symbolic link.*remove it' nasrun "$run" --fresh
check "what a linked models/ leads to was emptied" [ -e "$work/elsewhere/mine.safetensors" ]
rm "$run/models" && mv "$work/elsewhere" "$run/models"

# ---- damage: a finished run's model, a bit of the journal ----
cp "$run/model.safetensors" "$work/good.safetensors"
flip() { printf '\252' | dd of="$1" bs=1 seek=$(($(wc -c <"$1") - $2)) conv=notrunc 2>/dev/null; }
for how in flip cut delete; do
    case $how in
    flip)
        flip "$run/model.safetensors" 9
        refused "naspredict with a flipped model" 'its hash is xxh3:.*nasrun --resume' "$bin/naspredict" "$run" "$work/data/two.png"
        ;;
    cut) truncate -s -8 "$run/model.safetensors" ;;
    delete) rm "$run/model.safetensors" ;;
    esac
    "$bin/nasrun" --resume="$run" -q >"$work/log" 2>&1 || fail "a model, $how: $(tail -n 1 "$work/log")"
    check "a model, $how: not as it was" cmp "$work/good.safetensors" "$run/model.safetensors"
    check "a model, $how: nothing is said: $(cat "$work/log")" grep -q 'model.safetensors was gone or damaged' "$work/log"
done

cp -R "$run" "$work/salvaged"
sed -i '6s/"seq":5/"seq":4/' "$work/salvaged/journal.jsonl"
refused "a damaged journal" '--salvage keeps.*journal.jsonl:6:' nasrun "$work/salvaged"
nasrun "$work/salvaged" --salvage >"$work/log" 2>"$work/err" || fail "--salvage: $(cat "$work/err")"
check "--salvage says: $(cat "$work/err")" grep -q 'first 5 lines are kept' "$work/err"
check "--salvage comes to another end" same_run "$run" "$work/salvaged"
check "--salvage did not keep what was there" [ -s "$work/salvaged/journal.jsonl.damaged" ]
nasrun "$work/salvaged" --salvage >"$work/log" 2>&1 || fail "--salvage of a good run: $(tail -n 1 "$work/log")"

# ---- data that moved: their fingerprint is what they are ----
mv "$work/data" "$work/moved"
refused "data that are gone" 'dataset.path.*data' "$bin/nasrun" --resume="$run" budget.steps=90
"$bin/nasrun" --resume="$run" budget.steps=90 dataset.path="$work/moved" >"$work/log" 2>&1 ||
    fail "data that moved: $(tail -n 1 "$work/log")"
"$bin/nasrun" --resume="$run" >"$work/log" 2>&1 || fail "data that moved before: $(tail -n 1 "$work/log")"
check "the run did not go on with the moved data" grep -q '"stage":0,"budget":{"steps":90}' "$run/journal.jsonl"
mv "$work/moved" "$work/data"
finish
