#!/bin/sh
# Training speed beside PyTorch's, in one run: bench.sh BENCH_TRAIN. They take turns (A, B, A, B ...), so that what
# slows the machine for a while slows all. Settings: ROUNDS, SECONDS_EACH, THREADS, BATCH, NETS, PYTHON; PRECISION (ours:
# auto, bf16, fp32) and MODES (PyTorch's, torch_train.py) for a CPU; GPU (its number) and PLUGIN (libnasrun_cuda.so) for
# a GPU's speed. The PyTorch is that of `make bench-peers`, if it was made, else the system's.
set -eu
bench=${1:?usage: bench.sh BENCH_TRAIN}
here=$(dirname "$0")
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-4} threads=${THREADS:-$(nproc)} batch=${BATCH:-128}
nets=${NETS:-cnn cnn:28 lean res9 air resnet}
results=$(mktemp)
trap 'rm -f "$results"' EXIT
if [ -n "${GPU:-}" ]; then
    device=cuda:$GPU modes="eager reduce-overhead"
    set -- --gpu "$GPU" --plugin "${PLUGIN:?the plug-in of the GPU}"
    precision="in bf16 by autocast, channels last"
else
    # What a user can switch on: each is as easy as another.
    device=cpu modes=${MODES:-"eager eager-bf16 compile compile-bf16"} precision="the better of its two memory formats"
    set -- --precision "${PRECISION:-auto}"
fi

peer=""
for python in ${PYTHON:-build/peers/bin/python python3 /usr/bin/python3}; do
    if about=$("$python" "$here/torch_train.py" --check "$device" 2>/dev/null); then
        peer=$python
        break
    fi
done

"$bench" "$@" --machine --threads "$threads"
echo "Batch $batch, threads: $threads, rounds: $rounds of $seconds s a network and side, in turns."
echo "A step of nasrun: gathering and augmenting the batch, forward, loss, backward, SGD, weight average."
if [ -n "$peer" ]; then
    echo "A step of PyTorch: forward, loss, backward, SGD, ${precision}. $about."
else
    echo "*** NO PYTORCH HERE: nothing to compare with. make bench-peers installs the newest. ***"
fi

for round in $(seq "$rounds"); do
    for net in $nets; do
        [ -t 2 ] && printf '\rround %s of %s: %-8s' "$round" "$rounds" "$net" >&2
        "$bench" "$@" --seconds "$seconds" --threads "$threads" --batch "$batch" --plain "$net" |
            sed "s/^/nasrun $net /" >>"$results"
        for mode in ${peer:+$modes}; do
            OMP_NUM_THREADS=$threads "$peer" "$here/torch_train.py" "$device" "$mode" "$threads" "$batch" "$seconds" "$net" |
                sed "s/^/$mode $net /" >>"$results"
        done
    done
done
[ -t 2 ] && printf '\r%40s\r' '' >&2

# Best of all rounds; of the medians the middle one, the upper of two. A line a network and way of PyTorch.
awk -v nets="$nets" -v peer="$peer" -v modes="$modes" '
function middle(text,    n, v, i, j, t) {
    n = split(text, v, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    return v[int(n / 2) + 1]
}
{
    key = $1 " " $2
    if (!(key in best) || $4 > best[key]) { best[key] = $4; note[key] = $6 }
    # Threads on one core halve what is taken for the peak: the largest of all processes is the machine\047s.
    if ($1 == "nasrun" && $7 > peak) peak = $7
    medians[key] = medians[key] " " $5
}
END {
    printf "%-22s %21s %12s", "images a second", "nasrun", ""
    if (peer) printf " %21s %20s %16s", "PyTorch", "", "ratio"
    printf "\n%-22s %10s %10s %12s", "", "best", "median", "of the peak*"
    if (peer) printf " %10s %10s %20s %8s %7s", "best", "median", "way", "best", "median"
    printf "\n"
    count = split(nets, list, " ")
    ways = split(modes, mode, " ")
    for (i = 1; i <= count; i++)
        for (m = 1; m <= (peer ? ways : 1); m++) {
            us = "nasrun " list[i]; them = mode[m] " " list[i]
            split(list[i], part, ":")
            printf "%-8s %-13s %10.1f %10.1f %12s", part[1], part[2] == "28" ? "28 x 28 x 1" : "32 x 32 x 3", best[us], middle(medians[us]), (peak > 0 ? sprintf("%.0f%%", 100 * note[us] / peak) : "-")
            if (them in best)
                printf " %10.1f %10.1f %20s %8.2f %7.2f", best[them], middle(medians[them]), mode[m] " " note[them], best[us] / best[them], middle(medians[us]) / middle(medians[them])
            printf "\n"
        }
    if (peer && ways > 1) {
        printf "\nnasrun beside the best of all ways, by best steps: "
        for (i = 1; i <= count; i++) {
            fastest = 0
            for (m = 1; m <= ways; m++)
                if (best[mode[m] " " list[i]] + 0 > fastest) fastest = best[mode[m] " " list[i]] + 0
            printf "%s%s %.2f", (i > 1 ? ", " : ""), list[i], best["nasrun " list[i]] / fastest
        }
        printf "\n"
    }
    if (peak > 0) printf "* multiply-adds without memory, %.0f GFLOP/s\n", peak
}' "$results"
