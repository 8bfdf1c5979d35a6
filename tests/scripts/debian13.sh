#!/bin/sh
# nasrun on Debian 13 (oneDNN 3, gcc 14, clang 19), seen from another Debian: one that debootstrap makes in a folder which is
# kept from run to run (2 GB). A copy of the source is built there, read by clang, runs the CPU's test programs, and searches
# as the demo does, for 30 s. It takes root, debootstrap and, the first time, a package registry: that of this machine's apt,
# through its proxies. Without one of them nothing is tested, and it says so.
#
# NASRUN_DEBIAN13   that folder (~/.cache/nasrun/debian13)
. tests/support/script.sh
root=${NASRUN_DEBIAN13:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nasrun/debian13}
parts="Makefile README.md cuda host samples spec tests tools"

give_up() {
    skip "NOTHING was tried on Debian 13: $*"
    finish
}

[ "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null)" != trixie ] ||
    give_up "this machine is one, and all other tests are its test"
[ "$(id -u)" -eq 0 ] || give_up "that takes root"
command -v debootstrap >/dev/null || give_up "debootstrap is not here"
unshare --mount --pid --fork true 2>/dev/null || give_up "root may not mount here"

# inside COMMAND: in that Debian, without this one's environment but for the proxies; no mount and no process outlives it.
inside() {
    # shellcheck disable=SC2016  # for the inner shell
    unshare --mount --propagation private --pid --fork --kill-child sh -c '
        mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$1" /usr/bin/env -i \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
            ${no_proxy:+"no_proxy=$no_proxy"} sh -c "cd /src && $2"' sh "$root" "$1" </dev/null
}

# The registry: the first of this machine's that has a Debian 13, or Debian's own. Nothing when none answers.
registry() {
    # shellcheck disable=SC2016  # apt's variable
    for place in $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sort -u) \
        http://deb.debian.org/debian; do
        if timeout 60 /usr/lib/apt/apt-helper download-file "${place%/}/dists/trixie/InRelease" "$work/release" \
            >/dev/null 2>&1; then
            echo "${place%/}"
            return
        fi
    done
}

# Makes it beside its place and moves it there when it is whole.
make_debian() {
    echo "making a Debian 13 in $root"
    rm -rf "$root.new"
    unshare --mount --propagation private debootstrap --variant=minbase trixie "$root.new" "$1" </dev/null \
        >"$work/log" 2>&1 || return
    # The registry is reached from there as it is from here: apt's settings, and whom this machine trusts.
    mkdir -p "$root.new/etc/ssl/certs" "$root.new/src" &&
        echo force-unsafe-io >"$root.new/etc/dpkg/dpkg.cfg.d/90fast" || return
    apt-config dump | grep -E '^Acquire::(https?|Check-|Retries)' >"$root.new/etc/apt/apt.conf.d/90registry"
    for trusted in /etc/ssl/certs/ca-certificates.crt /usr/local/share/ca-certificates; do
        [ ! -e "$trusted" ] || cp -rT "$trusted" "$root.new$trusted" || return
    done
    mv "$root.new" "$root"
}

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

# try WHAT COMMAND: a check of a command inside, with the end of what it said; the script is over when it fails.
try() {
    began=$(date +%s)
    if inside "$2" >"$work/log" 2>&1; then
        pass
        echo "$1: $(($(date +%s) - began)) s"
    else
        fail "on Debian 13: $1"
        tail -n 40 "$work/log"
        finish
    fi
}

# One at a time, and with apt's proxies for debootstrap too.
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock -w 1800 9 || give_up "another run has been at it for half an hour"
clean_more() { rm -rf --one-file-system "$root.new"; }
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" no_proxy="${no_proxy:-}"

if [ ! -d "$root" ]; then
    place=$(registry)
    [ -n "$place" ] || give_up "no package registry answers that has it"
    make_debian "$place" || give_up "debootstrap: $(tail -n 1 "$work/log")"
fi
copy_source || { fail "the copy of the source"; finish; }

programs=$(find tests -name 'test_*.c' ! -path 'tests/gpu/*' | sort | sed 's,^\(.*\)\.c$,build/release/\1,' | tr '\n' ' ')
sources=$(find spec host tools tests -name '*.c' ! -path 'tests/gpu/*' | tr '\n' ' ')
try "packages" "tools/deps.sh build demo test tsan"
# shellcheck disable=SC2016  # for the shell inside
try "gcc" 'make -j$(nproc) all test-programs'
try "clang" "clang -fsyntax-only -std=c17 -Wall -Wextra -Wpedantic -Werror -D_GNU_SOURCE -I. -fopenmp \$(pkg-config --cflags freetype2) $sources"
if inside "tests/run.sh $programs" >"$work/programs"; then :; else cat "$work/programs"; fi
total=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$work/programs")
# shellcheck disable=SC2086  # three numbers
set -- ${total:-0 1 0}
passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
echo "test programs: $1 passed, $2 failed, $3 skipped"
try "demo" 'make demo DEMO_SECONDS=30 && test -s runs/demo/report.txt && test -s runs/demo/model.safetensors &&
    grep -q "\"onednn\":\"3\." runs/demo/journal.jsonl'
finish
