# What the scripts share that run nasrun on emulated GPUs (tests/gpu/emu), or on those of this machine; they source it
# behind script.sh.
#
# NASRUN_GPU   the program to run on this machine's GPUs, with its plug-in beside it; without it the emulated ones
#
#     $gpu   that program; its plans are kept in $work/cache. EMU_... are the emulated ones' settings (emu_library.c)
gpu=${NASRUN_GPU:-$helpers/../emulated/nasrun}
[ -n "${NASRUN_GPU:-}" ] || LD_LIBRARY_PATH=$helpers/gpu/driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
XDG_CACHE_HOME=$work/cache
export LD_LIBRARY_PATH XDG_CACHE_HOME

# make_gpu_job: a small search in $work/job.cfg, on cuda:0, which `run ARGUMENT...` runs; what it says is in
# $work/out. $gpus is how many GPUs there are; without one the script ends.
make_gpu_job() {
    EMU_DEVICES=2 EMU_ORDER=0 EMU_MEMORY=262144
    export EMU_DEVICES EMU_ORDER EMU_MEMORY
    make_data "$work/data" 200 80
    cat >"$work/job.cfg" <<END
dataset = { format = "idx"; path = "$work/data"; validation = 0.2; };
search = { strategy = "bayesian"; starts = ["cnn"]; width = 8; noise = 0.0001; };
train = { batch = 16; flip = false; translate = 1; };
devices = "cuda:0";
budget = { steps = 40; };
output = { plots = false; checkpoint_seconds = 0.02; };
END
    gpus=$("$gpu" --devices 2>&1 | grep -c '^cuda:')
    check "no GPU to test: $("$gpu" --devices 2>&1 | grep '^no GPU')" [ "$gpus" -ge 1 ]
    [ "$gpus" -ge 1 ] || finish
}
run() { "$gpu" "$work/job.cfg" "$@" >"$work/out" 2>&1; }
