#!/bin/sh
# Models as C: random networks compile without a warning as C99 by gcc and clang, the latter under UBSan, and answer as
# the networks do.
. tests/support/script.sh
mkdir "$work/c"
check "test_csource --write" $helpers/csource/test_csource --write "$work/c"

# compiled COMPILER OPTION...: all in one program, whose answers are compared.
compiled() {
    command -v "$1" >/dev/null || { skip "$1 is not here: C files were compiled with it NOT AT ALL"; return; }
    rm -f "$work"/c/*.o
    (cd "$work/c" && ls *.c | xargs -n 10 "$@" -std=c99 -Wall -Wextra -Wpedantic -Werror -c) >"$work/log" 2>&1 ||
        fail "$*: $(head -n 3 "$work/log")"
    "$@" "$work"/c/*.o -o "$work/all" -lm >"$work/log" 2>&1 || fail "$*: $(tail -n 3 "$work/log")"
    "$work/all" <"$work/c/images" >"$work/answers" 2>"$work/log" || fail "$*: $(head -n 3 "$work/log")"
    check "$*" $helpers/csource/test_csource --compare "$work/answers"
}
compiled gcc -O1
compiled clang -O1 -fsanitize=undefined -fno-sanitize-recover=undefined
finish
