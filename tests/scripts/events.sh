#!/bin/sh
# The names of the journal's events and fields stand in host/journal alone: whoever writes or reads them does so by
# the structures that are made of events.def. And an event that was forgotten by one of the readers does not compile.
. tests/support/script.sh

# JSON of their own subject: models, graphs, report.json, what nasinspect prints.
others='host/model/model_file.c host/model/model_metadata.c host/model/model_calibrate.c host/net/serialise.c
    host/report/text.c host/report/facts.c host/report/inspect.c host/report/json.c host/report/budgets.c host/report/cost.c
    tools/nasinspect.c
    tools/inspect/print.c tools/inspect/weights.c'

# faults TREE: a line for each place where an event is touched by hand.
faults() {
    sed -n -E 's/^EVENT(_FIELD|_INSIDE)?\([A-Za-z_]*, ([a-z_]*),.*/"\2"/p' "$1/host/journal/events.def" | sort -u >"$work/names"
    find "$1/host" "$1/tools" -name '*.[ch]' | grep -v "^$1/host/journal/" | sort | while read -r file; do
        case " $(echo $others) " in *" ${file#"$1"/} "*) continue ;; esac
        grep -nE 'cJSON_(Get|Has|Add|Replace|Detach|Delete)[A-Za-z]*Object|journal_append\(|(->|\]\.)json\b' "$file"
        # Strings in files that have to do with events; want of memory is told by the name of what it was for, and
        # libraries are called as their fields.
        grep -q '"host/journal/event' "$file" && grep -n -F -f "$work/names" "$file" |
            grep -v 'error_memory(\|library_version('
    done
}
check "names of events: $(faults . | head -n 3)" [ -z "$(faults .)" ]

# That it would be found.
mkdir -p "$work/tree/host/journal" "$work/tree/host/run" "$work/tree/tools"
cp host/journal/events.def "$work/tree/host/journal/"
caught() {
    printf '#include "host/journal/event_read.h"\n%s\n' "$1" >"$work/tree/host/run/hand.c"
    check "not found: $1" [ "$(faults "$work/tree" | wc -l)" -eq "$2" ]
}
caught 'x = event->epoch.loss;' 0
caught 'x = cJSON_GetObjectItemCaseSensitive(json, name);' 1
caught 'x = find(line, "validation_accuracy");' 1
caught 'if (strcmp(line->event, "left_out") == 0)' 1
caught 'st = journal_append(journal, fields, time, err);' 1
caught 'x = line->json;' 1
caught 'x = lines->lines[i].json;' 1

# A row more, in front of the true table.
mkdir -p "$work/host/journal"
awk '{ print } /^EVENT_END\(test\)$/ {
    print "EVENT(FORGOTTEN, forgotten, AT_ONCE, 2, \"\")"
    print "EVENT_FIELD(forgotten, id, INT32, ALWAYS, 2, JOB, \"\", \"\")"
    print "EVENT_END(forgotten)" }' host/journal/events.def >"$work/host/journal/events.def"
compiles() {
    "${CC:-cc}" -std=c17 -Wall -Wextra -Wpedantic -Werror -D_GNU_SOURCE -fopenmp -fsyntax-only -I "$work" -I . "$1" 2>"$work/log"
}
for file in host/run/replay.c host/report/history.c; do
    if compiles "$file"; then fail "$file compiles without the new event, expected an error"
    else check "$file: $(head -n 1 "$work/log")" grep -q EVENT_FORGOTTEN "$work/log"; fi
done
for file in host/journal/*.c host/run/record.c host/run/resume.c; do check "$file: $(head -n 1 "$work/log")" compiles "$file"; done
finish
