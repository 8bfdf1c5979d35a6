#!/bin/sh
# Images with several labels: what naspredict says of them, in all formats and by all thresholds, what exports, nasinspect
# and nasplot make of such a model, and that damaged thresholds are refused.
. tests/support/script.sh

make_label_data "$work/data"
make_label_job "$work/job.cfg" "$work/data"
run=$work/run
"$bin/nasrun" "$work/job.cfg" budget.steps=60 output.dir="$run" output.plots=false >"$work/log" 2>&1 || fail "nasrun: $(tail -n 1 "$work/log")"

# predict [OPTION ...]: naspredict with the job's test images; its lines are in $work/out.
predict() { timeout 60 "$bin/naspredict" --data="$work/job.cfg" "$@" "$run" >"$work/out" 2>"$work/err" || fail "naspredict $*: status $?, $(head -n 1 "$work/err")"; }

# ---- how lines look ----
for options in "--all" "--all --top=2" "--all --threshold=0.9" "--all --threshold=0.2 --split=validation"; do
    for format in tsv csv jsonl; do
        # shellcheck disable=SC2086
        predict --format=$format $options
        mv "$work/out" "$work/out.$format"
    done
    check "lines with '$options'" python3 - "$work" "$options" "$run/model.safetensors" "$run/predictions.csv" <<'END'
import csv, json, struct, sys
work, options, model, told = sys.argv[1:]
data = open(model, "rb").read()
about = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]
names, least = json.loads(about["class_names"]), json.loads(about["label_thresholds"])
if "--threshold" in options:
    least = [float(options.split("--threshold=")[1].split()[0])] * len(names)
split = "validation" if "validation" in options else "test"
told = {row["image"]: row for row in csv.DictReader(open(told, newline="")) if row["split"] == split}
rows = list(csv.reader(open(work + "/out.csv", newline=""), strict=True))
head, rows = rows[0], rows[1:]
assert head[:3] == ["path", "labels", "probability"] and head[-1] == "truth", head
assert ("class_1" in head) == ("class_2" in head) == ("--top=2" in options), head
assert [line[:-1].split("\t") for line in open(work + "/out.tsv", newline="")] == rows
objects = [json.loads(line) for line in open(work + "/out.jsonl")]
assert len(rows) == len(objects) == len(told) > 0
counts = set()
for row, found in zip(rows, objects):
    want = dict(zip(head, row))
    p = {name: float(want["p_" + name]) for name in names}
    assert found["probabilities"] == p and found["path"] == want["path"]
    given = sorted((name for name, t in zip(names, least) if p[name] >= t), key=lambda name: -p[name])
    if min(abs(p[name] - t) for name, t in zip(names, least)) > 1e-5: # as the numbers are rounded
        assert found["labels"] == given, (found, given)
    assert want["labels"] == "|".join(found["labels"])
    assert found["probability"] == [p[name] for name in found["labels"]]
    assert want["probability"] == "|".join("%.6g" % value for value in found["probability"])
    if "--top=2" in options:
        order = sorted(names, key=lambda name: -p[name])[:2]
        assert found["top"] == [{"class": name, "probability": p[name]} for name in order]
        assert [want["class_1"], want["class_2"]] == order and float(want["probability_2"]) == p[order[1]]
    else:
        assert "top" not in found
    image = told[want["path"]]
    assert all(abs(p[name] - float(image["p_" + name])) < 1e-4 for name in names), (want, image)
    assert want["truth"] == "|".join(found["truth"]) == image["labels"], (want, image)
    if "--threshold" not in options: # predictions.csv is by the model's
        assert sorted(found["labels"]) == sorted(filter(None, image["predicted"].split("|")))
    counts.add(len(given))
assert len(counts) > 2, counts # none, one and more
END
done
predict --format=csv --all
mv "$work/out" "$work/one"
predict --format=csv --all --threads=3
check "answers with three threads" cmp "$work/out" "$work/one"
timeout 60 "$bin/naspredict" "$run" "$work/data/390.png" "$work/missing.png" "$work/data/391.png" >"$work/out" 2>"$work/err"
check "an image that is missing: status $?" [ $? -eq 1 -a "$(lines_of "$work/out")" -eq 2 ]
timeout 60 "$bin/naspredict" --threshold=1 "$run" "$work/data/390.png" >"$work/out"
check "no label: $(cat "$work/out")" [ "$(cat "$work/out")" = "$work/data/390.png		" ]
for device in cpu ref; do
    predict --device=$device --views=1 --all
    cut -f 4- "$work/out" >"$work/out.$device"
done
check "ref answers as cpu does" awk -F '\t' '
    NR == FNR { for (k = 1; k <= 3; k++) told[FNR, k] = $k; next }
    { for (k = 1; k <= 3; k++) if ((told[FNR, k] - $k) ^ 2 > 1e-8) bad = 1 }
    END { exit bad || FNR != 80 }' "$work/out.cpu" "$work/out.ref"

# ---- a precision that is wanted ----
predict --precision=0.9 --split=validation --all --format=csv
check "thresholds by --precision" python3 - "$work/out" "$run/predictions.csv" <<'END'
import csv, sys
told = [row for row in csv.DictReader(open(sys.argv[2], newline="")) if row["split"] == "validation" and row["trained"] == "0"]
found = {row["path"]: row for row in csv.DictReader(open(sys.argv[1], newline=""))}
names = [name[2:] for name in told[0] if name.startswith("p_")]
given = 0
for name in names:
    mine = sorted(((float(row["p_" + name]), name in row["labels"].split("|")) for row in told), reverse=True)
    reached = [p for i, (p, _) in enumerate(mine) if sum(right for _, right in mine[:i + 1]) / (i + 1) >= 0.9]
    for row in found.values():
        p = float(row["p_" + name])
        if reached and abs(p - reached[-1]) > 1e-5: # not at the threshold itself
            assert (name in row["labels"].split("|")) == (p > reached[-1]), (row, name, reached[-1])
            given += p > reached[-1]
assert given > 0
END

# ---- exports ----
predict --views=1 --format=jsonl
right=$(python3 -c 'import json, sys
rows = [json.loads(line) for line in sys.stdin]
print("%.4f" % (sum(set(row["labels"]) == set(row["truth"]) for row in rows) / len(rows)))' <"$work/out")
for options in "" --int8 --precision=0.9; do
    # shellcheck disable=SC2086
    "$bin/nasexport" --onnx="$work/model.onnx" --c="$work/model.c" $options "$run" >"$work/out" 2>&1 || fail "nasexport $options: $(tail -n 1 "$work/out")"
    check "nasexport $options: $(cat "$work/out")" [ "$(grep -c '^accuracy, all labels right: 0.[0-9]* of 80 test images, one view' "$work/out")" -eq 2 ]
    [ "$options" = --int8 ] || check "nasexport $options: $(cat "$work/out"), expected $right" [ "$(grep -c "^accuracy, all labels right: $right of" "$work/out")" -eq 2 ]
    check "thresholds in C" grep -q 'const float model_thresholds\[model_classes\] = {' "$work/model.c"
    check "thresholds in ONNX" grep -qa label_thresholds "$work/model.onnx"
done

# ---- other tools ----
"$bin/nasinspect" --format=json "$run" 0 >"$work/out" || fail "nasinspect: status $?"
check "thresholds of nasinspect and of both files" python3 - "$work/out" "$run/model.safetensors" "$run/models/0.safetensors" <<'END'
import json, struct, sys
def read(path):
    data = open(path, "rb").read()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end])["__metadata__"], data[end:]
about, weights = read(sys.argv[2])
before, same = read(sys.argv[3])
assert json.loads(before["label_thresholds"]) == [0.5] * 3 and weights == same # those are found by the test
told = json.load(open(sys.argv[1]))["label_thresholds"]
assert list(told) == json.loads(about["class_names"])
assert all(abs(a - b) < 1e-12 for a, b in zip(told.values(), json.loads(about["label_thresholds"])))
END
check "a model that is derived again: $(cat "$work/out")" \
    sh -c "TMPDIR='$work' '$bin/nasinspect' --replay=0 '$run' 2>&1 | grep -q '^model 0: derived again, the same bytes'"
"$bin/nasplot" --errors --out="$work/plots" "$run" 2>"$work/err" || fail "nasplot --errors: $(cat "$work/err")"
for class in 0 1 2; do check "nasplot --errors makes no errors-$class.png" [ -s "$work/plots/errors-$class.png" ]; done

# ---- damaged files ----
# damaged THRESHOLDS TEXT: a model with those is refused by one line that says TEXT.
mkdir "$work/damaged"
damaged() {
    python3 - "$run/model.safetensors" "$work/damaged/model.safetensors" "$1" <<'END'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + length])
header["__metadata__"]["label_thresholds"] = sys.argv[3]
text = json.dumps(header).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + length:])
END
    "$bin/naspredict" "$work/damaged" "$work/data/390.png" >"$work/out" 2>"$work/err"
    check "thresholds $1: status $?" [ $? -eq 2 ]
    check "thresholds $1: $(cat "$work/err")" [ "$(grep -cF "$2" "$work/err")" -eq 1 -a "$(lines_of "$work/err")" -eq 1 ]
}
damaged '[0.5,0.5]' '"label_thresholds" has 2 numbers, expected 3, one a class'
damaged '[0.5,"0.5",0.5]' 'label_thresholds[1] is no number from 0 to 1'
damaged '[0.5,0.5,1.5]' 'label_thresholds[2] is no number from 0 to 1'
damaged '[0.5,0.5,' 'is no JSON'
finish
