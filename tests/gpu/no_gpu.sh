#!/bin/sh
# The ways of having no GPU: each ends in one line that says what is missing, "auto" goes on with the CPU, and a job
# that asks for the GPU is refused. The drivers are stand-ins (tests/gpu/fake_libcuda.c, built into
# $NASRUN_TESTS/gpu/driver, and the CUDA toolkit's stub); nothing here needs a GPU, and one that is there is not used.
. tests/support/script.sh
driver=$helpers/gpu/driver
if [ ! -f "$bin/libnasrun_cuda.so" ]; then
    skip "there is no $bin/libnasrun_cuda.so: what it says without a GPU"
    finish
fi
export LD_LIBRARY_PATH
mkdir "$work/none" "$work/stub" "$work/bare" "$work/broken" "$work/alien" "$work/older"

# says LIBRARIES PROGRAM TEXT: `--devices` of that program, with libcuda.so.1 from that folder, has one line about the
# GPU, which begins so; the CPU is listed, nothing is complained about, and the status is 0.
says() {
    LD_LIBRARY_PATH=$1 "$2" --devices >"$work/out" 2>"$work/err" || return 1
    [ ! -s "$work/err" ] && [ "$(grep -c '^no GPU' "$work/out")" -eq 1 ] && grep -q "^no GPU  $3" "$work/out" &&
        grep -q '^cpu:0 ' "$work/out" && ! grep -q '^cuda:' "$work/out"
}
expect() {
    if says "$2" "$3" "$4"; then pass; else fail "$1: expected \"no GPU  $4\", found: $(cat "$work/out" "$work/err")"; fi
}

# 1: no driver. 2: a driver without a device. 3: a driver that is too old.
if ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then
    skip "this machine has an NVIDIA driver: what nasrun says without one"
else
    expect "no driver" "$work/none" "$bin/nasrun" "no NVIDIA driver on this machine (libcuda.so.1 is missing)$"
fi
expect "no device" "$driver" "$bin/nasrun" "the NVIDIA driver shows no GPU"
FAKE_CUDA_DRIVER=11040
export FAKE_CUDA_DRIVER
expect "an old driver" "$driver" "$bin/nasrun" "the NVIDIA driver supports CUDA 11\.4, expected at least 1[2-9]\."
unset FAKE_CUDA_DRIVER

# 4: the toolkit's stub in the driver's place.
stub=""
for place in "$(dirname "$(readlink -f "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")")"/../lib*/stubs/libcuda.so; do
    [ -f "$place" ] && stub=$(readlink -f "$place")
done
if [ -n "$stub" ]; then
    ln -s "$stub" "$work/stub/libcuda.so.1"
    expect "the toolkit's stub" "$work/stub" "$bin/nasrun" "libcuda.so.1 is the toolkit's stub, expected the NVIDIA driver's$"
else
    skip "the toolkit's stub is not here: what nasrun says to it"
fi

# 5: no plug-in; and plug-ins whose libraries are missing, that are something else, or of another version.
for folder in bare broken alien older; do
    cp "$bin/nasrun" "$work/$folder/"
done
compile() { ${CC:-cc} -shared -fPIC -x c - -x none "$@"; }
echo 'int missing(void) { return 0; }' | compile -Wl,-soname,libmissing.so.9 -o "$work/libmissing.so"
echo 'int missing(void); int use(void) { return missing(); }' |
    compile "$work/libmissing.so" -o "$work/broken/libnasrun_cuda.so"
echo 'int nothing;' | compile -o "$work/alien/libnasrun_cuda.so"
echo 'static const unsigned table[16] = {999}; const void *nasrun_device_plugin(void) { return table; }' |
    compile -o "$work/older/libnasrun_cuda.so"
expect "no plug-in" "$driver" "$work/bare/nasrun" "this nasrun was built without GPU support"
expect "CUDA's libraries missing" "$driver" "$work/broken/nasrun" "the GPU's plug-in cannot be loaded: libmissing.so.9: "
# The plug-in itself, each of its libraries under a name that no library has.
mkdir "$work/lacking"
cp "$bin/nasrun" "$work/lacking/"
for library in libcublas libcudnn; do
    LC_ALL=C sed "s/$library\.so/${library}_so/g" "$bin/libnasrun_cuda.so" >"$work/lacking/libnasrun_cuda.so"
    expect "$library missing" "$driver" "$work/lacking/nasrun" "the GPU's plug-in cannot be loaded: ${library}_so\.[0-9]*: .*; looked in "
done
expect "a foreign library" "$driver" "$work/alien/nasrun" ".*found no function nasrun_device_plugin"
expect "another version" "$driver" "$work/older/nasrun" ".*found device interface 999, expected [0-9]*: "

# A job: "auto" says why and trains on the CPU; "cuda" is refused in one line, before anything is made.
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"
LD_LIBRARY_PATH=$driver "$bin/nasrun" "$work/job.cfg" 'devices=["auto"]' budget.steps=20 output.dir="$work/run" \
    >"$work/out" 2>&1 || fail "auto without a GPU: $(tail -n 1 "$work/out")"
check "auto does not say why there is no GPU: $(head -n 5 "$work/out")" grep -q 'the NVIDIA driver shows no GPU' "$work/out"
check "auto without a GPU made no model" [ -s "$work/run/model.safetensors" ]
LD_LIBRARY_PATH=$driver "$bin/nasrun" "$work/job.cfg" 'devices=["cuda"]' budget.steps=20 output.dir="$work/refused" \
    >"$work/out" 2>"$work/err"
check "cuda without a GPU was not refused with status 2" [ $? -eq 2 ]
check "cuda without a GPU: expected one line, found: $(cat "$work/err")" [ "$(lines_of "$work/err")" -eq 1 ]
check "cuda without a GPU does not say why: $(cat "$work/err")" grep -q 'the NVIDIA driver shows no GPU' "$work/err"
finish
