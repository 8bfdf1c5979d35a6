#!/bin/bash
# The first minutes on a GPU, and what a bug report should hold: bash run.sh, in the folder that `make gpu-bundle`
# made, on a machine with an NVIDIA GPU, its driver, and Python with PyTorch, whose wheels bring CUDA's libraries. No
# root, no network, no compiler; under 8 minutes. It shows whether every kernel and operation computes what it should,
# how fast training is beside PyTorch and beside its prediction, a whole job, and counters and sanitizers where
# NVIDIA's tools are.
#
# Each step has a limit of its own, and one that fails or hangs takes no other with it. In $OUT, as it goes:
#   page.md       one page: what failed, what was slower than predicted, where the time went
#   steps.tsv     name, status (or "skipped"), seconds, limit, reason        steps/NAME.txt    what each step printed
#   about.txt     version, commit                                            jobs/             run folders, without models
#
# Settings: OUT (out), LIMIT (seconds in all), SKIP="step step", BATCHES, NETS, SECONDS_EACH, JOB_SECONDS, JOB_SETTINGS
# ("key=value ..."), PYTHON; CUDA_VISIBLE_DEVICES chooses the GPU, PAPER the data sheet that its speed is compared with.
set -u
here=$(cd "$(dirname "$0")" && pwd)
OUT=$(mkdir -p "${OUT:-out}/steps" "${OUT:-out}/jobs" && cd "${OUT:-out}" && pwd) || exit 1
total=${LIMIT:-465} nets=${NETS:-lean resnet} batches=${BATCHES:-8 128 512} seconds=${SECONDS_EACH:-1.5}
job_seconds=${JOB_SECONDS:-60} python=${PYTHON:-python3}
work=$(mktemp -d)
warm="" cifar=""
trap 'kill $warm $cifar 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
export OUT work python OMP_NUM_THREADS=1 LC_ALL=C PYTHONUNBUFFERED=1 XDG_CACHE_HOME=$work/cache
export TORCHINDUCTOR_CACHE_DIR=$work/inductor TRITON_CACHE_DIR=$work/triton TORCHINDUCTOR_FX_GRAPH_CACHE=1
mkdir -p "$XDG_CACHE_HOME"
: >"$OUT/steps.tsv"
cp "$here/ABOUT" "$OUT/about.txt"

# record NAME STATUS SECONDS LIMIT REASON: and the page anew, so that there is one whatever happens next.
record() {
    printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$OUT/steps.tsv"
    echo "[$SECONDS s] $1: status $2 $5"
    local page=$work/page.$BASHPID # steps may end side by side
    sh "$here/page.sh" "$OUT" >"$page" && mv "$page" "$OUT/page.md"
}

# step NAME LIMIT COMMAND...: status 77 says that something is not here, its last line what.
step() {
    local name=$1 limit=$2 began=$SECONDS left=$((total - SECONDS)) status
    shift 2
    case " ${SKIP:-} " in *" $name "*)
        record "$name" skipped 0 "$limit" "left out by SKIP"
        return 1
        ;;
    esac
    if [ "$left" -lt 5 ]; then
        record "$name" skipped 0 "$limit" "no time left"
        return 1
    fi
    [ "$limit" -lt "$left" ] || limit=$left
    timeout -k 5 "$limit" "$@" >"$OUT/steps/$name.txt" 2>&1
    status=$?
    if [ "$status" -eq 77 ]; then
        record "$name" skipped $((SECONDS - began)) "$limit" "$(tail -n 1 "$OUT/steps/$name.txt")"
    else
        record "$name" "$status" $((SECONDS - began)) "$limit" ""
    fi
    return "$status"
}

# ---- the programs ----
if [ -d "$here/programs" ]; then
    programs=$here/programs
else
    programs=$work/gpu-programs # tar needs xz, which is not everywhere; Python brings its own
    # shellcheck disable=SC2016  # bash -c has its own
    step unpack 60 bash -c 'tar xJf "$1" -C "$2" || "$3" -m tarfile -e "$1" "$2"' bash "$here/programs.tar.xz" "$work" "$python" || exit 1
fi
export here programs
bench="$programs/bin/bench_train --gpu 0 ${PAPER:+--paper $PAPER}"
lines=$(command -v stdbuf >/dev/null && echo "stdbuf -oL") # what a program printed before it hung

# tool NAME: where NVIDIA's tool is, or status 77.
tool() {
    local found
    # shellcheck disable=SC2012  # these folders have plain names
    found=$(command -v "$1" || ls -d /usr/local/cuda*/bin/"$1" /opt/nvidia/nsight-compute/*/"$1" 2>/dev/null | tail -n 1)
    [ -n "$found" ] && echo "$found"
}

machine() {
    echo "card: $(nvidia-smi --query-gpu=name --format=csv,noheader -i "${CUDA_VISIBLE_DEVICES:-0}" 2>&1 | head -n 1)"
    echo "driver: $(nvidia-smi --query-gpu=driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current \
        --format=csv,noheader -i "${CUDA_VISIBLE_DEVICES:-0}" 2>&1 | head -n 1)"
    echo "host: $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release), $(getconf GNU_LIBC_VERSION), $(nproc --all) x$(
        sed -n 's/^model name[^:]*:/ /p' /proc/cpuinfo | head -n 1 | tr -s ' ')"
    echo "pytorch: $("$python" "$here/torch_train.py" --check cuda:0 2>&1 | tail -n 1)"
    for name in ncu compute-sanitizer gcc; do echo "$name: $(tool "$name" || echo 'not here')"; done
    nvidia-smi 2>&1
    df -h /tmp
}

devices() {
    time "$programs/bin/nasrun" --devices >"$work/devices"
    cat "$work/devices"
    grep -q '^cuda:0' "$work/devices"
}

# A line of a journal, forced to the disk.
fsync() {
    "$python" -c "
import os, time
file = open('$work/fsync', 'wb', 0); began = time.time()
for _ in range(100): file.write(b'x' * 200); os.fdatasync(file.fileno())
print('a line forced to disk: %.2f ms' % ((time.time() - began) * 10))"
}

torch() { # MODE SECONDS
    "$python" "$here/torch_train.py" --check cuda:0 || return 77
    "$python" "$here/torch_train.py" cuda:0 "$1" 1 "${batches// /,}" "$2" "${nets// /,}"
}

# job NAME FOLDER SECONDS SAMPLE: a sample's job with other data and the time that there is.
job() {
    # shellcheck disable=SC2086  # a list of words
    time "$programs/bin/nasrun" -v "$programs/share/nasrun/samples/$4" "dataset.path=$2" 'devices="cuda:0"' \
        "budget.seconds=$3" "output.dir=$work/jobs/$1" ${JOB_SETTINGS:-}
    local status=$?
    tar cf - -C "$work/jobs" --exclude='*.safetensors' --exclude='*.bin' "$1" 2>/dev/null | tar xf - -C "$OUT/jobs"
    return $status
}

# The kernels of a recorded step, one by one: a plan that is in the cache by now needs no trials.
counters() {
    local ncu metrics=gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed
    ncu=$(tool ncu) || { echo "ncu is not here"; return 77; }
    metrics=$metrics,sm__throughput.avg.pct_of_peak_sustained_elapsed,sm__warps_active.avg.pct_of_peak_sustained_active
    metrics=$metrics,launch__registers_per_thread
    # shellcheck disable=SC2086  # a list of words
    "$ncu" --clock-control none --csv --page raw --print-units base --metrics "$metrics" --launch-skip 200 --launch-count 140 \
        --kill yes $bench --seconds 1 --batch "${batches##* }" "${nets%% *}" | tee "$work/ncu.csv"
    grep -q '^"[0-9]' "$work/ncu.csv"
}

# sanitize TOOL: our own kernels, all programs at once.
sanitize() {
    local sanitizer program running="" bad=0
    sanitizer=$(tool compute-sanitizer) || { echo "compute-sanitizer is not here"; return 77; }
    for program in $kernels; do
        "$sanitizer" --tool "$1" --print-limit 5 --error-exitcode 9 "$program" >"$work/$1.${program##*/}" 2>&1 &
        running="$running $!"
    done
    for program in $running; do wait "$program" || bad=1; done
    tail -n 40 "$work/$1".kernels*
    return $bad
}

# The same of a whole step, cuDNN's kernels among them.
sanitize_step() {
    local sanitizer
    sanitizer=$(tool compute-sanitizer) || { echo "compute-sanitizer is not here"; return 77; }
    # shellcheck disable=SC2086
    "$sanitizer" --print-limit 5 --error-exitcode 9 $bench --seconds 0 --batch 16 "${nets%% *}"
}
export bench nets batches
export -f tool machine devices fsync torch job counters sanitize sanitize_step
run() { step "$1" "$2" bash -c '"$@"' bash "${@:3}"; } # NAME LIMIT FUNCTION...

# ---- 1. what there is; is it right ----
run machine 30 machine
if [ -d "$here/data/cifar10" ]; then
    mkdir "$work/cifar10"
    timeout 60 "$programs/bin/mosaic" unpack "$here/data/cifar10" "$work/cifar10" >"$OUT/steps/mosaic.txt" 2>&1 &
    cifar=$!
fi
timeout 150 bash -c 'torch reduce-overhead 0' >"$OUT/steps/torch-warm.txt" 2>&1 & # fills its compiler's cache meanwhile
warm=$!
run devices 60 devices
run fsync 20 fsync
# Those of CUDA 13 need its driver; there are others where a toolkit of CUDA 12 was at hand.
kernels=$(echo "$programs"/bin/kernels_*)
if grep -q 'driver for CUDA 12' "$OUT/steps/devices.txt" 2>/dev/null && [ -f "$programs/bin/kernels12_norm" ]; then
    kernels=$(echo "$programs"/bin/kernels12_*)
fi
export kernels
for program in $kernels; do
    # shellcheck disable=SC2086
    step "${program##*/}" 40 $lines "$program"
done
# shellcheck disable=SC2086
step hardware 95 $lines "$programs/bin/test_hardware"

# ---- 2. how fast; nothing else runs now ----
wait "$warm"
warm=""
for batch in $batches; do
    # shellcheck disable=SC2086
    step "bench-$batch" 60 $bench --seconds "$seconds" --batch "$batch" $nets
done
# shellcheck disable=SC2086
step bench-again 30 $bench --seconds "$seconds" --batch "${batches##* }" ${nets%% *} # with plans from the cache
# shellcheck disable=SC2086
step operations 60 $bench --seconds 0.3 --batch "${batches##* }" --operations $nets
run torch-eager 60 torch eager "$seconds"
run torch-reduce-overhead 90 torch reduce-overhead "$seconds" || run torch-cudagraphs 60 torch cudagraphs "$seconds"

# ---- 3. a whole job; then why it is as it is; then another job in the time that is left ----
fashion_job() {
    local left=$((total - SECONDS - 15))
    [ -d "$here/data/fashion-mnist" ] || return 0
    [ "$left" -lt "$job_seconds" ] || left=$job_seconds
    if [ "$left" -lt 5 ]; then
        record job-fashion-mnist skipped 0 "$job_seconds" "no time left"
        return 0
    fi
    run job-fashion-mnist $((left + 15)) job fashion-mnist "$here/data/fashion-mnist" "$left" fashion-mnist.cfg
}
if [ -n "$cifar" ]; then
    wait "$cifar"
    record mosaic $? 0 60 ""
    cifar=""
    run job-cifar10 $((job_seconds + 15)) job cifar10 "$work/cifar10" "$job_seconds" cifar10.cfg
else
    fashion_job
fi
run counters 60 counters
for check in memcheck racecheck synccheck; do run "$check" 60 sanitize "$check" & done # together: it is the host that they keep busy
wait
run step-memcheck 45 sanitize_step
grep -q '^job-fashion-mnist' "$OUT/steps.tsv" || fashion_job
tar czf "$OUT/plans.tgz" -C "$XDG_CACHE_HOME" . 2>/dev/null
echo
cat "$OUT/page.md"
awk -F '\t' '$2 != "skipped" && $2 != 0 { bad = 1 } END { exit bad }' "$OUT/steps.tsv"
