#!/bin/sh
# What ARCHITECTURE.md, CONTRIBUTING.md and SECURITY.md name is there: every file, function, structure and target of make.
. tests/support/script.sh
sources="$work/sources"
find spec host cuda tools tests \( -name '*.[ch]' -o -name '*.cu' -o -name '*.def' \) -exec cat {} + >"$sources"

for document in ARCHITECTURE.md CONTRIBUTING.md SECURITY.md; do
    # What stands between backticks, a line each, however the line was broken.
    tr '\n' ' ' <"$document" | grep -o '`[^`]*`' | tr -d '`' | sort -u >"$work/named"
    check "$document names few things" [ "$(lines_of "$work/named")" -gt 15 ]
    while read -r name; do
        case $name in
        *'()') check "$document: there is no function $name" grep -qE "^[a-z].*\b${name%??}\(" "$sources" ;;
        'struct '*) check "$document: there is no $name" grep -qE "^$name\b" "$sources" ;;
        'enum '*) check "$document: there is no $name" grep -qE "^$name\b" "$sources" ;;
        make\ *) check "$document: there is no $name" grep -qE "^(${name#make })( [a-z-]+)*:" Makefile ;;
        tools/NAME.c | *.cfg | journal.jsonl | .cu) ;;
        tests/*/test_*'*'*) check "$document: there is no file $name" sh -c "ls $name >/dev/null 2>&1" ;;
        */*.* | */ | spec | cuda | host/* | tests/* | tools/*) check "$document: there is no file $name" [ -e "$name" ] ;;
        *'*'.c | [a-z]*.[ch]) check "$document: there is no file $name" [ -n "$(find host tools tests -name "$name")" ] ;;
        LAYER_*) check "$document: there is no $name" grep -qw "$name" "$sources" ;;
        esac
    done <"$work/named"
    # Commands that stand in blocks.
    for target in $(sed -n 's/^    make \([a-z_.-]*\).*/\1/p' "$document"); do
        check "$document: there is no make $target" grep -qE "^([a-z_. -]* )?$target( [a-z_. -]*)?:" Makefile
    done
    for test in $(grep -o 'T=[a-z/_.]*' "$document" | sed 's/T=//'); do
        check "$document: there is no test $test" \
            [ -f "tests/$test.c" -o -f "tests/$test.sh" -o -f "$test" ]
    done
done
finish
