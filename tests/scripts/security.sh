#!/bin/sh
# What SECURITY.md promises: no code is loaded from the folder one works in, no shell is called, names in files stay
# names, nothing is written through a symbolic link.
. tests/support/script.sh
bin=$(cd "$bin" && pwd)
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"

not_there() { [ ! -e "$1" ]; }

# ---- the folder one works in ----
# Each of these libraries leaves a file when it is loaded.
mkdir "$work/here" "$work/here/lib" "$work/here/lib64"
cat >"$work/trap.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void loaded(void)
{
    FILE *file = fopen(getenv("TRAP"), "w");
    if (file != NULL)
        fclose(file);
}
END
"${CC:-cc}" -shared -fPIC "$work/trap.c" -o "$work/here/libnasrun_cuda.so" || { fail "no trap is compiled"; finish; }
for name in libnasrun_cuda12.so libcuda.so.1 libcublas.so.13 libcublas.so.12 libcudnn.so.9 libnccl.so.2 libnvrtc.so.13 \
    libnvidia-ml.so.1; do
    cp "$work/here/libnasrun_cuda.so" "$work/here/$name"
    cp "$work/here/libnasrun_cuda.so" "$work/here/lib/$name"
    cp "$work/here/libnasrun_cuda.so" "$work/here/lib64/$name"
done
(cd "$work/here" && TRAP=$work/trapped LD_PRELOAD=./libcuda.so.1 "$bin/nasrun" --devices >/dev/null 2>&1)
check "the trap itself does not work" [ -e "$work/trapped" ]
rm -f "$work/trapped"
(cd "$work/here" && export TRAP=$work/trapped CUDA_HOME=. CONDA_PREFIX=. VIRTUAL_ENV=. HOME=. PATH=".:$PATH" &&
    "$bin/nasrun" --devices) >"$work/log" 2>&1
check "a library of the folder one works in was loaded: $(cat "$work/log")" not_there "$work/trapped"

# ---- other programs ----
# nasstudy starts nasrun, and nasexport --c the C compiler; nobody a shell.
for program in nasrun nasreport nasplot naspredict nasexport nasinspect nasstudy; do
    wanted='system|popen|wordexp|exec[lvf][a-z]*|posix_spawnp?'
    case $program in
    nasexport) wanted='system|popen|wordexp|exec[lf][a-z]*|execv|execvpe|posix_spawnp?' ;;
    nasstudy) wanted='system|popen|wordexp|exec[lf][a-z]*|execvpe?|posix_spawnp?' ;;
    esac
    nm -D --undefined-only "$bin/$program" >"$work/wanted" || fail "nm $program"
    check "$program: what it asks of the C library can't be read" grep -q ' open' "$work/wanted"
    if grep -Eq " ($wanted)(@|\$)" "$work/wanted"; then
        fail "$program can start other programs: $(grep -E " ($wanted)" "$work/wanted")"
    else
        pass
    fi
done

# ---- names ----
# Classes and files that are called like paths and commands; all that comes of it lies in the run folder.
mkdir "$work/room" "$work/room/images"
for i in 0 1 2 3 4 5 6 7 8 9; do
    for label in '../../../owned' "/$work/room/owned\$(touch owned)"; do
        name="$i-${#label};touch owned.png"
        cp "$work/data/two.png" "$work/room/images/$name"
        echo "$name,$label"
    done
done >"$work/room/list.csv"
cat >"$work/room/job.cfg" <<'END'
dataset = { path = "list.csv"; images = "images"; resize = 8; };
search = { strategy = "none"; starts = ["lean"]; width = 8; };
train = { batch = 4; };
budget = { steps = 2; };
output = { dir = "run"; };
threads = 1;
devices = "cpu";
END
# What is there beside the run folder and what this script writes.
others() { find "$work" -path "$work/room/run" -prune -o -path "$work/logs" -prune -o -type f -print | sort; }
mkdir "$work/logs"
others >"$work/logs/before"
(cd "$work/room" && "$bin/nasrun" job.cfg >"$work/logs/log" 2>&1) || fail "names like paths: $(tail -n 1 "$work/logs/log")"
check "report.json lacks the class" grep -q '"\.\./\.\./\.\./owned"' "$work/room/run/report.json"
(cd "$work/room" && "$bin/naspredict" run images/* >"$work/logs/log" 2>&1) || fail "naspredict: $(tail -n 1 "$work/logs/log")"
others >"$work/logs/after"
check "files were written outside of the run folder" diff "$work/logs/before" "$work/logs/after"

# ---- links ----
echo mine >"$work/mine"
for name in report.txt report.json plots/confusion.png model.safetensors; do
    rm -f "$work/room/run/$name"
    ln -s "$work/mine" "$work/room/run/$name"
    ln -s "$work/mine" "$work/room/run/$name.tmp"
done
for command in nasreport nasplot "nasrun -q --resume=run"; do
    # shellcheck disable=SC2086  # a command and its arguments
    (cd "$work/room" && "$bin"/$command $([ "$command" = "${command#nasrun}" ] && echo run) >"$work/log" 2>&1) ||
        fail "$command beside links: $(cat "$work/log")"
done
check "something was written through a link" [ "$(cat "$work/mine")" = mine ]
for name in report.txt report.json plots/confusion.png model.safetensors; do
    check "$name is a link still" [ ! -L "$work/room/run/$name" ]
done
finish
