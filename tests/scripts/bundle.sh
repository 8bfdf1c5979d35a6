#!/bin/sh
# The bundle (tools/bundle.sh) where there is nothing but glibc, as old as it may be: Debian 11's libc6 and the bundle
# in a folder which the programs take for the root of the system. No shell is there, no font, no other library. It is
# made first when it is not there or older than the programs. Needs root for chroot, and the package registries when
# Debian 11's packages are not at hand yet.
. tests/support/script.sh
debian=${NASRUN_DEBIAN11:-${XDG_CACHE_HOME:-$HOME/.cache}/nasrun/debian11}
if [ "$(uname -m)" != x86_64 ] || ! command -v dpkg-deb >/dev/null || ! unshare -m true 2>/dev/null; then
    skip "the bundle: needs x86-64, Debian's dpkg-deb and root (a mount namespace)"
    finish
fi
version=$("$bin/nasrun" --version | cut -d ' ' -f 2)
archive=build/nasrun-$version-x86_64.tar.xz
if [ ! -f "$archive" ] || find "$bin" -newer "$archive" -name '*nas*' | grep -q .; then
    if [ ! -f "$debian/complete" ] && ! getent hosts deb.debian.org >/dev/null; then
        skip "the bundle: Debian 11's packages are not at hand"
        finish
    fi
    make --no-print-directory bundle >"$work/log" 2>&1 || fail "make bundle: $(tail -n 3 "$work/log")"
fi
check "no $archive" [ -f "$archive" ]
[ "$failed" -eq 0 ] || finish

# What it weighs is promised.
root=$work/root
mkdir -p "$root/proc" "$root/job" "$root/tmp"
dpkg-deb -x "$debian"/packages/libc6_*.deb "$root"
tar -C "$root" -xf "$archive"
name=nasrun-$version-x86_64
packed=$(stat -c %s "$archive") unpacked=$(du -s --apparent-size --block-size=1 "$root/$name" | cut -f 1)
echo "$archive: $packed bytes packed, $unpacked unpacked, on glibc $(dpkg-deb -f "$debian"/packages/libc6_*.deb Version)"
check "it is larger than 20 MB packed: $packed" [ "$packed" -le 20000000 ]
check "it is larger than 66 MB unpacked: $unpacked" [ "$unpacked" -le 66000000 ]
check "glibc is in it" sh -c "! ls '$root/$name/lib' | grep -E '^(libc|libm|libpthread|ld-linux)[.-]'"
check "CUDA's libraries are in it" sh -c "! ls '$root/$name/lib' | grep -E '^lib(cu[db]|nccl|nv)'"
for file in "$root/$name"/bin/*; do
    check "$file looks for libraries elsewhere: $(readelf -d "$file" | grep -E 'RUNPATH|RPATH')" \
        sh -c "readelf -d '$file' | grep -q 'RUNPATH.*\[\$ORIGIN/../lib\]'"
done

# in_root PROGRAM ARGUMENTS...: in that root, with nothing in the environment but what $environment sets.
environment=""
in_root() {
    program=$1
    shift
    # shellcheck disable=SC2086,SC2016  # none or one variable; the inner shell's
    unshare -m sh -c 'mount -t proc proc "$0/proc" && exec env -i "$@"' "$root" $environment /usr/sbin/chroot "$root" \
        "/$name/bin/$program" "$@"
}
make_data "$root/job/data"
make_job "$root/job/job.cfg" /job/data
in_root nasrun --devices >"$work/out" 2>&1
check "--devices: $(cat "$work/out")" grep -q '^cpu:0 ' "$work/out"
check "--devices does not say why there is no GPU: $(cat "$work/out")" grep -q '^no GPU  ' "$work/out"
in_root nasrun /job/job.cfg budget.steps=100 output.dir=/job/run >"$work/out" 2>"$work/err"
check "a run ended with status $?: $(tail -n 3 "$work/out" "$work/err")" [ $? -eq 0 ]
check "a run complains: $(cat "$work/err")" [ ! -s "$work/err" ]
run=$root/job/run
for file in report.txt report.json model.safetensors plots/confusion.png plots/learning.png plots/progress.png; do
    check "a run made no $file" [ -s "$run/$file" ]
done

# The tools; and the plots have text, in the font that lies in the bundle: without it they are others.
cp -R "$run" "$root/job/again"
rm -r "$root/job/again/plots" "$root/job/again/report.txt"
in_root nasreport /job/again >/dev/null 2>"$work/err" || fail "nasreport: $(cat "$work/err")"
check "nasreport makes another report" cmp "$run/report.txt" "$root/job/again/report.txt"
in_root nasplot /job/again >/dev/null 2>"$work/err" || fail "nasplot: $(cat "$work/err")"
check "nasplot complains: $(cat "$work/err")" [ ! -s "$work/err" ]
check "nasplot makes another plot" cmp "$run/plots/confusion.png" "$root/job/again/plots/confusion.png"
mv "$root/$name/share/nasrun/fonts" "$root/$name/share/nasrun/elsewhere"
in_root nasplot /job/again >/dev/null 2>&1
check "the plots have no text" sh -c "! cmp -s '$run/plots/confusion.png' '$root/job/again/plots/confusion.png'"
in_root naspredict /job/run /job/data/two.png >"$work/out" 2>"$work/err"
check "naspredict: $(cat "$work/out" "$work/err")" grep -q "^/job/data/two.png$(printf '\t')[0-3]$(printf '\t')0\." "$work/out"
for file in README.md LICENSE CHANGELOG.md spec/REFERENCE.md; do
    check "$file is not there" cmp "$root/$name/share/doc/nasrun/$(basename "$file")" "$file"
done
for page in man1/nasrun.1 man1/naspredict.1 man5/nasrun.cfg.5; do
    check "the manual page $page is not there" cmp "$root/$name/share/man/$page" "${helpers%/tests}/manual/man/$page"
done
for sample in samples/*.* samples/*/*.*; do
    check "$sample is not there" cmp "$sample" "$root/$name/share/nasrun/$sample"
done

# The plug-ins load there, with stand-ins for the driver and for CUDA's libraries, which have all functions that are
# asked for.
driver=$helpers/gpu/driver/libcuda.so.1
for plugin in libnasrun_cuda.so:13 libnasrun_cuda12.so:12; do
    cuda=${plugin#*:} plugin=$root/$name/lib/${plugin%:*}
    if [ ! -f "$plugin" ] || [ ! -f "$driver" ]; then
        skip "$(basename "$plugin") is not in the bundle, or there is no $driver: that it loads where glibc is old"
        continue
    fi
    cp "$driver" "$root/lib/x86_64-linux-gnu/"
    environment=FAKE_CUDA_DRIVER=${cuda}000
    in_root nasrun --devices >"$work/out" 2>&1
    check "CUDA's libraries are missing, and this is said: $(cat "$work/out")" \
        grep -q "^no GPU  the GPU's plug-in cannot be loaded: libcudnn.so.9: .*; looked in /$name/bin, /$name/lib, " "$work/out"
    for library in libcudnn.so.9:cudnn "libcublas.so.$cuda:cublas"; do
        echo "${library%:*} { *; };" >"$work/version" # as NVIDIA's are: each function has the library's name for its version
        nm -D --undefined-only "$plugin" | sed -n "s/.* \(${library#*:}[A-Za-z0-9_]*\).*/void \1(void); void \1(void) {}/p" |
            ${CC:-cc} -shared -fPIC -nostdlib -Wl,-soname,"${library%:*}" -Wl,--version-script="$work/version" -x c - -o "$root/$name/lib/${library%:*}"
    done
    in_root nasrun --devices >"$work/out" 2>&1
    check "$plugin does not load: $(cat "$work/out")" grep -q '^no GPU  the NVIDIA driver shows no GPU' "$work/out"
    rm "$root/$name"/lib/libcudnn.so.9 "$root/$name/lib/libcublas.so.$cuda"
done
rm -f "$root/lib/x86_64-linux-gnu/libcuda.so.1"
environment=""

# Where it lies and from where it is started are no matter.
mv "$root/$name" "$root/tmp/moved"
name=tmp/moved
in_root nasrun --version >"$work/out" 2>&1
check "moved, it does not run: $(cat "$work/out")" grep -q "^nasrun $version$" "$work/out"
finish
