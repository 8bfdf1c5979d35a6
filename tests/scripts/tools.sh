#!/bin/sh
# nasreport, nasplot, naspredict, nasexport and nasinspect on a run folder, and their one line for bad input.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
run=$work/run
"$bin/nasrun" "$work/job.cfg" budget.steps=400 seed=2 output.dir="$run" >"$work/log" 2>&1 || fail "nasrun: $(tail -n 1 "$work/log")"

cp -R "$run" "$work/bare"
rm -r "$work/bare/plots" "$work/bare/report.txt" "$work/bare/report.json"
"$bin/nasreport" "$work/bare" >"$work/printed" || fail "nasreport: status $?"
check "nasreport makes another report.txt than nasrun" cmp "$run/report.txt" "$work/bare/report.txt"
check "nasreport makes another report.json than nasrun" cmp "$run/report.json" "$work/bare/report.json"
check "nasreport prints another report than it writes" cmp "$work/printed" "$work/bare/report.txt"
"$bin/nasplot" "$work/bare" >/dev/null || fail "nasplot: status $?"
for name in confusion shares learning progress; do
    check "nasplot makes another plots/$name.png than nasrun" cmp "$run/plots/$name.png" "$work/bare/plots/$name.png"
done

# A run that may not be written to, or must not: nothing in it is changed.
cp -R "$run" "$work/archive" && rm -r "$work/archive/plots" "$work/archive/report.txt"
cp -R "$work/archive" "$work/as_it_was"
"$bin/nasreport" --stdout "$work/archive" >"$work/printed" || fail "nasreport --stdout: status $?"
check "nasreport --stdout prints another report" cmp "$run/report.txt" "$work/printed"
"$bin/nasplot" --out="$work/plots/of/it" "$work/archive" || fail "nasplot --out: status $?"
for name in confusion shares learning progress; do
    check "nasplot --out makes another $name.png" cmp "$run/plots/$name.png" "$work/plots/of/it/$name.png"
done
check "nasreport --stdout or nasplot --out has changed the run" diff -r "$work/archive" "$work/as_it_was"
for format in svg pdf; do
    "$bin/nasplot" --format=$format --out="$work/plots" "$work/archive" || fail "nasplot --format=$format: status $?"
    "$bin/nasplot" --format=$format --out="$work/plots/again" "$work/archive"
    for name in confusion shares learning progress; do
        check "nasplot makes another $name.$format the second time" cmp "$work/plots/$name.$format" "$work/plots/again/$name.$format"
    done
done
check "nasplot makes no PDF" sh -c "head -c 5 '$work/plots/learning.pdf' | grep -q '^%PDF-'"
check "nasplot makes no SVG" grep -q '<svg ' "$work/plots/learning.svg"
"$bin/nasplot" --errors --out="$work/plots" "$run" || fail "nasplot --errors: status $?"
for class in 0 1 2 3; do check "nasplot --errors makes no errors-$class.png" [ -s "$work/plots/errors-$class.png" ]; done
check "nasplot --errors of two runs" refused "$bin/nasplot" --errors "$run" "$run"
check "nasplot --errors as numbers" refused "$bin/nasplot" --errors --format=csv "$run"
check "nasplot --errors without a job" refused "$bin/nasplot" --errors "$work/archive/plots"
"$bin/nasplot" --format=csv --out="$work/plots" "$run" || fail "nasplot --format=csv: status $?"
check "confusion.csv: $(lines_of "$work/plots/confusion.csv") lines, expected 17" [ "$(lines_of "$work/plots/confusion.csv")" -eq 17 ]
check "nasplot --format=gif" refused "$bin/nasplot" --format=gif "$work/archive"
check "nasplot --out= with nothing" refused "$bin/nasplot" --out= "$work/archive"
head -n 4 "$work/archive/journal.jsonl" >"$work/as_it_was/journal.jsonl"
check "nasreport --stdout of an untested run" refused "$bin/nasreport" --stdout "$work/as_it_was"

"$bin/naspredict" "$run" "$work/data/two.png" "$work/data/two.png" >"$work/predicted" || fail "naspredict: status $?"
check "naspredict: $(lines_of "$work/predicted") lines for two images" [ "$(lines_of "$work/predicted")" -eq 2 ]
check "naspredict: class of two.png: $(cat "$work/predicted")" \
    awk -F '\t' '$2 != "2" || !($3 > 0.25 && $3 <= 1) { bad = 1 } END { exit bad }' "$work/predicted"

# Images that can't be read cost a line each and status 1; the others are classified.
"$bin/naspredict" "$run" "$work/missing.png" "$work/data/two.png" "$work/job.cfg" "$work/data/two.png" >"$work/some" 2>"$work/err"
status=$?
check "naspredict with two bad images of four: status $status, expected 1" [ "$status" -eq 1 ]
check "naspredict does not classify the others: $(cat "$work/some")" cmp "$work/predicted" "$work/some"
check "naspredict: not a line for each bad image: $(cat "$work/err")" [ "$(grep -c 'missing.png\|job.cfg' "$work/err")" -eq 2 ]

# The export is tested as the report says of one view, and is not kept where it can't be.
"$bin/nasexport" --onnx="$work/model.onnx" "$run" >"$work/exported" || fail "nasexport: status $?"
told=$(sed -n 's/^accuracy: \([0-9.]*\)\( (\([0-9.]*\) without views)\)\{0,1\}$/\1 \3/p' "$run/report.txt" | awk '{ print $NF }')
check "nasexport: $(cat "$work/exported"), the report says $told" grep -q "^accuracy: $told of " "$work/exported"
mv "$work/data" "$work/moved"
"$bin/nasexport" --onnx="$work/again.onnx" "$run" >"$work/exported" || fail "nasexport without data: status $?"
mv "$work/moved" "$work/data"
check "nasexport without data writes another file" cmp "$work/model.onnx" "$work/again.onnx"
check "nasexport without data: $(cat "$work/exported")" grep -q '^accuracy: not measured: .*/data' "$work/exported"
check "nasexport without --onnx and --c" refused "$bin/nasexport" "$run"

# C, compiled and run, in one call with ONNX; in int8 with what that costs.
"$bin/nasexport" --c="$work/net.c" --onnx="$work/again.onnx" "$run" >"$work/exported" || fail "nasexport --c: status $?"
check "nasexport --c: $(cat "$work/exported")" [ "$(grep -c "^accuracy: $told of " "$work/exported")" -eq 2 ]
check "nasexport --c: $(cat "$work/exported")" grep -q 'net.c: .* compiled by cc and run' "$work/exported"
check "nasexport --c: no net_classify" grep -q '^int net_classify(const unsigned char \*image' "$work/net.c"
"$bin/nasexport" --int8 --precision=0.7 --c="$work/small.c" --onnx="$work/small.onnx" "$run" >"$work/exported" ||
    fail "nasexport --int8: status $?"
check "nasexport --int8: $(cat "$work/exported")" \
    [ "$(grep -c "^accuracy: .*; $told in float32, [+-]0.[0-9]* by int8$" "$work/exported")" -eq 2 ]
check "int8 files are not smaller" \
    [ "$(wc -c <"$work/small.onnx")" -lt $(($(wc -c <"$work/again.onnx") / 2)) ]
check "nasexport --precision: no thresholds in C" grep -q '^const float small_thresholds\[small_classes\] = {$' "$work/small.c"
check "nasexport --precision: no thresholds in ONNX" grep -aq thresholds "$work/small.onnx"
check "thresholds that nobody asked for" [ "$(cat "$work/net.c" "$work/again.onnx" | grep -ac thresholds)" -eq 0 ]
check "nasexport --precision=2" refused "$bin/nasexport" --precision=2 --c="$work/none.c" "$run"
mv "$work/data" "$work/moved"
check "nasexport --precision without data" refused "$bin/nasexport" --precision=0.7 --c="$work/none.c" "$run"
check "nasexport --int8 without data" refused "$bin/nasexport" --int8 --c="$work/none.c" "$run"
mv "$work/moved" "$work/data"

# Without a compiler the line says what was run instead; what does not compile, or answers otherwise, is not kept.
nasexport=$(realpath "$bin/nasexport")
mkdir "$work/fake" "$work/temporary"
export TMPDIR="$work/temporary"
PATH="$work/fake" "$nasexport" --c="$work/again.c" "$run" >"$work/exported" || fail "nasexport --c without cc: status $?"
check "nasexport --c without cc: $(cat "$work/exported")" grep -q 'again.c: .* not compiled, for there is no' "$work/exported"
check "nasexport --c without cc: $(cat "$work/exported")" grep -q "^accuracy: $told of " "$work/exported"
# wrong WHAT COMMAND: cc behind that command, by which the export is refused and leaves nothing, ONNX as little.
wrong() {
    printf '#!/bin/sh\n%s\nexec %s "$@"\n' "$2" "$(command -v cc)" >"$work/fake/cc"
    chmod +x "$work/fake/cc"
    check "nasexport --c $1" refused env PATH="$work/fake:$PATH" "$bin/nasexport" --onnx="$work/bad.onnx" --c="$work/bad.c" "$run"
    check "nasexport --c $1: $(cat "$work/err")" grep -q "bad.c is not written: $1" "$work/err"
    check "nasexport --c $1: a file is left" [ ! -e "$work/bad.c" -a ! -e "$work/bad.onnx" ]
}
wrong 'it does not compile: ' 'echo oops >>model.c'
wrong 'compiled by cc and run it differs from the model by ' 'sed -i "s/float sum = 0.0f/float sum = 1.0f/" model.c'
check "nasexport leaves a folder behind: $(ls "$TMPDIR")" rmdir "$TMPDIR"
unset TMPDIR
check "nasexport to nothing" refused "$bin/nasexport" --onnx= "$run"
check "nasexport into a folder that is missing" refused "$bin/nasexport" --onnx="$work/missing/model.onnx" "$run"

for tool in nasreport nasplot naspredict nasexport nasinspect; do
    check "$tool without arguments" refused "$bin/$tool"
    check "$tool with an unknown option" refused "$bin/$tool" --colour "$run"
    for option in -h --help; do
        check "$tool $option" sh -c "'$bin/$tool' $option | grep -q '^  $tool \[OPTION \.\.\.\] RUN'"
    done
    check "$tool --version" [ "$("$bin/$tool" --version)" = "$tool $(sed -n 's/^#define NASRUN_VERSION  *"\(.*\)"$/\1/p' host/base/version.h)" ]
done
check "nasreport on a folder that is missing: $(cat "$work/err" 2>/dev/null)" refused "$bin/nasreport" "$work/missing"
check "nasinspect on a folder that is missing" refused "$bin/nasinspect" "$work/missing"
check "nasplot on a folder that is missing" refused "$bin/nasplot" "$work/missing"
check "naspredict on a folder that is missing" refused "$bin/naspredict" "$work/missing" "$work/data/two.png"
check "naspredict on an image that is missing" refused "$bin/naspredict" "$run" "$work/missing.png"
check "naspredict on a file that is no image" refused "$bin/naspredict" "$run" "$work/job.cfg"
head -c 1000 "$run/model.safetensors" >"$work/bare/model.safetensors"
check "naspredict with a model cut short" refused "$bin/naspredict" "$work/bare" "$work/data/two.png"
sed -i '2s/"seq":1/"seq":7/' "$work/bare/journal.jsonl"
check "nasreport on a broken journal" refused "$bin/nasreport" "$work/bare"
check "nasreport does not name the journal's line: $(cat "$work/err")" grep -q 'journal.jsonl:2' "$work/err"

# A tool that gets no memory, once or from there on, says so in one line and has status 2, or does without. Plots are made
# with fonts of their own, as a bundle has them: fontconfig crashes where it has no memory for what it reads.
mkdir -p "$work/own/bin" "$work/own/share/nasrun/fonts"
cp "$bin"/nas* "$work/own/bin/"
cp /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf /usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf "$work/own/share/nasrun/fonts/"
spare() { # TOOL ARGUMENTS...
    tool=$1
    shift
    for call in 9 40 200 800 2000 5000 10000; do
        for mode in once on; do
            cp -R "$work/as_it_is" "$work/spared"
            FAULT=malloc:$call:12:$mode timeout 120 env LD_PRELOAD="$inject" "$work/own/bin/$tool" "$work/spared" "$@" >"$work/out" 2>"$work/err"
            status=$?
            check "$tool without memory at allocation $call, $mode: status $status, $(head -n 3 "$work/err")" \
                [ "$status" -eq 0 -o \( "$status" -eq 2 -a "$(grep -cE "^($tool|libgomp|out of dynamic memory)" "$work/err")" -eq 1 \) ]
            rm -r "$work/spared"
        done
    done
}
inject=$(realpath "$helpers/faults/inject.so")
mkdir "$work/as_it_is"
cp "$run/journal.jsonl" "$run/model.safetensors" "$work/as_it_is"
spare nasreport
spare nasplot
spare nasinspect
spare naspredict "$work/data/two.png"
finish
