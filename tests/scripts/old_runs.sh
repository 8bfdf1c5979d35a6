#!/bin/sh
# Runs that older versions of nasrun began are reported, plotted and gone on with; what a newer one wrote is reported
# and refused. tests/journal/format-1 is a run folder as version 0.1.0 left it before journals said their format,
# killed in the training of its fifth candidate; DATA and RUN in its job stand for the folders.
. tests/support/script.sh
make_data "$work/data"

# copy FORMAT DIR: the run folder of that format.
copy() {
    cp -R "tests/journal/format-$1" "$2"
    sed -i -e "s,DATA,$work/data," -e "s,RUN,$2," "$2/job.cfg"
}

# first_line DIR SED: the journal's first line changed by sed, with the checksum that belongs to it.
first_line() { sed -i "1$2" "$1/journal.jsonl" && "$helpers/journal/test_events" --seal "$1/journal.jsonl"; }
events_in() { grep -c "\"event\":\"$2\"" "$1/journal.jsonl"; }

# ---- format 1 ----
copy 1 "$work/read"
cp "$work/read/report.txt" "$work/report"
"$bin/nasreport" "$work/read" >"$work/printed" 2>"$work/err" || fail "nasreport: $(cat "$work/err")"
check "nasreport prints another report than the version that trained the models" cmp "$work/report" "$work/printed"
"$bin/nasplot" "$work/read" >/dev/null 2>"$work/err" || fail "nasplot: $(cat "$work/err")"
for name in confusion learning progress; do check "no plots/$name.png" [ -s "$work/read/plots/$name.png" ]; done

run=$work/run
copy 1 "$run"
"$bin/nasrun" --resume="$run" >"$work/log" 2>&1 || fail "an old run does not go on: $(tail -n 1 "$work/log")"
check "nothing says that another version goes on: $(head -n 1 "$work/log")" grep -q 'nasrun 0\.1\.0 with journal format 1' "$work/log"
# The candidate that was in training is begun anew; the lines before it stay as they were.
lines=$(($(grep -n '"event":"candidate","id":4,' "tests/journal/format-1/journal.jsonl" | cut -d : -f 1) - 1))
head -n "$lines" "tests/journal/format-1/journal.jsonl" >"$work/old"
head -n "$lines" "$run/journal.jsonl" >"$work/new"
check "the lines of the old run were changed" cmp "$work/old" "$work/new"
check "the journal does not say where another version goes on" [ "$(events_in "$run" continued)" -eq 1 ]
check "it does not say so before it goes on" \
    [ "$(sed -n "$((lines + 1))s/.*\"event\":\"\([a-z]*\)\".*/\1/p" "$run/journal.jsonl")" = continued ]
check "the second stage was not ended" [ "$(events_in "$run" test)" -eq 2 ]
check "no model of a new candidate" grep -q '"event":"model","id":4,' "$run/journal.jsonl"
check "no report of the second stage" grep -q '^budget: 4 models$' "$run/report.txt"

cp "$run/journal.jsonl" "$work/ended.jsonl"
"$bin/nasrun" --resume="$run" >"$work/log" 2>&1 || fail "a finished run: $(tail -n 1 "$work/log")"
check "a finished run was changed" cmp "$work/ended.jsonl" "$run/journal.jsonl"
# With a larger budget it goes on once more, and says no second time that the version changed.
"$bin/nasrun" --resume="$run" 'budget.models=[2,5]' >"$work/log" 2>&1 || fail "a larger budget: $(tail -n 1 "$work/log")"
check "a larger budget: no further candidate" [ "$(events_in "$run" test)" -eq 3 ]
check "a larger budget: said again" [ "$(events_in "$run" continued)" -eq 1 ]

# ---- another version, the same format ----
copy 1 "$work/version"
first_line "$work/version" 's/"version":"[^"]*"/"version":"0.0.7","format":2/'
"$bin/nasrun" --resume="$work/version" >"$work/log" 2>&1 || fail "another version: $(tail -n 1 "$work/log")"
check "another version is not named" grep -q 'nasrun 0\.0\.7 with' "$work/log"
check "another version is not noted" [ "$(events_in "$work/version" continued)" -eq 1 ]

# ---- a format that is yet to come ----
copy 1 "$work/newer"
first_line "$work/newer" 's/"version":"[^"]*"/"version":"9.9.9","format":99,"weather":{"sky":"blue"}/'
cp "$work/newer/journal.jsonl" "$work/newer.jsonl"
"$bin/nasrun" --resume="$work/newer" >"$work/out" 2>"$work/err"
check "a newer format: status $? instead of 2" [ $? -eq 2 ]
check "a newer format: $(cat "$work/err")" grep -q 'journal\.jsonl:1: run event: .*format is 99.*nasrun 9\.9\.9, expected 1 to .*--fresh' "$work/err"
check "a newer format: it was written to" cmp "$work/newer.jsonl" "$work/newer/journal.jsonl"
"$bin/nasreport" "$work/newer" >"$work/printed" 2>"$work/err" || fail "a newer format: nasreport: $(cat "$work/err")"
check "a newer format: another report" cmp "$work/report" "$work/printed"
finish
