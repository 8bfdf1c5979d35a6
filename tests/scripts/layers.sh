#!/bin/sh
# A new kind of layer that was forgotten somewhere does not compile: with a row more in layers.def, files that have to know of it
# are refused, and all others are not.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/support/script.sh

# Compiles the file with the changed table in front of the true one.
compiles() {
    "${CC:-cc}" -std=c17 -Wall -Wextra -Wpedantic -Werror -D_GNU_SOURCE -fopenmp -fsyntax-only -I "$work" -I . "$1" 2>"$work/log"
}
# refused WHAT TEXT FILE...: the compiler refuses each file, saying TEXT; and no other of the rooms.
refused() {
    what=$1 text=$2
    shift 2
    for file in host/net/*.c host/morph/*.c host/program/*.c host/ref/*.c host/cpu/*.c host/search/*.c; do
        case " $* " in
        *" $file "*)
            if compiles "$file"; then fail "$what: $file compiles, expected an error"
            elif grep -q "$text" "$work/log"; then pass
            else fail "$what: $file: $(head -n 1 "$work/log"), expected $text"; fi ;;
        *) compiles "$file" || fail "$what: $file: $(head -n 1 "$work/log"), expected none" ;;
        esac
    done
}

mkdir -p "$work/host/net"
row() { # the row stands behind the last one
    awk -v row="$1" '/^#undef LAYER$/ { print row } { print }' host/net/layers.def >"$work/host/net/layers.def"
}

row 'LAYER(FORGOTTEN, forgotten, 1, 1, 0, NONE, KEPT, ANY)'
refused 'a kind' FAMILY_FORGOTTEN host/net/graph.c host/net/cost.c host/morph/morph_skip.c host/program/lower_forward.c \
    host/program/lower_backward.c

row 'ACTIVATION(FORGOTTEN, forgotten, INPUT, 1, 1, ANY)'
refused 'an activation' activation_forgotten host/ref/ref_activation.c host/cpu/kernel_activation.c
if compiles tests/program/test_activation.c; then fail "an activation: tests/program/test_activation.c compiles, expected an error"
elif grep -q ACTIVATION_FORGOTTEN "$work/log"; then pass
else fail "an activation: tests: $(head -n 1 "$work/log")"; fi

finish
