#!/bin/sh
# Where CUDA's libraries are looked for, in which order, and what is said of those that are missing; which plug-in a
# driver gets; NCCL, which only several devices need. The libraries are stand-ins that tell their place, the driver is
# one too (tests/gpu/fake_libcuda.c), the GPUs are emulated.
. tests/support/script.sh
driver=$helpers/gpu/driver emulated=$helpers/../emulated
if [ ! -f "$bin/libnasrun_cuda.so" ]; then
    skip "there is no $bin/libnasrun_cuda.so: where its libraries are looked for"
    finish
fi
unset CUDA_HOME CONDA_PREFIX VIRTUAL_ENV
top=$(pwd -P)
install=$work/install
mkdir -p "$install/bin" "$install/lib"
cp "$bin/nasrun" "$install/bin/"
compile() { ${CC:-cc} -std=c17 -D_GNU_SOURCE -I. -shared -fPIC -x c - -x none "$@"; }

# library FILE PLACE: a stand-in for the library of FILE's name, which tells PLACE.
library() {
    mkdir -p "$(dirname "$1")"
    echo "const char *place(void) { return \"$2\"; }" | compile -Wl,-soname,"$(basename "$1")" -o "$1"
}
# plugin FILE NAME LIBRARY: a plug-in that needs that library and says, instead of counting devices, which it got.
plugin() {
    cat <<END | compile -o "$1" "$3" || fail "the stand-in for a plug-in"
#include "host/device/plugin.h"
#include <stdio.h>
const char *place(void);
static enum status count(int32_t *count, struct error *err)
{
    *count = 0;
    snprintf(err->message, sizeof err->message, "$2 with that of %s", place());
    return err->status = ST_DEVICE;
}
const struct device_plugin *nasrun_device_plugin(void)
{
    static const struct device_plugin plugin = {.version = DEVICE_INTERFACE_VERSION, .count = count};
    return &plugin;
}
END
}
# says TEXT COMMAND...: what `--devices` says about the GPU has this in it.
says() {
    text=$1
    shift
    said=$("$@" --devices 2>&1 | grep '^no GPU')
    case $said in
    *"$text"*) pass ;;
    *) fail "expected \"$text\", found: $said" ;;
    esac
}

# ---- the order of places: each is the first that is left when those before it are gone ----

name=libcunasruntest.so.7
library "$work/$name" "nowhere"
plugin "$install/lib/libnasrun_cuda.so" "the plug-in" "$work/$name"
nvidia() { echo "$1/lib/python3.$2/$3-packages/nvidia/$4/lib"; }
mkdir -p "$work/here/bin" "$work/python/bin" "$work/origin/bin" "$work/sp[a]ce" "$work/empty/bin"
printf '#!/bin/sh\nexit 1\n' >"$work/origin/bin/python3"
chmod +x "$work/origin/bin/python3"
ln -s "$work/origin/bin/python3" "$work/python/bin/python3"
places="$install/bin $install/lib $work/sp[a]ce/lib64 $work/sp[a]ce/lib $work/conda/lib $(nvidia "$work/venv" 11 site cudnn)
$(nvidia "$work/python" 9 dist cu13) $(nvidia "$work/origin" 12 site cublas) $(nvidia "$work/home/.local" 13 site cudnn)"
# The current folder has one too, and relative paths that lead to it are set: it is not for the taking.
library "$work/here/$name" "the current folder"
library "$work/here/cuda/lib/$name" "the current folder"
ln -s "$work/origin/bin/python3" "$work/here/bin/python3"
library "$(nvidia "$work/here" 11 site cudnn)/$name" "the current folder"
run() {
    (cd "$work/here" &&
        LD_LIBRARY_PATH="$1:$top/$driver" CUDA_HOME="${home-$work/sp[a]ce}" CONDA_PREFIX=${conda-$work/conda} VIRTUAL_ENV=${venv-$work/venv} \
            HOME=${user-$work/home} PATH="bin::$work/empty/bin:$work/python/bin:$PATH" "$install/bin/nasrun" --devices)
}
for place in $places "$work/loader"; do
    library "$place/$name" "$place"
done
for place in $places; do
    says "the plug-in with that of $place" run "$work/loader"
    echo "no library" >"$place/$name" # such a one is passed over
done
home=cuda conda=. venv=. user=.
says "the plug-in with that of $work/loader" run "$work/loader"
unset home conda venv user
for place in $places; do
    rm "$place/$name"
done
says "the GPU's plug-in cannot be loaded: $name: cannot open shared object file: No such file or directory; looked in $install/bin, $install/lib, " run "$work/none"
for place in "$work/conda/lib" "$work/venv/lib/python3*/*-packages/nvidia/*/lib" "$work/python/lib/python3*/*-packages/nvidia/*/lib" \
    "$work/origin/lib/python3*/*-packages/nvidia/*/lib" "$work/home/.local/lib/python3*/*-packages/nvidia/*/lib" /usr/local/cuda/lib64 \
    "/usr/local/cuda-*/lib64" "where the loader looks"; do
    says "$place" run "$work/none"
done

# /usr/local is not to be written into: another one is put in its place, for this process alone.
if unshare -m true 2>/dev/null; then
    library "$work/local/cuda-12.9/lib64/$name" "a toolkit"
    library "$work/local/cuda/lib64/$name" "the toolkit"
    local_run() { unshare -m sh -c 'mount --bind "$0/local" /usr/local && shift && exec "$@"' "$work" - env LD_LIBRARY_PATH="$driver" "$install/bin/nasrun" "$@"; }
    says "the plug-in with that of the toolkit" local_run
    rm "$work/local/cuda/lib64/$name"
    says "the plug-in with that of a toolkit" local_run
else
    skip "without root: that /usr/local/cuda comes before /usr/local/cuda-12.9"
fi

# ---- which plug-in: the newest for which the driver is new enough and the libraries are here ----

rm "$install/lib/libnasrun_cuda.so"
for cuda in 12 13; do
    library "$install/lib/libcublas.so.$cuda" "CUDA $cuda"
done
driven() { LD_LIBRARY_PATH=$driver FAKE_CUDA_DRIVER=$1 "$install/bin/nasrun" "$2"; }
plugin "$install/lib/libnasrun_cuda.so" "the plug-in for 13" "$install/lib/libcublas.so.13"
says "supports CUDA 12.4, expected at least 13.0; the plug-in for those from 12.0 on, libnasrun_cuda12.so, is not beside" driven 12040
plugin "$install/lib/libnasrun_cuda12.so" "the plug-in for 12" "$install/lib/libcublas.so.12"
says "the plug-in for 13 with that of CUDA 13" driven 13000
says "the plug-in for 13 with that of CUDA 13" driven 14020
says "the plug-in for 12 with that of CUDA 12" driven 12040
says "the NVIDIA driver supports CUDA 11.8, expected at least 12.0" driven 11080
# Versions of CUDA that no machine has: the driver is new enough for both, but one's library is missing, then both's.
for cuda in 93 94; do
    library "$install/lib/libcublas.so.$cuda" "CUDA $cuda"
done
mkdir "$work/kept"
cp "$install"/lib/libnasrun_cuda*.so "$work/kept/"
plugin "$install/lib/libnasrun_cuda.so" "the plug-in for 94" "$install/lib/libcublas.so.94"
plugin "$install/lib/libnasrun_cuda12.so" "the plug-in for 93" "$install/lib/libcublas.so.93"
says "the plug-in for 94 with that of CUDA 94" driven 94000
rm "$install/lib/libcublas.so.94"
says "the plug-in for 93 with that of CUDA 93" driven 94000
rm "$install/lib/libcublas.so.93"
says "the GPU's plug-in cannot be loaded: libcublas.so.94: " driven 94000
says "the GPU's plug-in cannot be loaded: libcublas.so.93: " driven 93000
cp "$work"/kept/* "$install/lib/"
rm "$install/lib/libnasrun_cuda.so"
says "the plug-in for 12 with that of CUDA 12" driven 13000

# ---- the plug-ins themselves ----

for plugin in libnasrun_cuda.so libnasrun_cuda12.so; do
    if [ ! -f "$bin/$plugin" ]; then
        skip "there is no $bin/$plugin (make cuda12)"
        continue
    fi
    readelf -d "$bin/$plugin" >"$work/dynamic"
    check "$plugin has a path of its own" sh -c "! grep -qE 'RUNPATH|RPATH' '$work/dynamic'"
    check "$plugin would go when it is closed" grep -q 'NODELETE' "$work/dynamic"
    check "$plugin needs NCCL" sh -c "! grep -q 'NEEDED.*nccl' '$work/dynamic'"
done
# Whether the library of CUDA 12 is found or not: a driver of CUDA 12 gets that plug-in.
if [ -f "$bin/libnasrun_cuda12.so" ]; then
    said=$(LD_LIBRARY_PATH=$driver FAKE_CUDA_DRIVER=12000 "$bin/nasrun" --devices | grep '^no GPU')
    case $said in
    *'the NVIDIA driver shows no GPU'* | *'cannot be loaded: libcublas.so.12: '*) pass ;;
    *) fail "the driver of CUDA 12.0 and the plug-in for it: $said" ;;
    esac
fi

# pip's layout, with the real cuDNN; an emulated GPU says where it came from. --devices tells of NCCL, too.
cudnn=$(LD_LIBRARY_PATH=$driver "$emulated/nasrun" --devices | sed -n 's/^ *cuDNN .* from //p')
check "--devices does not say where cuDNN is" [ -f "$cudnn" ]
mkdir -p "$(nvidia "$work/pip" 11 site cudnn)"
for file in "$(dirname "$cudnn")"/libcudnn*.so.9; do
    ln -s "$file" "$(nvidia "$work/pip" 11 site cudnn)/"
done
VIRTUAL_ENV=$work/pip LD_LIBRARY_PATH=$driver "$emulated/nasrun" --devices >"$work/out" 2>&1
check "cuDNN is not that of pip's layout: $(grep cuDNN "$work/out")" grep -q "cuDNN .* from $(nvidia "$work/pip" 11 site cudnn)/" "$work/out"
check "--devices does not say where NCCL is" grep -q 'NCCL .* from /' "$work/out"

# ---- make finds headers and libraries there, too, and needs of NCCL the header alone ----

packages=$(dirname "$(nvidia "$work/build" 11 site cudnn)")
packages=$(dirname "$packages")
mkdir -p "$packages/cudnn/include" "$packages/cudnn/lib" "$packages/cu13/include" "$packages/cu13/lib" "$packages/cu13/bin" \
    "$packages/nccl/include"
touch "$packages/cudnn/include/cudnn.h" "$packages/cu13/include/cublas_v2.h" "$packages/nccl/include/nccl.h"
printf '#define CUDART_VERSION  13000\n' >"$packages/cu13/include/cuda_runtime_api.h"
printf '#!/bin/sh\n' >"$packages/cu13/bin/nvcc"
chmod +x "$packages/cu13/bin/nvcc"
env -u MAKEFLAGS VIRTUAL_ENV="$work/build" make -n NVCC="$packages/cu13/bin/nvcc" BUILD="$work/objects" BIN="$work/objects" \
    CUDA_ARCHITECTURES=90 "$work/objects/libnasrun_cuda.so" >"$work/out" 2>&1
for flag in "-isystem $packages/cudnn/include" "-isystem $packages/cu13/include" "-isystem $packages/nccl/include" \
    "-L$packages/cudnn/lib" "-L$packages/cu13/lib" "-l:libcudnn.so.9 -l:libcublas.so.13 "; do
    check "make does not find pip's layout: no $flag in $(tail -n 1 "$work/out")" grep -qF -e "$flag" "$work/out"
done
check "the plug-in is linked to NCCL" sh -c "! grep -q -e '-lnccl' '$work/out'"

# ---- without NCCL: one GPU trains; of several, and before anything else, is said what is missing ----

make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
export EMU_DEVICES EMU_NCCL
EMU_DEVICES=2 EMU_NCCL=0
job() { LD_LIBRARY_PATH=$driver "$emulated/nasrun" "$work/job.cfg" budget.steps=20 output.plots=false output.dir="$work/run" "$@" >"$work/out" 2>"$work/err"; }
job devices='["cuda:0","cuda:1"]'
check "two GPUs without NCCL are not refused with status 2" [ $? -eq 2 ]
check "two GPUs without NCCL: expected one line, found: $(cat "$work/err")" [ "$(lines_of "$work/err")" -eq 1 ]
check "two GPUs without NCCL: $(cat "$work/err")" grep -q 'devices: found 2 GPUs, expected one (devices = "cuda:0") or NCCL.*: the emulated machine has no NCCL' "$work/err"
check "a candidate was trained before that was said" sh -c "! grep -q '\"event\":\"model\"' '$work/run/journal.jsonl' 2>/dev/null"
check "one GPU without NCCL: $(tail -n 1 "$work/err")" job devices='"cuda:1"'
check "one GPU without NCCL made no model" [ -s "$work/run/model.safetensors" ]

# ---- what the GPU has used of electricity: of a run that is gone on with behind a test, not of one within a stage ----

energy() { grep -q '^energy: .* kWh by the counters of GPUs' "$work/run/report.txt"; }
check "the energy of a run is not told" energy
job devices='"cuda:1"' budget.steps=30 report.cost_per_hour=2
check "a raised budget: $(grep '^energy' "$work/run/report.txt")" energy
sed -i '$d' "$work/run/journal.jsonl"
check "its test is not the last event" [ "$(grep -c '"event":"test"' "$work/run/journal.jsonl")" -eq 1 ]
job devices='"cuda:1"' budget.steps=30 report.cost_per_hour=2
check "within a stage: $(grep '^energy' "$work/run/report.txt")" grep -q '^energy: unknown$' "$work/run/report.txt"
check "no cost: $(grep '^cost' "$work/run/report.txt")" grep -q '^cost: 0\.[0-9]* USD for .* h at 2 USD$' "$work/run/report.txt"
finish
