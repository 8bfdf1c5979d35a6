#!/bin/bash
# Inputs as people bring them, made by make.py: each is read as the programs that wrote it mean it, or refused in one
# line that names what was seen; what is odd is told.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
bin=$(cd "$bin" && pwd)
python3 tests/cases/make.py "$work" || { fail "make.py"; finish; }

not_in() { ! grep -aq -- "$2" "$1"; }
not_running() { ! kill -0 "$1" 2>/dev/null; }

# What nasrun is started by.
as=()

# run CASE [ARGUMENT...]: what it says in $work/said, its status in $status.
run() {
    name=$1
    shift
    (cd "$work/$name" && timeout 60 "${as[@]}" "$bin/nasrun" job.cfg "$@") >"$work/said" 2>&1
    status=$?
}

# says CASE STATUS PATTERN...: a run ends with that status and says lines of those extended patterns, not of one that
# has "not " in front of it. A refusal says one line.
says() {
    name=$1 wanted=$2
    shift 2
    run "$name"
    if [ "$status" -ne "$wanted" ]; then
        fail "$name: expected status $wanted, found $status: $(head -c 600 "$work/said")"
        return
    fi
    if [ "$status" -eq 2 ] && [ "$(grep -vc '^warning: ' "$work/said")" -ne 1 ]; then
        fail "$name: expected one line, found $(head -c 600 "$work/said")"
        return
    fi
    for pattern; do
        case $pattern in
        "not "*) if grep -aEq -- "${pattern#not }" "$work/said"; then fail "$name: said /${pattern#not }/"; else pass; fi ;;
        *) if grep -aEq -- "$pattern" "$work/said"; then pass; else
            fail "$name: expected /$pattern/, found $(head -c 600 "$work/said")"; fi ;;
        esac
    done
}

# ---- folders ----
says plain 0 '^ +cat: 16, dog: 13$' 'passed over: 2 \.txt, 1 \.mp4$'
says systems 0 '^ +cat: 12, dog: 12$' 'passed over: .*1 @eaDir' 'passed over: .*1 __MACOSX' 'passed over: .*1 Thumbs.db' \
    'passed over: .*1 desktop.ini'
says own 0 '^ +cat: 12, dog: 12$' 'passed over: .*1 runs'
says own 0 '^ +cat: 12, dog: 12$' 'finished before'
says links 0 '^ +cat: 12, dog: 12$' 'left out: data/cat/gone.png: No such file' 'left out: data/dog/pipe.png: no regular file' \
    'left out: data/dog/up: a symbolic link that leads back to a folder above it'
says link-stops 2 'data/cat/gone.png: No such file'
says loop 2 'data/dog/up: a symbolic link that leads back to a folder above it'
says pipe 2 'data/dog/pipe.png: no regular file'
says twin 2 'data/cells: holds 2 folders that are called like class folders beside it'
says twin-skip 0 '^ +A: 12, B: 12$'
says flat-test 2 'data/test: 1 images without class folders'
says flat-test-skip 0 '^ +cat: 12, dog: 12$' 'left out: data/test: 1 images'
says trian 2 'a folder test and none for training'
says set-words 0 ' 24 training, 4 validation, 6 test images'
says seg-words 0 '^ +cat: 15, dog: 15$' ' 6 test images'
says too-high 2 'dataset.path is probably data/animals'
says numbers 0 '^ +0: 12, 90: 12, 180: 12, 270: 12$'
says unicode-form 0 'classes "Caf.*" and "Caf.*" look alike' 'classes "Dog" and "dog " look alike'
says no-utf8 0 '^ +Käfer: 12, dog: 12|^ +dog: 12, Käfer: 12|K.*fer: 12' '1 class names are no UTF-8'
check "no-utf8: the report is UTF-8" python3 -c 'import json, sys; json.load(open(sys.argv[1], encoding="utf-8"))' \
    "$work/no-utf8/runs/job/report.json"
says raw-names 0 '^ +a\?\[31mred\?forged: 12, dog: 12$'
check "raw-names: a name steers the terminal" not_in "$work/said" "$(printf '\033')"
check "raw-names: a name forges a line of the report" not_in "$work/raw-names/runs/job/report.txt" '^forged'
check "raw-names: report.json has it as it is" grep -q 'a\\u001b\[31mred\\nforged' "$work/raw-names/runs/job/report.json"
says empty-class 2 'data/empty: no images in this class folder'
says empty-class-skip 0 'left out: data: class "empty" has no training images' '^ +cat: 12, dog: 12$'
HOME=/home/somebody says tilde 2 'job.cfg:1: dataset.path: found "~/photos", expected "/home/somebody/photos"'
says one-second 0 'stage 1 of 1 ends after .* test accuracy'
says grown 0 'test accuracy'
cp "$work/grown/data/cat/000.png" "$work/grown/data/cat/new.png"
says grown 2 'began on 15 [+] 4 [+] 5 images .* are 16 [+] 4 [+] 5 .*--fresh'
chmod 555 "$work/read-only"
[ "$(id -u)" -ne 0 ] || as=(setpriv --bounding-set -dac_override) # root's right to write everywhere
says read-only 2 '^nasrun: runs: Permission denied$'
as=()
says one-each 2 'no image is left for the test, 10 images in 10 classes'
says two-each 0 'fewer than 10 images in 12 of 12 classes: a: 2, .* 2 more$' 'no test images in [0-9]+ of 12 classes'
says imbalance 0 'class "healthy" has 190 images, "sick" 12'
says test-lacks-class 0 'no test images in 1 of 3 classes'
check "test-lacks-class: averages over the classes that occur" python3 tests/cases/averages.py \
    "$work/test-lacks-class/runs/job/report.json"
says leak 0 '3 of [0-9]+ test images are training images' '2 images occur under more than one label.*, for example data/train/cat/003.png and data/train/dog/same.png'
says near-leak 0 '2 of 6 test images are nearly training images' 'for example data/train/.*/0.png and data/test/.*/0.png'
says bom 0 '^ +cat: 12, dog: 12$'

# ---- lists ----
says comma-in-label 2 'list.csv:17: 3 fields, expected 2 as in the first row'
says comma-skip 0 'left out: list.csv:17: 3 fields' '^ +cat: 12, dog: 11$'
for name in trailing-comma old-mac utf16 utf16-bare wide semicolon tab blank backslash; do
    says "$name" 0 '^ +cat: 12, dog: 12$'
done
says class-named-image 0 '^ +image: 12, text: 12$'
says quote-after-blank 0 '^ +cat, black: 12, dog, black: 12$'
says unknown-header 2 'list.csv:1: the header id,breed has no column that is known'
says one-hot 2 'the header image,MEL,NV has no column "label".*one-hot'
says bucket 2 'nothing is read from gs://'
says ludwig 0 "are taken as Ludwig's" ' 15 training, 5 validation, 4 test images'
says latin1 0 'K.*fer: 12' '1 class names are no UTF-8'

# ---- IDX and CIFAR ----
says idx-gaps 0 '^ +3: 35, 7: 35$'
says idx-from-1 0 '^data +3 classes' '^ +1: 24, 2: 24, 3: 24$'
says idx-new-label 2 'label 3 of image 3, which no training image has'
says idx-int 0 '^ +0: 24, 1: 24, 2: 24$'
says my-fashion 0 '^ +0: 24, 1: 24, 2: 24$'
says idx-twice 2 'are of the same split, expected one of them'
says idx-in-folders 0 '^ +0: 24, 1: 24$'
says idx-web-page 2 'train-images-idx3-ubyte.gz: .*web page'
says cifar-above 2 'dataset.path is probably data/cifar-10-batches-bin'

# ---- images ----
says png-without-end 0 '^ +cat: 14, dog: 13$'
says panorama 0 '^ +cat: 13, dog: 12$'
says bomb 2 'bomb.png: image of height 16384 and width 16384, expected at most 178956970 pixels'
says bomb-skip 0 'left out: data/cat/bomb.png' '^ +cat: 12, dog: 12$'
says deep-and-low 0 '24 of 24 images are of one colour all over'
says white-on-clear 0 '24 of 24 images are of one colour all over' 'alpha composited on white' \
    'channel 0 has one value in all training images, 255'
says constant-channel 0 'channel 1 has one value in all training images, 7' 'not one colour all over'
says tiny 0 '3 x 2 x 2'
says strips 0 '3 x 4 x 128'

# ---- stopping while data are read ----
(cd "$work/slow" && exec "$bin/nasrun" job.cfg) >"$work/said" 2>&1 &
background=$!
sleep 0.5
kill -TERM "$background"
wait_for 20 not_running "$background"
wait "$background"
status=$?
background=""
check "stopped while data were read: status $status, expected 75" [ "$status" -eq 75 ]
check "stopped while data were read: no line of images" not_in "$work/said" '^data '
finish
