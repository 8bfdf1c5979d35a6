#!/bin/sh
# A run's files as Python reads them: the model by safetensors, the report by scikit-learn's classification_report, the
# exported model by onnx's checker and onnxruntime. The packages go to build/venv once; without them, and without a network
# to get them, this is skipped.
. tests/support/script.sh
venv=build/venv
if ! "$venv/bin/python" -c 'import numpy, safetensors, sklearn, onnx, onnxruntime' 2>/dev/null; then
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check safetensors numpy scikit-learn onnx onnxruntime; } \
        >"$work/log" 2>&1; then
        skip "model.safetensors, report.txt and ONNX files were compared with NOTHING: $(tail -n 1 "$work/log")"
        finish
    fi
fi
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
run=$work/run
"$bin/nasrun" "$work/job.cfg" budget.steps=400 output.dir="$run" output.plots=false >"$work/log" 2>&1 ||
    fail "nasrun: $(tail -n 1 "$work/log")"
check "model.safetensors" "$venv/bin/python" tests/python/check_safetensors.py "$run/model.safetensors"
# One with layers that are not trained: start air. Its models carry the whitening as a weight.
"$bin/nasrun" "$work/job.cfg" budget.steps=400 output.dir="$work/air" output.plots=false 'search.starts=["air"]' \
    >"$work/log" 2>&1 || fail "nasrun: $(tail -n 1 "$work/log")"
for model in "$work/air/model.safetensors" "$work"/air/models/*.safetensors; do
    check "$model" "$venv/bin/python" tests/python/check_safetensors.py "$model"
done
check "naspredict with start air" [ "$("$bin/naspredict" "$work/air" "$work/data/two.png" | cut -f 2)" = 2 ]
"$bin/nasexport" --onnx="$work/air.onnx" "$work/air" >"$work/log" 2>&1 || fail "nasexport: $(tail -n 1 "$work/log")"
check "an exported model" "$venv/bin/python" tests/python/check_onnx.py "$work/air.onnx"
"$bin/nasexport" --int8 --onnx="$work/int8.onnx" "$work/air" >"$work/log" 2>&1 || fail "nasexport: $(tail -n 1 "$work/log")"
check "an exported model in int8" "$venv/bin/python" tests/python/check_onnx.py "$work/int8.onnx"
mkdir "$work/networks" "$work/coded"
check "test_onnx --write" $helpers/onnx/test_onnx --write "$work/networks"
check "400 random networks" "$venv/bin/python" tests/python/check_onnx.py "$work/networks"
check "test_onnx --write-int8" $helpers/onnx/test_onnx --write-int8 "$work/coded"
check "400 random networks in int8" "$venv/bin/python" tests/python/check_onnx.py --int8 "$work/coded"
mkdir "$work/others"
check "classifiers of others" "$venv/bin/python" tests/python/make_classifiers.py "$work/others"
check "8 classifiers of others" $helpers/onnx/test_onnx --read "$work/others"/*.onnx
# A network with the weights that people start from: fetched once, kept in build.
export XDG_DATA_HOME=$PWD/build/pretrained
lite=$XDG_DATA_HOME/nasrun/pretrained/efficientnet-lite0.onnx
if samples/pretrained/convert.sh >"$work/log" 2>&1; then
    mkdir "$work/real"
    check "answers of EfficientNet-Lite0" "$venv/bin/python" tests/python/make_classifiers.py "$work/real" "$lite"
    check "EfficientNet-Lite0 with its weights" $helpers/onnx/test_onnx --read "$work/real"/*.onnx
    check "nasrun --pretrained" sh -c "'$bin/nasrun' --pretrained | grep -q 'EfficientNet-Lite0, ImageNet, license Apache-2.0'"
else
    skip "EfficientNet-Lite0 with its weights was compared with NOTHING: $(tail -n 1 "$work/log")"
fi
check "report.txt" "$venv/bin/python" tests/python/check_report.py "$run"
check "predictions.csv" "$venv/bin/python" tests/python/check_predictions.py "$run"
make_label_data "$work/labels"
make_label_job "$work/labels.cfg" "$work/labels"
"$bin/nasrun" "$work/labels.cfg" budget.steps=60 output.dir="$work/several" output.plots=false >"$work/log" 2>&1 ||
    fail "nasrun: $(tail -n 1 "$work/log")"
check "report.txt of several labels" "$venv/bin/python" tests/python/check_report.py "$work/several"
check "several labels" "$venv/bin/python" tests/python/check_labels.py "$work/several"
finish
