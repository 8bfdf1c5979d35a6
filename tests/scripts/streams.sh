#!/bin/sh
# Standard streams that are closed when a program starts: nothing else takes their place and is written to.
. tests/support/script.sh
make_data "$work/data"
make_job "$work/job.cfg" "$work/data"

# run DIR: its output goes where the caller says.
run() { "$bin/nasrun" "$work/job.cfg" budget.steps=300 output.dir="$1"; }

run "$work/open" >"$work/log" 2>&1 || fail "undisturbed: $(tail -n 1 "$work/log")"
closed() { # NAME STATUS
    check "$1 closed: status $2" [ "$2" -eq 0 ]
    check "$1 closed: the run differs from the one with all streams" same_run "$work/open" "$work/$1"
    check "$1 closed: no report" [ -s "$work/$1/report.txt" ]
}
run "$work/input" <&- >"$work/log" 2>&1
closed input $?
run "$work/output" >&- 2>"$work/log"
closed output $?
run "$work/errors" 2>&- >"$work/log"
closed errors $?
run "$work/all" <&- >&- 2>&-
closed all $?

# The tools write files, too.
for tool in nasreport nasplot; do
    cp -R "$work/open" "$work/$tool"
    rm -r "$work/$tool/plots" "$work/$tool/report.txt" "$work/$tool/report.json"
    "$bin/$tool" "$work/$tool" <&- >&- 2>&-
    check "$tool with all closed: status $?" [ $? -eq 0 ]
done
check "nasreport with all closed: another report.json" cmp "$work/open/report.json" "$work/nasreport/report.json"
check "nasreport with all closed: another report.txt" cmp "$work/open/report.txt" "$work/nasreport/report.txt"
for name in confusion learning progress; do
    check "nasplot with all closed: another plots/$name.png" cmp "$work/open/plots/$name.png" "$work/nasplot/plots/$name.png"
done
"$bin/naspredict" "$work/open" "$work/data/two.png" <&- 2>&- >"$work/predicted"
check "naspredict with two closed: status $?" [ $? -eq 0 ]
check "naspredict with two closed: $(cat "$work/predicted")" grep -q 'two.png' "$work/predicted"
finish
