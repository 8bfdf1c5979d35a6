#!/bin/sh
# Rooms include each other only as their READMEs allow: "May include: `ROOM`, `ROOM/HEADER`." A room is a folder of
# source files in host, spec, cuda or tools; tests may include everything. Private headers, *_internal.h and those of a
# room's line "Private:", are included elsewhere only by a room that names the very header. No circles, and
# ARCHITECTURE.md's order holds.
. tests/support/script.sh

rooms_of() {
    (cd "$1" && find host spec cuda tools \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -exec dirname {} +) |
        sort -u
}

# named TREE ROOM WORD: what stands in backquotes behind WORD in the room's README, up to the full stop that ends a
# line.
named() {
    awk -v word="$3" 'index($0, word) == 1 { on = 1 } on { print } on && /^$|\.$/ { exit }' "$1/$2/README.md" |
        grep -o '`[^`]*`' | tr -d '`'
}

# includes TREE ROOM: a line "FILE HEADER" for each header of the project that the room's files include.
includes() {
    (cd "$1" && grep -HE '^ *# *include +"' "$2"/*.c "$2"/*.h "$2"/*.cu "$2"/*.cuh 2>/dev/null) |
        sed -E 's/^([^:]*): *# *include +"([^"]*)".*/\1 \2/'
}

# faults TREE: a line for each.
faults() {
    rooms_of "$1" >"$work/rooms"
    : >"$work/allowed"
    : >"$work/private"
    while read -r room; do
        if [ ! -f "$1/$room/README.md" ]; then echo "$room: no README.md"
        elif ! grep -q '^May include: ' "$1/$room/README.md"; then echo "$room/README.md: no line \"May include:\""
        else
            named "$1" "$room" 'May include:' | sed "s,^,$room ,"  >>"$work/allowed"
            named "$1" "$room" 'Private:' | sed "s,^,$room/," >>"$work/private"
        fi
    done <"$work/rooms"
    while read -r room; do includes "$1" "$room"; done <"$work/rooms" >"$work/includes"
    while read -r room entry; do
        [ -e "$1/$entry" ] || echo "$room/README.md: may include $entry, which is not there"
    done <"$work/allowed"
    while read -r header; do [ -e "$1/$header" ] || echo "$header: private, but not there"; done <"$work/private"

    awk -v allowed="$work/allowed" -v private="$work/private" '
        function folder(path) { sub("/[^/]*$", "", path); return path }
        BEGIN {
            while ((getline line < allowed) > 0) may[line] = 1
            while ((getline line < private) > 0) hidden[line] = 1
        }
        {
            from = folder($1); to = folder($2)
            if (from == to || (from " " $2) in may) next
            if ($2 in hidden || $2 ~ /_internal\.h$/) print $1 ": includes " $2 ", which is private"
            else if (!((from " " to) in may)) print $1 ": includes " $2 ", but " from " may not include " to
        }' "$work/includes"

    # Rooms alone: a header stands for its room.
    sed -E 's,/[^/ ]*\.(h|cuh)$,,' "$work/allowed" | sort -u >"$work/arrows"
    tsort "$work/arrows" 2>&1 >/dev/null |
        sed -n 's/^tsort: \([a-z].*\)/a circle with \1/p' | grep / | tr '\n' ' ' | sed 's/ $/\n/'

    # ARCHITECTURE.md's order: all rooms but the lowest, each behind those that it may include.
    tr '\n' ' ' <"$1/ARCHITECTURE.md" |
        sed -E 's/.*A good order to read them in[^:]*:([^.]*)\..*/\1/' | grep -o '`[^`]*`' | tr -d '`' \
        >"$work/order"
    awk -v order="$work/order" '
        BEGIN { at["host/base"] = 1; while ((getline room < order) > 0) at[room] = ++count + 1 }
        NF == 1 && !($1 in at) { print "ARCHITECTURE.md: " $1 " is not in the order" }
        NF == 2 && at[$1] < at[$2] { print "ARCHITECTURE.md: " $1 " stands before " $2 ", which it may include" }
    ' "$work/rooms" "$work/arrows"
}

found=$(faults .)
check "rooms: $found" [ -z "$found" ]
check "there are few rooms and includes" \
    [ "$(lines_of "$work/rooms")" -ge 20 -a "$(lines_of "$work/includes")" -ge 300 ]

# The same in a copy with one fault each.
copy="$work/copy"
# refused WHAT TEXT: the copy has that fault, and no other
refused() {
    found=$(faults "$copy")
    check "$1: found '$found', expected '$2' alone" [ "$found" = "$2" ]
    rm -rf "$copy"
}
copied() {
    mkdir "$copy"
    cp -r ARCHITECTURE.md host spec cuda tools "$copy"
}
# may FROM TO: one arrow more in FROM's README
may() { sed -i "s,^May include: .*,May include: \`$2\`\, &," "$copy/$1/README.md"; }

copied
echo '#include "host/search/search.h"' >>"$copy/host/net/graph.c"
refused 'an arrow' 'host/net/graph.c: includes host/search/search.h, but host/net may not include host/search'

copied
echo '# include "cuda/kernels/kernels.h"' >>"$copy/host/cpu/kernels.h"
refused 'an arrow of a header' \
    'host/cpu/kernels.h: includes cuda/kernels/kernels.h, but host/cpu may not include cuda/kernels'

copied
echo '#include "host/morph/morph_internal.h"' >>"$copy/host/search/simple.c"
refused 'a private header by its name' 'host/search/simple.c: includes host/morph/morph_internal.h, which is private'

copied
echo '#include "host/program/lowering.h"' >>"$copy/host/train/trainer.c"
refused 'a private header by its README' 'host/train/trainer.c: includes host/program/lowering.h, which is private'

copied
rm "$copy/host/morph/README.md"
sed -i '/#include "host\/[bn]/d' "$copy"/host/morph/*.[ch]
refused 'a room without a README' 'host/morph: no README.md'

copied
mkdir "$copy/host/attic"
echo '#include "host/base/error.h"' >"$copy/host/attic/attic.c"
refused 'a new room' 'host/attic: no README.md
host/attic/attic.c: includes host/base/error.h, but host/attic may not include host/base
ARCHITECTURE.md: host/attic is not in the order'

copied
may host/base host/net
check 'a circle is not found' [ -n "$(faults "$copy" | grep 'circle.*host/base')" ]
rm -rf "$copy"

copied
may host/net host/morph/morph.h
check 'a circle through a header is not found' [ -n "$(faults "$copy" | grep 'circle.*host/morph')" ]
rm -rf "$copy"

copied
may host/data host/run
check 'an arrow against the order is not found' \
    [ -n "$(faults "$copy" | grep 'ARCHITECTURE.md: host/data stands before host/run, which it may include')" ]
rm -rf "$copy"
finish
