#!/bin/sh
# Bad input and a hostile system: exit status 2, one line on stderr that says what and where, nothing half-written.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
data=$work/data
make_data "$data"
make_job "$work/job.cfg" "$data"
mounted=""
clean_more() { [ -n "$mounted" ] && umount "$mounted" 2>/dev/null; }

# nasrun DIR [ARGUMENT...]: a short run in that folder.
nasrun() {
    dir=$1
    shift
    "$bin/nasrun" "${job:-$work/job.cfg}" budget.steps=200 output.plots=false output.dir="$dir" "$@"
}

# refused NAME PATTERN DIR [ARGUMENT...]: the run ends with status 2, and its one line matches the extended pattern.
refused() {
    name=$1 pattern=$2 dir=$3
    shift 3
    nasrun "$dir" "$@" >"$work/out" 2>"$work/err"
    status=$?
    said="status $status, $(lines_of "$work/err") lines, $(head -c 400 "$work/err")"
    if [ "$status" -ne 2 ] || [ "$(lines_of "$work/err")" -ne 1 ]; then
        fail "$name: expected status 2 and one line, found $said"
    elif ! grep -Eq "^nasrun: .*$pattern" "$work/err"; then
        fail "$name: expected /$pattern/, found $said"
    elif [ -n "$(find "$dir" -name '*.tmp' 2>/dev/null)" ]; then
        fail "$name: left $(find "$dir" -name '*.tmp')"
    else
        pass
    fi
}

# The same, and no run was begun.
refused_at_once() {
    refused "$@"
    check "$1: a run was begun" [ ! -e "$3/journal.jsonl" ]
}

# bad_data NAME: a copy of the data in $bad, to be spoilt.
bad_data() {
    bad=$work/$1
    cp -R "$data" "$bad"
}
put_byte() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null; }

# ---- the job ----
sed 's/width = 8;/width = = 8;/' "$work/job.cfg" >"$work/syntax.cfg"
job=$work/syntax.cfg
refused_at_once "syntax error" 'syntax.cfg:2' "$work/r1"
sed 's/width = 8/widht = 8/' "$work/job.cfg" >"$work/unknown.cfg"
job=$work/unknown.cfg
refused_at_once "unknown key" 'unknown.cfg:2.*widht.*width' "$work/r1"
job=$work/missing.cfg
refused_at_once "missing job file" 'missing.cfg' "$work/r1"
job=$work/job.cfg
echo 'nasrun search prior 2' >"$work/other.prior"
refused_at_once "a prior of another version" 'other.prior: found a search prior of version 2, expected version 1' "$work/r1" \
    search.strategy=phases search.prior="$work/other.prior"
refused_at_once "a prior that is not there" 'search.prior.*which does not exist' "$work/r1" search.strategy=phases search.prior="$work/no.prior"
refused_at_once "unknown key on the command line" 'searhc' "$work/r1" searhc.width=8
refused_at_once "a value out of its range" 'train.batch.*found.*expected' "$work/r1" train.batch=-1
refused_at_once "a batch larger than the data" 'train.batch.*found 8000' "$work/r1" train.batch=8000
refused_at_once "a range of batches larger than the data" 'train.batch.*found 8000' "$work/r1" 'train.batch={min=8;max=8000}'
refused_at_once "a range upside down" 'train.learning_rate.*from 1 to 0.01.*min below max' "$work/r1" \
    'train.learning_rate={min=1;max=0.01}'
refused_at_once "a range of what can not be searched" 'train.warmup.*found a range' "$work/r1" 'train.warmup={min=0.1;max=0.2}'
refused_at_once "a range without a search" 'train.average.*found a list' "$work/r1" search.strategy=none 'train.average=[0.5,0.6]'
refused_at_once "several starts without a search" 'search.starts.*found 2.*expected one' "$work/r1" search.strategy=none \
    'search.starts=["lean","cnn"]'
refused_at_once "a baseline without a search" 'baseline.start.*found "first"' "$work/r1" search.strategy=none baseline.start=first
refused_at_once "a range of no width" 'train.momentum.*from 0.5 to 0.5' "$work/r1" 'train.momentum={min=0.5;max=0.5}'
refused_at_once "a range beyond the bounds" 'train.momentum' "$work/r1" 'train.momentum={min=0.5;max=2}'
refused_at_once "the same value twice" 'train.average' "$work/r1" 'train.average=[0.5,0.5]'
refused_at_once "two budgets" 'budget' "$work/r1" budget.models=3
if [ -e /dev/nvidia0 ] || [ -e /dev/dxg ]; then
    skip "devices=cuda where there is none: there is one"
else
    refused_at_once "a device that is not there" 'cuda|GPU' "$work/r1" devices=cuda
fi

# ---- the data ----
refused_at_once "missing data folder" 'dataset.path.*nowhere' "$work/r1" dataset.path="$work/nowhere"
bad_data truncated
truncate -s -100 "$bad/train-images-idx3-ubyte"
refused_at_once "IDX cut short" 'truncated/train-images-idx3-ubyte' "$work/r1" dataset.path="$bad"
bad_data gzip
gzip "$bad/train-images-idx3-ubyte"
truncate -s 20000 "$bad/train-images-idx3-ubyte.gz"
refused_at_once "gzip cut in the middle" 'gzip/train-images-idx3-ubyte.gz' "$work/r1" dataset.path="$bad"
bad_data magic
put_byte "$bad/train-labels-idx1-ubyte" 2 '\015'
refused_at_once "IDX of another type" 'magic/train-labels-idx1-ubyte' "$work/r1" dataset.path="$bad"
bad_data label
put_byte "$bad/t10k-labels-idx1-ubyte" 12 '\310'
refused_at_once "a test label that training does not know" '200' "$work/r1" dataset.path="$bad"
bad_data one-class
for part in train t10k; do
    count=$(($(wc -c <"$bad/$part-labels-idx1-ubyte") - 8))
    head -c 8 "$data/$part-labels-idx1-ubyte" >"$bad/$part-labels-idx1-ubyte"
    head -c "$count" /dev/zero >>"$bad/$part-labels-idx1-ubyte"
done
refused_at_once "one class only" 'class' "$work/r1" dataset.path="$bad"

# ---- the run folder ----
run=$work/run
nasrun "$run" >"$work/log" 2>&1 || fail "a good run: $(tail -n 1 "$work/log")"

cp -R "$run" "$work/torn"
truncate -s -9 "$work/torn/journal.jsonl"
nasrun "$work/torn" >"$work/log" 2>&1 || fail "torn last line: $(tail -n 1 "$work/log")"
check "a run with a torn last line goes on to another end" same_run "$run" "$work/torn"

cp -R "$run" "$work/middle"
sed -i '5s/"seq":4/"seq":3/' "$work/middle/journal.jsonl"
cp "$work/middle/journal.jsonl" "$work/middle.jsonl"
refused "journal broken in the middle" 'journal.jsonl:5' "$work/middle"
check "a broken journal was written to" cmp "$work/middle.jsonl" "$work/middle/journal.jsonl"

cp "$run/journal.jsonl" "$work/before.jsonl"
refused "a run folder of another job" 'another job.*--fresh.*train.batch' "$run" train.batch=16
refused "a run folder of another seed" 'another job.*seed' "$run" seed=5
bad_data changed
put_byte "$bad/train-images-idx3-ubyte" 500 '\377'
mv "$data" "$data.kept" && mv "$bad" "$data"
refused "a run folder of other data" 'began on .* images .* --fresh' "$run"
rm -r "$data" && mv "$data.kept" "$data"
check "a refused run folder was written to" cmp "$work/before.jsonl" "$run/journal.jsonl"

"$bin/nasrun" "$work/job.cfg" budget.steps=20000 output.dir="$work/busy" >"$work/busy.log" 2>&1 &
background=$!
wait_for 10 training_in "$work/busy" || fail "no training within 10 s"
"$bin/nasrun" "$work/job.cfg" budget.steps=20000 output.dir="$work/busy" >"$work/out" 2>"$work/err"
status=$?
check "a second nasrun on a run folder: status $status, expected 2" [ "$status" -eq 2 ]
check "a second nasrun on a run folder: not one line" [ "$(lines_of "$work/err")" -eq 1 ]
check "a second nasrun says: $(cat "$work/err")" grep -q 'another nasrun' "$work/err"
refused "--fresh on a run folder in use" 'another nasrun' "$work/busy" --fresh
kill "$background"
wait "$background"
status=$?
background=""
check "the first nasrun was disturbed: status $status, $(tail -n 1 "$work/busy.log")" [ "$status" -eq 75 ]

touch "$work/file"
refused "a file where the run folder should be" 'file' "$work/file"

# Special files are nothing to wait for.
mkfifo "$work/pipe"
(failed=0 && job=$work/pipe && refused "a named pipe as job" 'pipe: is a named pipe' "$work/r1" && exit "$failed")
check "a named pipe as job" [ $? -eq 0 ]
(failed=0 && job=/dev/zero && refused "an endless job" '/dev/zero: is a device' "$work/r1" && exit "$failed")
check "an endless job" [ $? -eq 0 ]
timeout 20 "$bin/naspredict" "$run" "$work/pipe" >"$work/out" 2>"$work/err"
status=$?
check "naspredict of a named pipe: status $status, expected 2: $(cat "$work/err")" [ "$status" -eq 2 ]

# ---- the system ----
# A limit on the size of files acts like a full disk: the model does not fit, what came before is whole.
(failed=0 && ulimit -f 60 && refused "file-size limit" 'too large' "$work/limit" && exit "$failed")
check "a file-size limit" [ $? -eq 0 ]
check "a file-size limit: the engine was started again" [ ! -e "$work/limit/restarts.txt" ]
nasrun "$work/limit" >"$work/log" 2>&1 || fail "after the limit: $(tail -n 1 "$work/log")"
check "after the limit is lifted the run goes on to another end" same_run "$run" "$work/limit"

mkdir "$work/mount"
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=160k tmpfs "$work/mount" 2>/dev/null; then
    mounted=$work/mount
    refused "full disk" 'No space left' "$work/mount/run"
    mount -o remount,size=16m "$work/mount"
    nasrun "$work/mount/run" >"$work/log" 2>&1 || fail "after the full disk: $(tail -n 1 "$work/log")"
    check "after the disk has space again the run goes on to another end" same_run "$run" "$work/mount/run"
    mount -o remount,ro "$work/mount"
    refused "read-only folder" 'Read-only' "$work/mount/other"
    refused "read-only run folder" 'Read-only' "$work/mount/run"
    umount "$work/mount" && mounted=""
else
    skip "full disk: no right to mount a small one"
    if [ "$(id -u)" -eq 0 ]; then
        skip "read-only folder: no right to mount one, and root may write everywhere"
    else
        chmod 555 "$work/mount"
        refused "read-only folder" 'denied' "$work/mount/run"
    fi
fi
finish
