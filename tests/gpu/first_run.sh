#!/bin/bash
# The script of `make gpu-bundle` (tests/gpu/first) where no GPU is: without one at all, and on the emulated GPU with
# stand-ins for PyTorch and NVIDIA's tools, so that every part of its page is made; with a program that hangs; and
# from half of a run.
#
# Runs alone: it has deadlines.
. tests/support/script.sh
first=tests/gpu/first
emulated=$helpers/../emulated
if [ ! -f "$bin/libnasrun_cuda.so" ] || [ ! -f "$emulated/libnasrun_cuda.so" ]; then
    skip "there is no plug-in here: the first minutes on a GPU"
    finish
fi

# bundle FOLDER NASRUN PLUGIN: as make.sh lays it out, unpacked.
bundle() {
    mkdir -p "$1/programs/bin" "$1/programs/lib" "$1/programs/share/nasrun" "$1/data/fashion-mnist"
    cp "$2" "$helpers/bench/bench_train" "$helpers/gpu/test_hardware" "$1/programs/bin/"
    cp "$3" "$1/programs/lib/"
    cp -r samples "$1/programs/share/nasrun/"
    cp $first/run.sh $first/page.sh tests/bench/torch_train.py "$1/"
    printf 'version: 0\ncommit: rehearsal\narchitectures: none\n' >"$1/ABOUT"
    make_data "$1/data/fashion-mnist" 200 80
}
stand_in() { # FILE: from stdin
    cat >"$1"
    chmod +x "$1"
}
has() { # WHAT PATTERN: a line of the page in $page
    if grep -qE "$2" "$page"; then pass; else fail "$1: the page has no line like \"$2\""; fi
}
hasnt() { if grep -qE "$2" "$page"; then fail "$1: the page says \"$(grep -E "$2" "$page" | head -n 1)\""; else pass; fi; }
counts() { # the page's first figures are those of the steps
    awk -F '\t' '{ if ($2 == "skipped") s++; else if ($2 == 0) p++; else f++ }
        END { printf "^%d steps passed, %d failed, %d not done; ", p, f, s }' "$1/steps.tsv"
}

# The prediction that the page compares with is the one that can be read.
"$helpers/bench/roofline" >"$work/roofline"
check "cuda/ROOFLINE.md is not what make roofline prints" cmp -s "$work/roofline" cuda/ROOFLINE.md

# 1: no GPU. Every step that needs one fails with its reason, and the page is made.
page=$work/none/page.md
bundle "$work/bare" "$bin/nasrun" "$bin/libnasrun_cuda.so"
for program in "$helpers"/gpu/first/kernels_*; do
    case $program in *.o | *.d) ;; *) cp "$program" "$work/bare/programs/bin/" ;; esac
done
if ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then
    skip "this machine has an NVIDIA driver: the first minutes without one"
else
    OUT=$work/none NETS=cnn BATCHES=1 SECONDS_EACH=0 PYTHON=$work/no-python PATH=/usr/bin:/bin timeout 60 \
        bash "$work/bare/run.sh" >"$work/none.log" 2>&1
    check "no GPU: expected status 1" [ $? -eq 1 ]
    has "no GPU" '^## no GPU, '
    has "no GPU" "$(counts "$work/none")"
    for name in devices bench-1 operations job-fashion-mnist; do
        has "no GPU" "^- \*\*$name\*\*: status [12]: .*no NVIDIA driver on this machine"
    done
    for name in $(cd "$work/bare/programs/bin" && ls -d kernels_*); do
        has "no GPU" "^- \*\*$name\*\*: status [0-9]*: .failed: test_.*; CUDA: "
    done
    has "no GPU" '^- \*\*hardware\*\*: '
    has "no GPU" '^- torch-eager was not done: '
    hasnt "no GPU" '^\| cnn'
    check "no GPU: steps that are not on the page" [ "$(wc -l <"$work/none/steps.tsv")" -ge 15 ]
fi

# 2: the emulated GPU, and stand-ins.
bundle "$work/whole" "$emulated/nasrun" "$emulated/libnasrun_cuda.so"
mkdir "$work/tools"
stand_in "$work/tools/python" <<'END'
#!/bin/sh
case "$*" in
*--check*) echo "PyTorch 9.9, a stand-in" ;;
*" eager "*) echo "cnn 2.0 1.5 nhwc 1" ;;
*reduce-overhead*) echo "no C compiler: cannot compile" >&2; exit 1 ;;
*cudagraphs*) echo "cnn 4.0 3.5 nhwc 1" ;;
*) echo "a line forced to disk: 1.00 ms" ;;
esac
END
stand_in "$work/tools/nvidia-smi" <<'END'
#!/bin/sh
case "$*" in *name*) echo "Emulated H100" ;; *) echo "1.0, 1 MiB" ;; esac
END
stand_in "$work/tools/ncu" <<'END'
#!/bin/sh
echo '==PROF== Connected'
echo '"ID","Kernel Name","gpu__time_duration.sum","dram__throughput.avg.pct_of_peak_sustained_elapsed","sm__throughput.avg.pct_of_peak_sustained_elapsed","sm__warps_active.avg.pct_of_peak_sustained_active","launch__registers_per_thread"'
echo '"","","ns","%","%","%","register/thread"'
echo '"0","void short<float, 2>(int, ""a"")","1,000","10","20","30","40"'
echo '"1","void long_one(float *)","2000","50","20","30","41"'
echo '"2","void long_one(float *)","4000","80","20","30","41"'
END
stand_in "$work/tools/compute-sanitizer" <<'END'
#!/bin/sh
case "$*" in
*racecheck*) echo "========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)"; exit 9 ;;
*) echo "========= ERROR SUMMARY: 0 errors" ;;
esac
END
stand_in "$work/whole/programs/bin/kernels_good" <<'END'
#!/bin/sh
printf '[ RUN      ] test_a\n[       OK ] test_a\n[ RUN      ] test_b\n[       OK ] test_b\n[  PASSED  ] 2 test(s).\n'
END
stand_in "$work/whole/programs/bin/kernels_killed" <<'END'
#!/bin/sh
printf '[ RUN      ] test_c\n[       OK ] test_c\n[ RUN      ] test_d\n'
kill -SEGV $$
END
page=$work/emulated/page.md
LD_LIBRARY_PATH=$helpers/gpu/driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} OUT=$work/emulated NETS=cnn BATCHES=1 SECONDS_EACH=0 \
    JOB_SECONDS=5 JOB_SETTINGS='search.starts=["cnn"] search.width=8 train.batch=16 output.plots=false' PAPER=h100 SKIP=hardware \
    PYTHON=$work/tools/python PATH=$work/tools:$PATH timeout 120 bash "$work/whole/run.sh" >"$work/emulated.log" 2>&1
check "emulated GPU: expected status 1" [ $? -eq 1 ]
number='[1-9][0-9]*'
has "emulated GPU" '^## Emulated H100, [-0-9]*, nasrun 0 rehearsal$'
has "emulated GPU" "$(counts "$work/emulated")3 tests of kernels and operations passed, 0 failed"
has "emulated GPU" '^- \*\*kernels_killed\*\*: killed by signal 11'
has "emulated GPU" '^- \*\*torch-reduce-overhead\*\*: status 1: .no C compiler: cannot compile'
has "emulated GPU" '^- \*\*racecheck\*\*: status 1: .*3 hazards'
has "emulated GPU" '^- hardware was not done: left out by SKIP'
check "emulated GPU: other steps failed: $(grep '^- \*\*' "$page" 2>/dev/null)" [ "$(grep -c '^- \*\*' "$page")" -eq 3 ]
has "emulated GPU" "^\| cnn \| 1 \| $number \| $number \| 0\.[0-9]* \| 2 \| 4 \| [0-9]*\.[0-9]* \|$"
has "emulated GPU" "^- a step of cnn at batch 1: $number us, predicted $number \([0-9.]* times\)"
has "emulated GPU" "^cnn, batch 1, operations one by one: $number us in all; the recorded step $number us"
has "emulated GPU" '^\| convolution[a-z ]* [0-9x]* \| [0-9] \| [0-9.]* \| [0-9]* % \| [0-9.]* \| [0-9.]* \| [0-9.]* \|$'
has "emulated GPU" '^Counters of 3 kernels in a row:$'
has "emulated GPU" '^\| long_one \| 2 \| 6\.0 \| 86 % \| 70 % \| 20 % \| 30 % \| 41 \|$'
has "emulated GPU" '^\| short \| 1 \| 1\.0 \| 14 % '
has "emulated GPU" '^\| fashion-mnist \| 5 \| [0-9.]* \| [0-9.]* \| [0-9]* \| [0-9]* \| 0\.[0-9]* \|$'
has "emulated GPU" "^cnn at batch 1: prepared in [0-9]* ms, with plans from the cache in [0-9]* ms; a recorded step has [1-9][0-9]* pieces, [0-9.]* us by"
check "emulated GPU: no journal came back" [ -s "$work/emulated/jobs/fashion-mnist/journal.jsonl" ]
check "emulated GPU: a model came back" [ ! -e "$work/emulated/jobs/fashion-mnist/model.safetensors" ]
grep -E '^(\| cnn|- a step)' "$page"
[ "$failed" -eq 0 ] || cat "$page" "$work/emulated.log"

# 3: half of a run: what is there is on the page.
mkdir -p "$work/half/steps"
head -n 4 "$work/emulated/steps.tsv" >"$work/half/steps.tsv"
printf 'counters\t124\t60\t60\t\n' >>"$work/half/steps.tsv"
head -n 3 "$work/emulated/steps/operations.txt" >"$work/half/steps/operations.txt"
{
    head -n 4 "$work/emulated/steps/bench-1.txt"
    echo "           not recorded: no convolution can be recorded here"
} >"$work/half/steps/bench-1.txt"
head -c 500 "$work/emulated/steps/counters.txt" >"$work/half/steps/counters.txt"
page=$work/half/page.md
sh "$work/whole/page.sh" "$work/half" >"$page" 2>"$work/err"
check "half a run: $(head -n 3 "$work/err")" [ $? -eq 0 -a ! -s "$work/err" ]
has "half a run" '^- \*\*counters\*\*: over its limit of 60 s'
has "half a run" '^- \*\*bench-1, cnn\*\*: steps were queued piece by piece, not replayed: .no convolution can be recorded'
has "half a run" '^None was run\.$'

# 4: a program that hangs takes its own time and no more than there is; where the driver is one of CUDA 12, that is
# the kernels' program for it.
stand_in "$work/whole/programs/bin/kernels12_norm" <<'END'
#!/bin/sh
sleep 60
END
stand_in "$work/whole/programs/bin/nasrun" <<'END'
#!/bin/sh
printf 'cuda:0 a stand-in\n        driver for CUDA 12.4, CUDA 12.4\n'
END
page=$work/hung/page.md
began=$(date +%s)
OUT=$work/hung LIMIT=8 SKIP="machine fsync" PYTHON=$work/no-python timeout 60 bash "$work/whole/run.sh" >"$work/hung.log" 2>&1
took=$(($(date +%s) - began))
has "a hang" '^- \*\*kernels12_norm\*\*: over its limit of [0-9]* s'
hasnt "a driver of CUDA 12" 'kernels_good'
has "a hang" '^- bench-8 was not done: no time left'
check "a hang: it took $took s" [ "$took" -lt 20 ]

# 5: CIFAR-10 as mosaics and back: each image in its place, with its label.
mkdir "$work/cifar" "$work/mosaics" "$work/back"
python3 - "$work/cifar" <<'END'
import sys
for k, name in enumerate(["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]):
    with open(f"{sys.argv[1]}/{name}.bin", "wb") as file:
        for i in range(10000):
            file.write(bytes([(i + k) % 10]) + b"".join(bytes([(i * step + k) % 256]) * 1024 for step in (1, 7, 29)))
END
check "mosaics: pack" "$helpers/gpu/first/mosaic" pack "$work/cifar" "$work/mosaics" 90
check "mosaics: unpack" "$helpers/gpu/first/mosaic" unpack "$work/mosaics" "$work/back"
python3 - "$work/cifar" "$work/back" >"$work/out" <<'END'
import sys
worst, labels = 0, 0
for name in ("data_batch_1", "test_batch"):
    a, b = (open(f"{folder}/{name}.bin", "rb").read() for folder in sys.argv[1:])
    assert len(a) == len(b) == 10000 * 3073
    for i in range(10000):
        at = i * 3073
        labels += a[at] == b[at]
        worst = max(worst, *(abs(a[at + c] - b[at + c]) for c in (1, 1025, 2049, 1024, 3072)))
print(labels, worst)
END
check "mosaics: labels and the largest difference of a plain image: $(cat "$work/out")" grep -qE '^20000 ([0-9]|1[0-9])$' "$work/out"
finish
