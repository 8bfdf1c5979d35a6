#!/bin/sh
# Views at the test: the report gives the accuracy with and without them, naspredict's answers are those of the test,
# and the model says how they are made. Then what the validation images' joining leaves in the journal, with one stage
# and with a later one.
. tests/support/script.sh
make_data --folders "$work/data" 400 160
cat >"$work/job.cfg" <<END_OF_JOB
dataset = { path = "$work/data"; validation = 0.2; };
search = { strategy = "bayesian"; starts = ["lean"]; width = 8; };
train = { batch = 32; translate = 1; };
devices = "cpu";
threads = 1;
END_OF_JOB

# run DIR KEY=VALUE...
run() {
    dir=$work/$1
    shift
    "$bin/nasrun" "$work/job.cfg" output.dir="$dir" output.plots=false "$@" >"$work/log" 2>&1 ||
        fail "nasrun: $(tail -n 1 "$work/log")"
}

# predicted DIR [OPTION]: the accuracy of naspredict's answers on the test images, as reports print it.
predicted() {
    dir=$work/$1
    shift
    "$bin/naspredict" "$@" "$dir" "$work"/data/test/*/*.png |
        awk -F '\t' '{ n = split($1, path, "/"); right += path[n - 1] == $2 } END { printf "%.4f", right / NR }'
}
with() { sed -n 's/^accuracy: \([0-9.]*\).*/\1/p' "$work/$1/report.txt"; }
without() { sed -n 's/^accuracy: .*(\([0-9.]*\) without views)$/\1/p' "$work/$1/report.txt"; }
# metadata DIR: how many views the model file asks for.
metadata() { head -c 60000 "$work/$1/model.safetensors" | tr -d '\000' | sed -n 's/.*"views":"\([0-9]*\)".*/\1/p'; }

# By themselves: shifts as in training, and mirror images where these are trained on.
run six budget.steps=120
run three budget.steps=120 train.flip=false
run one budget.steps=120 evaluate.views=1 train.flip=false
for name in six three; do
    case $name in six) count=6 ;; three) count=3 ;; esac
    check "$name: the model asks for $(metadata $name) views" [ "$(metadata $name)" = $count ]
    check "$name: the journal has no $count views" grep -q "\"event\":\"test\",.*\"views\":$count,\"plain_accuracy\":" "$work/$name/journal.jsonl"
    check "$name: naspredict is right for $(predicted $name), the test for $(with $name)" [ "$(predicted $name)" = "$(with $name)" ]
    check "$name: naspredict --views=1 is right for $(predicted $name --views=1), the test for $(without $name)" \
        [ "$(predicted $name --views=1)" = "$(without $name)" ]
    told=$(sed -n 's/^\t"accuracy_without_views":[^0-9]*\([0-9.]*\).*/\1/p' "$work/$name/report.json")
    check "$name: report.json's accuracy without views is $told, expected $(without $name)" \
        [ "$(printf '%.4f' "$told")" = "$(without $name)" ]
done
check "one: the report speaks of views: $(grep '^accuracy' "$work/one/report.txt")" [ -z "$(without one)" ]
check "one: the model asks for $(metadata one) views" [ "$(metadata one)" = 1 ]
check "one: naspredict is right for $(predicted one), the test for $(with one)" [ "$(predicted one)" = "$(with one)" ]
check "one and three: the same network is tested differently without views" [ "$(with one)" = "$(without three)" ]
image=$work/data/test/1/1.png
[ -e "$image" ] || image=$(ls "$work"/data/test/1/*.png | head -n 1)
chance() { "$bin/naspredict" --views="$1" "$work/six" "$image" | cut -f 3; }
check "naspredict --views changes nothing: $(chance 1), $(chance 6)" [ "$(chance 1)" != "$(chance 6)" ]
for wrong in 0 4 7 x ''; do
    "$bin/naspredict" --views="$wrong" "$work/six" "$image" >"$work/out" 2>"$work/err"
    check "naspredict --views=$wrong: status $?, $(cat "$work/err")" \
        [ "$(cat "$work/err")" = "naspredict: --views: found \"$wrong\", expected 1, 2, 3 or 6" ]
done

# joins DIR: ids of the models that were trained on the validation images too.
joins() { sed -n 's/.*"event":"model","id":\([0-9]*\),.*"validated":[0-9]*,.*/\1/p' "$work/$1/journal.jsonl" | tr '\n' ' '; }
finals() { sed -n 's/.*"event":"model","id":\([0-9]*\),.*"final":true,.*/\1/p' "$work/$1/journal.jsonl" | tr '\n' ' '; }
# blind DIR ID: epochs of that model without a validation.
blind() { grep -c "\"event\":\"epoch\",\"id\":$2,.*\"validation_loss\":null,\"validation_accuracy\":null," "$work/$1/journal.jsonl"; }

run last budget.models=2 train.final_epochs=8
check "the final fit was not trained on the validation images: $(joins last)" [ "$(joins last)" = "$(finals last)" ]
check "a last epoch was validated on images that it was trained on" [ "$(blind last 2)" -ge 1 ]
run never budget.models=2 train.final_epochs=8 train.use_validation=false
check "train.use_validation=false: $(joins never)" [ -z "$(joins never)" ]
check "train.use_validation=false: an epoch was not validated" [ "$(blind never 2)" -eq 0 ]
# Only the last stage's; when one more is added, the next final fit goes on from the search's model.
run last 'budget.models=[2,3]' train.final_epochs=8
check "a stage was added: $(joins last)" [ "$(joins last)" = "$(finals last)" ]
run both 'budget.models=[2,3]' train.final_epochs=8
check "two stages: $(joins both) of $(finals both)" [ "$(joins both)" = "$(finals both | cut -d ' ' -f 2) " ]
finish
