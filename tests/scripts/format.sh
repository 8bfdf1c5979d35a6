#!/bin/sh
# Every source file is laid out as .clang-format says, in the reading of clang-format 14 (Debian 12): each version
# lays out a few lines in its own way. What it can't say: no line is too long, and no trailing comment has torn what
# it explains.
. tests/support/script.sh

version=$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/')
if [ "$version" = 14 ]; then
    check "layout" make --no-print-directory format-check
else
    skip "the layout of the source, since clang-format is ${version:-not here}, expected 14"
fi

sources() { find "$@" -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.def'; }

# longer MOST: lines of the files named on standard input that have more columns (not bytes).
longer() { LC_ALL=C.UTF-8 xargs grep -nE "^.{$(($1 + 1)),}"; }

# torn: declarations that clang-format broke behind their type, so that a comment fits beside the name.
torn() {
    xargs awk '
        FNR > 1 && type && /^ +[A-Za-z_0-9*, \[\]]+;[ ]*\/\*/ { print FILENAME ":" FNR ":" $0 }
        { type = /^ +((const|unsigned|struct|enum) )*[A-Za-z_0-9]+( \*+)?$/ && !/^ +(else|do|return|break|continue)$/ }'
}

none() { [ -z "$1" ] || { printf '%s\n' "$1" | head -n 20; false; }; }

mkdir "$work/tree"
printf '%s\n' "/* $(printf '%0120d' 0) */" 'struct s {' '    uint32_t' '        rows; /* of all */' '};' >"$work/tree/a.h"
check "a line that is too long is seen" [ "$(sources "$work/tree" | longer 120 | wc -l)" = 1 ]
check "a torn declaration is seen" [ "$(sources "$work/tree" | torn | wc -l)" = 1 ]

check "lines of at most 120 columns" none "$(sources cuda host spec tests tools | longer 120)"
check "no declaration torn by its comment" none "$(sources cuda host spec tests tools | torn)"
check ".md: lines of at most 140 columns, but for tables" none "$(find ./*.md cuda host samples spec tests tools -name '*.md' |
    longer 140 | grep -v '^[^:]*:[0-9]*:|')"
finish
