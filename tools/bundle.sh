#!/bin/bash
# Makes build/nasrun-VERSION-x86_64.tar.xz: programs, plug-in, samples, reference, and every library but glibc's and
# CUDA's. It runs wherever glibc is as old as Debian 11's, 2.31, or newer; nothing has to be installed, and root is
# not needed, neither here. `make bundle` runs it, with MAKE and CC in the environment.
#
# Headers and libraries are Debian 11's: its packages are unpacked into a folder, and this machine's compiler takes
# that folder for the root of the system. oneDNN, which is too old there, comes from PyPI.
#
# NASRUN_DEBIAN11   the folder, kept between runs ($XDG_CACHE_HOME/nasrun/debian11)
# CUDA12            a toolkit of CUDA 12 (tools/cuda12.sh): the plug-in for it goes in, too
# BUNDLE_NAME       nasrun-VERSION-x86_64
# BUNDLE_PROGRAMS   more to be built and put into bin/, by their names below $(BUILD): "tests/bench/bench_train"; then
# the size is
#                   not limited
# BUNDLE_WORK       where it is built (build/bundle)
set -euo pipefail
# shellcheck source=tools/registry.sh
. "$(dirname "$0")/registry.sh"
version=$(sed -n 's/^#define NASRUN_VERSION  *"\(.*\)"$/\1/p' host/base/version.h)
name=${BUNDLE_NAME:-nasrun-$version-x86_64}
debian=${NASRUN_DEBIAN11:-$cache/debian11}
more=${BUNDLE_PROGRAMS:-}
root=$debian/root work=${BUNDLE_WORK:-build/bundle}
made=$work/$name
libc=2.31 unpacked_most=66000000 packed_most=20000000 # bytes

packages="libc6 libc6-dev linux-libc-dev libcrypt-dev libgcc-s1 libstdc++6 libgomp1 libconfig9 libconfig-dev
libpng16-16 libpng-dev libjpeg62-turbo libjpeg62-turbo-dev libwebp6 libwebp-dev libtiff5 libtiff-dev libgif7 libgif-dev
libzstd1 liblzma5 libjbig0 libdeflate0 zlib1g zlib1g-dev libxxhash0 libxxhash-dev libutf8proc2 libutf8proc-dev
libcjson1 libcjson-dev libcairo2 libcairo2-dev libfontconfig1 libfontconfig-dev libfreetype6 libfreetype-dev
libpixman-1-0 libxcb1 libxcb-shm0 libxcb-render0 libx11-6 libxext6 libxrender1 libxau6 libxdmcp6 libbsd0 libmd0
libexpat1 libbrotli1 libbrotli-dev libuuid1 libgcc-10-dev libcmocka0 libcmocka-dev fonts-dejavu-core
libprotobuf-c1 libprotobuf-c-dev"
onednn="onednn-cpu-gomp==2022.2.1 --hash=sha256:091357f4d66ebd6a391d4327e0bee2401597b30753f087222bb3559c1b4e625e
onednn-devel-cpu-gomp==2022.2.1 --hash=sha256:b263bcaf903c7910ae0aae35d495f5a87408090e32787be70b46fbc2734a159c"
linked="libconfig.so.9 libpng16.so.16 libjpeg.so.62 libwebp.so.6 libtiff.so.5 libgif.so.7 libz.so.1 libxxhash.so.0
libutf8proc.so.2 libcjson.so.1 libprotobuf-c.so.1 libcairo.so.2 libfontconfig.so.1 libdnnl.so.2 libgomp.so.1 libstdc++.so.6"

# ---- Debian 11 in a folder ----

fetch() {
    rm -rf "$root" "$debian/complete"
    mkdir -p "$root"
    say "Debian 11's packages into $debian"
    # shellcheck disable=SC2086  # a list of packages
    debian_packages "$debian" "bullseye main" $packages
    for package in "$debian"/packages/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    find "$root" -type l -lname '/*' | while read -r link; do # they mean another root
        ln -sfn "$root$(readlink "$link")" "$link"
    done
    pypi_wheels "$debian" "$onednn" manylinux1_x86_64
    cp -r "$debian"/wheels/unpacked/*.data/data/. "$root/usr/"
    rm -r "$debian/wheels"
    echo "$packages $onednn" >"$debian/complete"
}

mkdir -p "$debian" "$work"
exec 9>"$debian/lock"
flock 9
[ "$(cat "$debian/complete" 2>/dev/null)" = "$packages $onednn" ] || fetch
flock -u 9
cmp -s "$debian/complete" "$work/complete" || rm -rf "${work:?}/objects" "${work:?}/bin"
cp "$debian/complete" "$work/complete"

# ---- libraries: those that are linked, and what they need ----

rm -rf "$made"
mkdir -p "$made/bin" "$made/lib" "$made/share/nasrun/samples" "$made/share/nasrun/fonts" "$made/share/doc/nasrun"
place_of() { find "$root/lib" "$root/usr/lib" -name "$1" | head -n 1; }
owned_by_libc() { dpkg-deb --contents "$debian"/packages/libc6_*.deb | awk '{ print $6 }' | sed -n 's|.*/\([^/]*\.so\.[0-9]*\)$|\1|p'; }
glibc=" $(owned_by_libc | tr '\n' ' ') "
[ -z "$more" ] || linked="$linked libcmocka.so.0"
# shellcheck disable=SC2086
set -- $linked
while [ $# -gt 0 ]; do
    library=$1
    shift
    case $glibc in *" $library "*) continue ;; esac
    [ -f "$made/lib/$library" ] && continue
    place=$(place_of "$library")
    [ -n "$place" ] || die "$library is not in $root"
    cp -L "$place" "$made/lib/$library"
    chmod 644 "$made/lib/$library"
    # shellcheck disable=SC2046
    set -- "$@" $(readelf -d "$place" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
done
strip --strip-unneeded "$made"/lib/*

# ---- programs and plug-in ----

# A RUNPATH serves only the one who has it, not the libraries of libraries: so the programs name them all.
place=$root/usr/lib/x86_64-linux-gnu
libraries="-Wl,--no-as-needed $(echo "$made"/lib/*) -Wl,--as-needed -lm -ldl -lpthread -Wl,-rpath,'\$\$ORIGIN/../lib'"
manual=$work/objects/tools/manual/manual
targets="all $manual ${CUDA12:+$work/bin/libnasrun_cuda12.so}"
# The compiler looks beside itself before it looks in its root: hence -B and -L.
compiler="${CC:-gcc} --sysroot=$root -B$place/ -L$place"
for program in $more; do
    targets="$targets $work/objects/$program"
done
# shellcheck disable=SC2086
PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$place/pkgconfig:$root/usr/share/pkgconfig \
    ${MAKE:-make} --no-print-directory BUILD="$work/objects" BIN="$work/bin" CC="$compiler" \
    CXX="${CXX:-g++} --sysroot=$root -B$place/" LIBS="$libraries" $targets

for plugin in libnasrun_cuda.so ${CUDA12:+libnasrun_cuda12.so}; do
    [ ! -f "$work/bin/$plugin" ] || cp "$work/bin/$plugin" "$made/lib/"
done
cp "$work"/bin/nas* "$made/bin/"
for program in $more; do
    cp "$work/objects/$program" "$made/bin/"
done
# shellcheck disable=SC2046
strip "$made"/bin/* $(find "$made/lib" -name 'libnasrun_cuda*')

# ---- what lies beside them ----

cp -r samples/* "$made/share/nasrun/samples/"
LD_LIBRARY_PATH=$made/lib "$manual" "$made/share" # manual pages and completions
cp "$root"/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf "$root"/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf \
    "$made/share/nasrun/fonts/"
cp README.md LICENSE CHANGELOG.md spec/REFERENCE.md "$made/share/doc/nasrun/"
for folder in "$root"/usr/share/doc/*; do
    [ ! -f "$folder/copyright" ] || cp -L "$folder/copyright" "$made/share/doc/nasrun/copyright-$(basename "$folder")"
done
cp "$root/usr/share/doc/onednn/LICENSE" "$made/share/doc/nasrun/copyright-onednn"
cp "$root/usr/share/doc/onednn/THIRD-PARTY-PROGRAMS" "$made/share/doc/nasrun/copyright-onednn-parts"

# ---- what it needs, what it weighs ----

needed=$(readelf -V "$made"/bin/* "$made"/lib/* | grep -o 'GLIBC_2[0-9.]*' | sort -Vu | tail -n 1)
needed=${needed#GLIBC_}
[ "$(printf '%s\n' "$needed" "$libc" | sort -V | tail -n 1)" = "$libc" ] || die "it needs glibc $needed, expected at most $libc"
gpu="none (nvcc, cuDNN, cuBLAS or NCCL's header was not there when this was made)"
[ ! -f "$made/lib/libnasrun_cuda.so" ] || gpu="by the CUDA libraries of the machine; bin/nasrun --devices says which it has found"
[ ! -f "$made/lib/libnasrun_cuda12.so" ] || gpu="$gpu; there is a plug-in for drivers of CUDA 12 (525 and later), too"
cat >"$made/README" <<END
nasrun $version for Linux on x86-64 with glibc $libc or later (Debian 11, Ubuntu 20.04, RHEL 9 and what came after them).

    bin/nasrun --devices                                # what this machine has to train on
    bin/nasrun share/nasrun/samples/fashion-mnist.cfg   # a job; its path names the data

Nothing has to be installed, and the folder may lie anywhere.
GPUs: $gpu.
share/doc/nasrun has the manual (README.md), every key of a job (REFERENCE.md) and the licences of the libraries in lib.
Made with Debian 11's libraries, oneDNN of PyPI's ${onednn%% *}.
END
archive=build/$name.tar.xz
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" | xz -6 -T0 >"$archive.tmp"
mv "$archive.tmp" "$archive"
unpacked=$(du -s --apparent-size --block-size=1 "$made" | cut -f 1) packed=$(stat -c %s "$archive")
say "$archive: $packed bytes packed, $unpacked unpacked, glibc $libc or later (it needs $needed)"
[ -z "$more" ] || exit 0
[ "$unpacked" -le "$unpacked_most" ] || die "unpacked it is larger than $unpacked_most bytes"
[ "$packed" -le "$packed_most" ] || die "packed it is larger than $packed_most bytes"
