#!/bin/sh
# The Debian package: lintian has no errors, it installs in a fresh Debian of this machine's kind that has nothing but
# its base system, runs a job there, and goes without a trace. As root only, but for lintian; what is tried there is
# thrown away with a layer over the folder, which is kept.
#
# NASRUN_CLEAN   that folder (~/.cache/nasrun/clean-CODENAME)
. tests/support/script.sh
. tests/support/debian.sh
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null)
root=${NASRUN_CLEAN:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nasrun/clean-$suite}
nothing="the Debian package was not installed anywhere"
version=$("$bin/nasrun" --version | cut -d ' ' -f 2)

make --no-print-directory deb BIN="$bin" BUILD="${helpers%/tests}" >"$work/log" 2>&1 || {
    fail "make deb: $(tail -n 3 "$work/log")"
    finish
}
package=$(ls -t build/nasrun_"$version"-1_*.deb | head -n 1)
if command -v lintian >/dev/null; then
    lintian --fail-on error "$package" >"$work/lintian" 2>/dev/null
    check "lintian: $(cat "$work/lintian")" [ $? -eq 0 ]
else
    skip "lintian is not here: what it says of the package"
fi
dpkg-deb -x "$package" "$work/unpacked"
check "unpacked, it does not run" [ "$("$work/unpacked/usr/bin/nasrun" --version)" = "nasrun $version" ]
[ ! -f "$bin/libnasrun_cuda.so" ] ||
    check "the program does not find the plug-in in its package" \
        sh -c "! '$work/unpacked/usr/bin/nasrun' --devices | grep 'without GPU support'"
make_data "$work/data"
make_job "$work/job.cfg" /src/data

[ -n "$suite" ] || give_up "this machine is no Debian"
open_debian
# The packages that it needs are kept beside the folder, so that they are fetched once.
mkdir -p "$root.packages/partial"
layer=$work/layer
mkdir -p "$layer/upper/src" "$layer/upper/var/cache/apt/archives/partial"
inside true || give_up "no layer can be mounted over $root"
cp -R "$package" "$work/data" "$work/job.cfg" "$layer/upper/src/"
cp "$root.packages"/*.deb "$layer/upper/var/cache/apt/archives/" 2>/dev/null
try "the package is installed" "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends -o APT::Keep-Downloaded-Packages=true /src/$(basename "$package")"
cp "$layer"/upper/var/cache/apt/archives/*.deb "$root.packages/" 2>/dev/null
# shellcheck disable=SC2016  # for the shell inside
try "what is installed runs" 'test "$(nasrun --version)" = "nasrun '"$version"'" && nasrun --devices | grep -q "^cpu:0" &&
    nasrun job.cfg budget.steps=200 output.dir=run && test -s run/report.txt && test -s run/plots/confusion.png &&
    nasreport run >/dev/null && nasplot run && naspredict run data/two.png | grep -q "two.png" &&
    test -e /usr/share/nasrun/samples/fashion-mnist.cfg'
try "it goes without a trace" 'DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq nasrun &&
    test -z "$(find / -xdev -path /src -prune -o -path /var/cache -prune -o -path /var/lib/apt -prune -o -name "*nasrun*" -print)"'
check "the folder that is kept was written to" [ ! -e "$root/usr/bin/nasrun" -a ! -e "$root/src/job.cfg" ]
finish
