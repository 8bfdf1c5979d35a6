#!/bin/sh
# nasrun on Debian 13 (oneDNN 3, gcc 14, clang 19), seen from another Debian: one that debootstrap makes in a folder
# which is kept from run to run (2 GB). A copy of the source is built there, read by clang, runs those of the CPU's test
# programs that meet other libraries there, and searches as the demo does, for 15 s. It takes root, debootstrap and, the
# first time, a package registry: that of this machine's apt, through its proxies. Without one of them nothing is tested,
# and it says so.
#
# NASRUN_DEBIAN13   that folder (~/.cache/nasrun/debian13)
. tests/support/script.sh
. tests/support/debian.sh
root=${NASRUN_DEBIAN13:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nasrun/debian13}
suite=trixie nothing="NOTHING was tried on Debian 13"
parts="Makefile README.md LICENSE CHANGELOG.md cuda host samples spec tests tools"

[ "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null)" != trixie ] ||
    give_up "this machine is one, and all other tests are its test"

# Copies what differs, so that make finds the rest built, and removes what is no longer there.
copy_source() {
    # shellcheck disable=SC2086  # a list
    find $parts -type f | while read -r file; do
        cmp -s "$file" "$root/src/$file" || cp --parents "$file" "$root/src/" || exit 1
    done || return
    # shellcheck disable=SC2086
    (cd "$root/src" && find $parts -type f 2>/dev/null) | while read -r file; do
        [ -f "$file" ] || rm "$root/src/$file" || exit 1
    done
}

open_debian
copy_source || { fail "the copy of the source"; finish; }

programs=$(find tests -name 'test_*.c' | grep -Ev '^tests/(gpu|faults|fuzz|morph|net|search)/' | sort | sed 's,^\(.*\)\.c$,build/release/\1,' | tr '\n' ' ')
sources=$(find spec host tools tests -name '*.c' ! -path 'tests/gpu/*' | tr '\n' ' ')
try "packages" "tools/deps.sh build demo test tsan"
# shellcheck disable=SC2016  # for the shell inside
try "gcc" 'make -j$(nproc) all test-programs'
try "clang" "echo $sources | xargs -n 8 -P \$(nproc) clang -fsyntax-only -std=c17 -Wall -Wextra -Wpedantic -Werror -D_GNU_SOURCE -I. -Ibuild/release/onnx -fopenmp \$(pkg-config --cflags freetype2)"
if inside "tests/run.sh $programs" >"$work/programs"; then :; else cat "$work/programs"; fi
total=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$work/programs")
# shellcheck disable=SC2086  # three numbers
set -- ${total:-0 1 0}
passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
echo "test programs: $1 passed, $2 failed, $3 skipped"
try "demo" 'make demo DEMO_SECONDS=15 && test -s runs/demo/report.txt && test -s runs/demo/model.safetensors &&
    grep -q "\"onednn\":\"3\." runs/demo/journal.jsonl'
finish
