#!/bin/sh
# The GPU's kernels on a CPU (cuda_on_cpu.h), under AddressSanitizer and UBSan, against plain loops and the host's
# functions; and a test of these tests: kernels with a planted fault must be caught. Builds what it needs in build/gpu.
# The compiler is g++, or CXX. Without CUDA's headers the tests are skipped.
set -eu
cd "$(dirname "$0")/../.."
CXX="${CXX:-g++}"
CUDA="${CUDA:-/usr/local/cuda}"
place="${BUILD:-build}/gpu"
if ! [ -f "$CUDA/include/cuda_bf16.h" ]; then
    echo "skipped: no CUDA headers in $CUDA/include"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
mkdir -p "$place"
flags="-std=c++17 -O1 -g -Wall -Wextra -Wpedantic -Werror -ffp-contract=off -fno-strict-aliasing -I. -isystem $CUDA/include"
flags="$flags -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
export ASAN_OPTIONS="detect_stack_use_after_return=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}" # fibers have stacks of their own
newest=$(ls -t cuda/kernels/*.cu cuda/kernels/*.cuh cuda/kernels/*.h host/base/random.h host/net/layer.h host/net/layers.def \
    host/net/remap.h host/program/activation.h host/device/augment.h host/device/drop_path.h host/device/optimizer.h tests/gpu/*.cpp tests/gpu/*.h tests/support/activations.h tests/gpu/kernels.sh | head -n 1)

# object NAME SOURCE [options]: compiled again when any source is newer.
object() {
    name=$1 source=$2
    shift 2
    if [ -f "$place/$name.o" ] && [ "$place/$name.o" -nt "$newest" ]; then return 0; fi
    rm -f "$place/$name.o" # so that a failure shows when linking
    # shellcheck disable=SC2086  # lists of options
    "$CXX" $flags "$@" -c -x c++ "$source" -o "$place/$name.o"
}

emulated="-include tests/gpu/cuda_on_cpu.h"
# As nvcc does: a product and a sum become one operation wherever they can, so that no test expects more bits than a
# GPU gives.
if grep -qm 1 '^flags.* fma ' /proc/cpuinfo; then
    emulated="$emulated -mfma -ffp-contract=fast -fexpensive-optimizations"
else
    echo "this processor has no fused multiply-add: kernels round as they stand, not as nvcc makes them"
fi
kernels="" common=""
for source in cuda/kernels/*.cu; do
    name=kernel_$(basename "$source" .cu)
    # shellcheck disable=SC2086
    object "$name" "$source" $emulated &
    kernels="$kernels $place/$name.o"
done
wait
for name in cuda_on_cpu cuda_on_cpu_direct kernel_check; do
    object "$name" "tests/gpu/$name.cpp" &
    common="$common $place/$name.o"
done
for source in tests/gpu/test_kernels_*.cpp; do
    object "$(basename "$source" .cpp)" "$source" &
done
wait
for source in host/net/remap.c host/base/random.c host/base/error.c host/base/text.c host/net/layer.c host/net/weights.c; do
    name=host_$(basename "$source" .c)
    gcc -std=c17 -O1 -g -D_GNU_SOURCE -I. -ffp-contract=off -c "$source" -o "$place/$name.o"
    common="$common $place/$name.o"
done

passed=0 failed=0
count() { # what, 0 when it passed
    if [ "$2" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

for source in tests/gpu/test_kernels_*.cpp; do
    name=$(basename "$source" .cpp)
    # shellcheck disable=SC2086
    "$CXX" -fsanitize=address,undefined "$place/$name.o" $kernels $common -lcmocka -o "$place/$name"
    status=0
    "$place/$name" >"$place/$name.log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || tail -n 30 "$place/$name.log"
    grep -h '^\[       OK' "$place/$name.log" || true
    count "$name" "$status"
done

awk '/^swept: / { runs += $2; sweeps++ } END { printf "%d sweeps over shapes, types, block sizes and orders: %d runs agreed\n", sweeps, runs }' \
    "$place"/test_kernels_*.log

# The test of the tests: name, source, the line as it is, the line with the fault, the test that must fail.
fault() {
    name=$1 source=$2 right=$3 wrong=$4 test=$5
    awk -v right="$right" -v wrong="$wrong" '
        !done && (at = index($0, right)) { $0 = substr($0, 1, at - 1) wrong substr($0, at + length(right)); done = 1 }
        { print }
        END { exit !done }' "$source" >"$place/fault_$name.cu" || { count "fault $name: its line is gone" 1; return 0; }
    # shellcheck disable=SC2086
    "$CXX" $flags -I. $emulated -c -x c++ "$place/fault_$name.cu" -o "$place/fault_$name.o"
    others=$(printf '%s\n' $kernels | grep -v "/kernel_$(basename "$source" .cu).o")
    # shellcheck disable=SC2086
    "$CXX" -fsanitize=address,undefined "$place/$test.o" "$place/fault_$name.o" $others $common -lcmocka -o "$place/fault_$name"
    if "$place/fault_$name" >"$place/fault_$name.log" 2>&1; then
        count "fault $name went unseen" 1
    else
        echo "caught: $name: $(grep -h -m 1 -E 'cuda_on_cpu:|ERROR: AddressSanitizer|runtime error|expected' "$place/fault_$name.log" | cut -c 1-150)"
        count "fault $name" 0
    fi
}
fault past_the_end cuda/kernels/optimizer.cu 'i, u.floats / CUDA_CHANNELS)' 'i, u.floats / CUDA_CHANNELS + 1)' test_kernels_weights
fault window_off_by_one cuda/kernels/max_pool.cu 'width = columns.end - columns.begin;' 'width = columns.end - columns.begin + 1;' test_kernels_pool
fault missing_barrier cuda/kernels/loss.cu '__syncthreads();' ';' test_kernels_step
fault absent_lanes cuda/kernels/loss.cu 'correct = warp_sum(correct);' 'if (thread % 2 == 0) correct = warp_sum(correct);' test_kernels_step
fault divergent_barrier cuda/kernels/gather.cu '__syncthreads();' 'if (threadIdx.x < 32) __syncthreads();' test_kernels_step
fault too_little_shared cuda/kernels/batch_norm.cu 'columns_shared(2)' 'columns_shared(1)' test_kernels_norm
fault every_block_last cuda/kernels/batch_norm.cu 'if (columns_last(k, a.tickets))' 'columns_last(k, a.tickets);' test_kernels_norm
fault another_mask cuda/kernels/batch_norm.cu 'vanishing<T>() : -INFINITY' '0.05f : -INFINITY' test_kernels_norm
fault padding_left cuda/kernels/kernel_copies.cu 'row < w.out && channel' 'channel' test_kernels_weights
fault flat_as_copied cuda/kernels/optimizer.cu 'w.rows > 0 && u.kernel_gradients' 'w.rows > 0' test_kernels_weights
fault statistics_trained cuda/kernels/optimizer.cu 'factor != 0.0f && w.trained' 'factor != 0.0f' test_kernels_weights

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
