#!/bin/sh
# Every kernel compiles for every architecture, without spilling registers to memory and with so few of them that two
# blocks share a multiprocessor; three of those whose grids are made for three (columns.cuh). Prints what each kernel
# takes, how many blocks of it a multiprocessor holds by registers and threads (shared memory limits none), and a line
# over all. Usage: tests/gpu/compile.sh [architectures], by default "75 80 86 89 90 100 120". Without nvcc the test is
# skipped. Reads what ptxas said when make built them (NAME.log beside NAME.o); what isn't built yet, or not for
# these, is built first.
set -eu
cd "$(dirname "$0")/../.."
architectures="${*:-75 80 86 89 90 100 120}"
NVCC="${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}"
if ! [ -x "$NVCC" ]; then
    echo "skipped: no nvcc"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
most_registers=128 # 65536 for two blocks of LAUNCH_THREADS
resident=$(sed -n 's/.*COLUMNS_RESIDENT = \([0-9]*\).*/\1/p' cuda/kernels/columns.cuh)

place=build/release/kernels-$(echo "$architectures" | tr ' ' '-')
make --no-print-directory --keep-going -j2 NVCC="$NVCC" BUILD=build/release KERNEL_BUILD=build/release \
    CUDA_ARCHITECTURES="$architectures" kernels >/dev/null && status=0 || status=1
passed=0 failed=$status
logs=""
wanted=$(echo "$architectures" | wc -w)
for source in cuda/kernels/*.cu; do
    name=$(basename "$source" .cu)
    logs="$logs $place/$name.log"
    if ! [ -f "$place/$name.o" ]; then
        echo "$source: does not compile"
        cat "$place/$name.log"
        failed=$((failed + 1))
        continue
    fi
    # Lines of ptxas: "Compiling entry function 'mangled' for 'sm_90'", "... bytes spill stores ...", "Used 40
    # registers". A quarter of a multiprocessor has 16384 registers, which a warp takes in steps of 256; a block has 8
    # warps.
    report=$(awk -v source="$source" -v walks="$(grep -q COLUMNS_BOUNDS "$source" && echo "$resident" || echo 0)" '
        function blocks(registers, target, warps, most_warps) {
            warps = 4 * int(16384 / (256 * int((registers + 7) / 8)))
            most_warps = target == "sm_75" ? 32 : target ~ /sm_(86|89|12.)$/ ? 48 : 64
            return int((warps < most_warps ? warps : most_warps) / 8)
        }
        /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; target = part[4] }
        /bytes spill stores/ { for (i = 1; i <= NF; i++) if ($i == "spill") spilled[kernel " " target] += $(i - 2) }
        /Used [0-9]+ registers/ {
            match($0, /Used [0-9]+/); used = substr($0, RSTART + 5, RLENGTH - 5) + 0
            if (used > most[kernel]) most[kernel] = used
            held = blocks(used, target)
            if (!count[kernel]++ || held < least[kernel]) least[kernel] = held
        }
        END {
            for (kernel in count) printf "%s: %s: %d targets, at most %d registers, at least %d blocks\n", source, kernel, count[kernel], most[kernel], least[kernel]
            for (kernel in count) if (least[kernel] < walks) printf "FEW %s: %s: %d blocks, its grid is made for %d\n", source, kernel, least[kernel], walks
            for (which in spilled) if (spilled[which] > 0) printf "SPILL %s: %s: %d bytes\n", source, which, spilled[which]
        }' "$place/$name.log" | { command -v c++filt >/dev/null && c++filt || cat; } | sort)
    printf '%s\n' "$report"
    if printf '%s\n' "$report" | grep -Eq '^(SPILL|FEW) ' || printf '%s\n' "$report" | grep -qv ": $wanted targets, "; then
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done

# Over all: how many there are, the most registers, bytes spilled.
# shellcheck disable=SC2086  # a list of files
summary=$(awk -v wanted="$wanted" -v limit="$most_registers" '
    /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; target = part[4]; if (!seen[FILENAME kernel]++) kernels++ }
    /bytes spill stores/ { for (i = 1; i <= NF; i++) if ($i == "spill") spilled += $(i - 2) }
    /Used [0-9]+ registers/ {
        match($0, /Used [0-9]+/); used = substr($0, RSTART + 5, RLENGTH - 5) + 0; compiled++
        if (used > most) { most = used; which = kernel " on " target }
    }
    END {
        printf "%d kernels x %d architectures: %d compiled, at most %d registers (%s), %d bytes spilled\n",
            kernels, wanted, compiled, most, which, spilled
        exit !(kernels > 0 && compiled == kernels * wanted && most <= limit && spilled == 0)
    }' $logs) && status=0 || status=1
if [ "$status" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
printf '%s\n' "$summary" | { command -v c++filt >/dev/null && c++filt || cat; }

# What was built holds code for all of them (on a machine with GPUs, for those), and PTX for what comes after.
plugin=${NASRUN_BIN:-bin}/libnasrun_cuda.so
if [ -f "$plugin" ]; then
    holds=$(python3 tests/gpu/fatbin.py "$plugin")
    echo "$plugin: $holds"
    missing=$(for a in $architectures; do case "${holds%;*} " in *"sm_$a "*) ;; *) echo "$a" ;; esac; done)
    case "$holds" in *"PTX sm_"*) ;; *) missing="$missing PTX" ;; esac
    if [ -z "$missing" ] || command -v nvidia-smi >/dev/null; then
        passed=$((passed + 1))
    else
        echo "FAILED: no code for $missing"
        failed=$((failed + 1))
    fi
fi
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
