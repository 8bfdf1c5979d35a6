#!/bin/sh
# naspredict: where images come from, how their lines look, what happens to those that fail, and that threads change nothing.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
run=$work/run
"$bin/nasrun" "$work/job.cfg" budget.steps=400 train.precision=fp32 output.dir="$run" >"$work/log" 2>&1 || fail "nasrun: $(tail -n 1 "$work/log")"

# predict STATUS [OPTION ...]: naspredict of the run ends so; its lines are in $work/out, what it says in $work/err.
predict() {
    expected=$1
    shift
    timeout 60 "$bin/naspredict" "$@" >"$work/out" 2>"$work/err"
    status=$?
    check "naspredict $*: status $status, expected $expected: $(head -n 2 "$work/err")" [ "$status" -eq "$expected" ]
}
# refused TEXT OPTION...: status 2, one line that says TEXT, and no answers.
refused() {
    text=$1
    shift
    predict 2 "$@"
    check "naspredict $*: says $(cat "$work/err"), expected $text" grep -qF -- "$text" "$work/err"
    check "naspredict $*: $(lines_of "$work/err") lines, expected one" [ "$(lines_of "$work/err")" -eq 1 ]
    check "naspredict $*: has answers" [ ! -s "$work/out" ]
}
paths() { cut -f 1 "$work/out"; }
# lines FILE TEXT...: the file has those lines.
lines() {
    file=$1
    shift
    printf '%s\n' "$@" | cmp -s - "$file"
}

# ---- the command line ----
two=$work/data/two.png
refused 'expected paths, --list=FILE or --data=JOB' "$run"
refused 'expected one of these' --list=- "$run" "$two"
refused 'expected one of these' --data="$work/job.cfg" --list=- "$run"
refused 'expected one of these' --threshold=0.5 --precision=0.5 "$run" "$two"
refused '--null: found no --list' -0 "$run" "$two"
refused '--format: found "xml", expected tsv, csv or jsonl' --format=xml "$run" "$two"
refused '--split: found "dev", expected train, validation or test' --data="$work/job.cfg" --split=dev "$run"
refused '--on-error: found "ask", expected skip or stop' --on-error=ask "$run" "$two"
refused '--top: found "0"' --top=0 "$run" "$two"
refused '--top: found "2x"' --top=2x "$run" "$two"
refused "--top: found 9, expected at most the model's 4 classes" --top=9 "$run" "$two"
refused '--threads: found "0", expected 1 to 1024' --threads=0 "$run" "$two"
refused '--threshold: found "1.5"' --threshold=1.5 "$run" "$two"
refused '--precision: found "nan"' --precision=nan "$run" "$two"
refused '--device: devices: found "tpu"' --device=tpu --format=csv "$run" "$two"
refused '--views: found "4", expected 1, 2, 3 or 6' --views=4 "$run" "$two"
refused '--list: found ""' --list= "$run"
refused "--list: $work/missing: No such file" --list="$work/missing" "$run"
refused "$work/missing.cfg" --data="$work/missing.cfg" "$run"

# ---- files and folders ----
photos=$work/photos
mkdir -p "$photos/b" "$photos/a/.hidden" "$photos/a/Thumbs" "$work/empty"
for name in b/2.png b/1.PNG a/without a/.hidden/3.png 0.png; do cp "$two" "$photos/$name"; done
echo notes >"$photos/a/notes.txt"
predict 0 "$run" "$photos" "$two"
paths >"$work/paths"
check "a folder: $(cat "$work/paths")" lines "$work/paths" "$photos/0.png" "$photos/a/without" "$photos/b/1.PNG" "$photos/b/2.png" "$two"
refused "$work/empty: no images in this folder" "$run" "$work/empty"
ln -s nowhere.png "$photos/b/3.png"
ln -s .. "$photos/b/back"
touch "$photos/c.heic"
mkfifo "$photos/d.png"
predict 1 "$run" "$photos" "$work/empty"
paths >"$work/paths"
check "a folder with faults: $(cat "$work/paths")" lines "$work/paths" "$photos/0.png" "$photos/a/without" "$photos/b/1.PNG" "$photos/b/2.png"
check "a folder with faults: $(cat "$work/err")" [ "$(lines_of "$work/err")" -eq 5 ]
for text in 'b/3.png: No such file' 'b/back: a symbolic link' 'c.heic: an image of another kind' 'd.png: is a named pipe' 'empty: no images'; do
    check "a folder with faults does not say $text" grep -q "$text" "$work/err"
done
rm -r "$photos/b" "$photos/c.heic" "$photos/d.png"

# ---- lists ----
odd=$work/odd
mkdir "$odd"
newline=$(printf '%s/new\nline.png' "$odd")
cp "$two" "$newline"
cp "$two" "$odd/tab	comma, \"quotes\" and \\back.png"
cp "$two" "$(printf '%s/foreign-\377.png' "$odd")"
printf '\357\273\277%s\r\n\n\r\n%s\n%s' "$two" "$photos" "$two" >"$work/list"
predict 0 --list="$work/list" "$run"
paths >"$work/paths"
check "a list: $(cat "$work/paths")" lines "$work/paths" "$two" "$photos/0.png" "$photos/a/without" "$two"
timeout 60 "$bin/naspredict" --list=- "$run" <"$work/list" >"$work/piped" 2>&1
check "a list from standard input" cmp "$work/out" "$work/piped"
find "$odd" -type f -print0 >"$work/list"
predict 0 --null --list="$work/list" "$run"
check "a list with zero bytes: $(lines_of "$work/out") lines" [ "$(lines_of "$work/out")" -eq 3 ]
predict 2 --list="$work/list" "$run"
check "zero bytes without --null: $(cat "$work/err")" grep -q 'list:1: a zero byte in a line, expected --null' "$work/err"
{ head -c 5000 /dev/zero | tr '\0' x; printf '\n%s\n' "$two"; } >"$work/list"
predict 1 --list="$work/list" "$run"
check "a line that is too long: $(cat "$work/err")" grep -q ':1: a path of 5000 bytes' "$work/err"
predict 0 --list=/dev/null --format=csv "$run"
check "an empty list: $(cat "$work/out")" lines "$work/out" 'path,class,probability'
refused "--list: $work" --list="$work" "$run"

# ---- how lines look ----
for options in "" "--top=3" "--all" "--top=4 --all" "--threshold=1" "--data=$work/job.cfg --split=validation --all"; do
    images=$odd
    case $options in --data*) images= ;; esac
    for format in tsv csv jsonl; do
        # shellcheck disable=SC2086
        predict 0 --format=$format $options "$run" $images
        mv "$work/out" "$work/out.$format"
    done
    check "tsv, csv and jsonl say the same with '$options'" python3 - "$work" <<'END'
import base64, csv, json, os, sys
work = sys.argv[1]
undo = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}

def plain(field):
    parts = iter(field.split("\\"))
    text = next(parts)
    for part in parts:
        text += undo[part[0]] + part[1:] if part else undo["\\"] + next(parts)
    return text

def open_bytes(name):
    return open(os.path.join(work, name), encoding="utf-8", errors="surrogateescape", newline="")

rows = list(csv.reader(open_bytes("out.csv"), strict=True))
head, rows = rows[0], rows[1:]
tabs = [[plain(field) for field in line[:-1].split("\t")] for line in open_bytes("out.tsv")]
assert rows and tabs == rows, (tabs, rows)
assert all(len(row) == len(head) for row in rows)
objects = [json.loads(line) for line in open(os.path.join(work, "out.jsonl"), encoding="utf-8", errors="strict")]
assert len(objects) == len(rows)
for row, found in zip(rows, objects):
    want = dict(zip(head, row))
    path = want["path"].encode("utf-8", "surrogateescape")
    assert found["path"] == path.decode("utf-8", "replace"), (found, want)
    if "path_base64" in found:
        assert base64.b64decode(found["path_base64"], validate=True) == path != found["path"].encode()
    else:
        assert found["path"].encode() == path
    assert (found["class"] or "") == want["class"]
    assert found["probability"] == float(want["probability"])
    assert found.get("truth") == want.get("truth")
    top = found.get("top", [])
    assert (len(top) > 1) == ("class_2" in head)
    for k, answer in enumerate(top[1:], 2):
        assert answer == {"class": want["class_%d" % k], "probability": float(want["probability_%d" % k])}
    assert sorted(top, key=lambda answer: -answer["probability"]) == top
    probabilities = {name[2:]: float(value) for name, value in want.items() if name.startswith("p_")}
    assert found.get("probabilities", {}) == probabilities
    if probabilities:
        assert abs(sum(probabilities.values()) - 1) < 1e-4 and max(probabilities.values()) == found["probability"]
END
done

# ---- data, and thresholds ----
predict 0 --data="$work/job.cfg" --format=csv --all "$run"
check "test images of the data are not those of predictions.csv" python3 - "$work/out" "$run/predictions.csv" <<'END'
import csv, sys
found = {row["path"]: row for row in csv.DictReader(open(sys.argv[1]))}
told = {row["image"]: row for row in csv.DictReader(open(sys.argv[2])) if row["split"] == "test"}
assert found.keys() == told.keys() and found, (len(found), len(told))
for image, row in told.items():
    assert found[image]["truth"] == row["class"] and found[image]["class"] == row["predicted"]
    for name in row:
        if name.startswith("p_"):
            assert abs(float(found[image][name]) - float(row[name])) < 1e-4, (image, name)
END
predict 0 --data="$work/job.cfg" --split=validation --precision=0.9 --all --format=csv "$run"
check "thresholds by --precision" python3 - "$work/out" "$run/predictions.csv" <<'END'
import csv, sys
told = [row for row in csv.DictReader(open(sys.argv[2])) if row["split"] == "validation" and row["trained"] == "0"]
least = {}
for name in {row["predicted"] for row in told}:
    mine = sorted(((float(row["p_" + name]), row["class"] == name) for row in told if row["predicted"] == name), reverse=True)
    reached = [p for i, (p, _) in enumerate(mine) if sum(right for _, right in mine[:i + 1]) / (i + 1) >= 0.9]
    least[name] = reached[-1] if reached else 2
given = 0
for row in csv.DictReader(open(sys.argv[1])):
    best = max((name for name in row if name.startswith("p_")), key=lambda name: float(row[name]))[2:]
    if abs(float(row["probability"]) - least.get(best, 2)) > 1e-4: # not at the threshold itself
        assert row["class"] == (best if float(row["probability"]) > least.get(best, 2) else ""), (row, least)
    given += row["class"] != ""
assert given > 0
END
cp -R "$run" "$work/bare"
sed -i '2s/test/validation/' "$work/bare/predictions.csv"
refused 'predictions.csv: by the journal it is not what' --precision=0.9 "$work/bare" "$two"
rm "$work/bare/predictions.csv"
refused 'predictions.csv' --precision=0.9 "$work/bare" "$two"

# ---- faults ----
python3 - "$work" "$two" <<'END'
import os, sys
work, two = sys.argv[1:]
os.mkdir(work + "/many")
whole = open(two, "rb").read()
with open(work + "/many.list", "w") as out:
    for i in range(500):
        path = "%s/many/%03d.png" % (work, i)
        open(path, "wb").write(whole[:40] if i in (0, 77, 300, 499) else whole)
        out.write(path + "\n")
END
predict 1 --threads=1 --list="$work/many.list" "$run"
mv "$work/out" "$work/one.out"
mv "$work/err" "$work/one.err"
check "four damaged of 500: $(lines_of "$work/one.out") lines" [ "$(lines_of "$work/one.out")" -eq 496 ]
check "four damaged of 500: $(cut -d : -f 1-2 "$work/one.err")" [ "$(sed -n 's,.*/many/\([0-9]*\)\.png: .*,\1,p' "$work/one.err" | tr '\n' ' ')" = "000 077 300 499 " ]
for threads in 2 4; do
    predict 1 --threads=$threads --list="$work/many.list" "$run"
    check "answers with $threads threads" cmp "$work/out" "$work/one.out"
    check "failures with $threads threads" cmp "$work/err" "$work/one.err"
done
sed -n '2,$p' "$work/many.list" >"$work/later.list"
for threads in 1 4; do
    predict 2 --on-error=stop --threads=$threads --list="$work/later.list" "$run"
    head -n 76 "$work/one.out" >"$work/before"
    check "stopped with $threads threads: $(lines_of "$work/out") lines" cmp "$work/out" "$work/before"
    check "stopped with $threads threads: $(cat "$work/err")" [ "$(grep -c 077.png "$work/err")" -eq 1 -a "$(lines_of "$work/err")" -eq 1 ]
done
# A pipe that is closed, and a full disk, are told.
(trap '' PIPE; "$bin/naspredict" --list="$work/many.list" "$run" 2>"$work/err"; echo $? >"$work/status") | true
check "a closed pipe: status $(cat "$work/status"), $(cat "$work/err")" \
    [ "$(cat "$work/status")" -eq 2 -a "$(grep -c 'standard output: cannot be written' "$work/err")" -eq 1 ]
timeout 60 "$bin/naspredict" "$run" "$two" >/dev/full 2>"$work/err"
check "a full disk: status $?" [ $? -eq 2 ]

# ---- devices ----
for device in cpu ref; do
    predict 0 --device=$device --views=1 --all "$run" "$two" "$photos"
    mv "$work/out" "$work/out.$device"
done
check "ref answers as cpu does" awk -F '\t' '
    NR == FNR { for (k = 3; k <= NF; k++) told[FNR, k] = $k; next }
    { for (k = 3; k <= NF; k++) if ((told[FNR, k] - $k) ^ 2 > 1e-8) bad = 1 }
    END { exit bad || FNR != 3 }' "$work/out.cpu" "$work/out.ref"
finish
