#!/bin/bash
# Makes build/nasrun_VERSION-1_ARCH.deb of what `make install` installs. `make deb` runs it, after the programs and
# their manual pages, with MAKE, BUILD and BIN in the environment. It needs dpkg-dev. The package depends on the
# libraries of the Debian that it is made on.
#
# The GPU's plug-in goes into /usr/lib/nasrun, where it is here. CUDA's libraries are no packages of Debian: they are
# looked for when a job wants a GPU (nasrun --devices), and without them the CPU trains.
#
# MAINTAINER   of the package, "NAME <ADDRESS>"
set -euo pipefail
umask 022
value_of() { sed -n "s/^#define $1 *\"\\(.*\\)\".*/\\1/p" host/base/version.h; }
version=$(value_of NASRUN_VERSION)-1 date=$(value_of NASRUN_VERSION_DATE)
architecture=$(dpkg --print-architecture)
maintainer=${MAINTAINER:-the nasrun authors <nasrun@packages.invalid>}
work=build/deb
root=$work/root
archive=build/nasrun_${version}_$architecture.deb
SOURCE_DATE_EPOCH=$(date -u -d "$date" +%s)
export SOURCE_DATE_EPOCH

command -v dpkg-shlibdeps >/dev/null || { echo "deb: dpkg-shlibdeps is not here; it is of the package dpkg-dev" >&2; exit 1; }
rm -rf "$work"
mkdir -p "$work/debian" "$root/DEBIAN" "$root/usr/share/doc/nasrun"
"${MAKE:-make}" --no-print-directory install DESTDIR="$root" PREFIX=/usr

# ---- as Debian has it ----

doc=$root/usr/share/doc/nasrun
mkdir "$root/usr/share/zsh/vendor-completions"
mv "$root"/usr/share/zsh/site-functions/* "$root/usr/share/zsh/vendor-completions/"
rmdir "$root/usr/share/zsh/site-functions"
if [ -d "$root/usr/lib" ]; then
    mkdir "$root/usr/lib/nasrun"
    mv "$root"/usr/lib/libnasrun_cuda*.so "$root/usr/lib/nasrun/"
    strip --strip-unneeded "$root"/usr/lib/nasrun/*
fi
strip "$root"/usr/bin/*
mv "$doc/CHANGELOG.md" "$doc/changelog"
cat >"$doc/changelog.Debian" <<END
nasrun ($version) unstable; urgency=medium

  * The package is made with the program: what has changed is in changelog.gz.

 -- $maintainer  $(date -u -R -d "$date")
END
{
    cat <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: nasrun

Files: *
Copyright: $(sed -n 's/^Copyright (c) //p' LICENSE)
License: Expat

License: Expat
END
    sed -e '1,/^Copyright/d' -e '/./,$!d' LICENSE | sed -e '1{/^$/d}' -e 's/^$/./' -e 's/^/ /'
} >"$doc/copyright"
rm "$doc/LICENSE"
gzip -9n "$doc/changelog" "$doc/changelog.Debian" "$root"/usr/share/man/man*/*

# ---- what it needs, what it is ----

printf 'Source: nasrun\n\nPackage: nasrun\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/nas* | sed -n 's/^shlibs:Depends=//p')
size=$(du -k -s --apparent-size "$root/usr" | cut -f 1)
cat >"$root/DEBIAN/control" <<END
Package: nasrun
Version: $version
Section: science
Priority: optional
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $size
Depends: $depends
Suggests: dataset-fashion-mnist
Description: search for the best image classifier that a budget buys
 nasrun finds an image classifier for your pictures, by itself, in the time
 that you give it: it trains a small network, changes it step by step into
 larger ones that begin with what their parents have learned, lets a Gaussian
 process over architectures choose what to try next, and leaves a folder with
 the model, a report and plots.
 .
 With it come nasreport and nasplot, which make report and plots anew,
 nasstudy, which trains with several budgets and seeds and compares,
 naspredict, which classifies images with a model that was found,
 nasexport, which writes it as ONNX or C, and nasinspect, which shows the models.
END
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
find "$root" -newermt "$date" -print0 | xargs -0 touch --no-dereference --date="$date"
dpkg-deb --root-owner-group --build "$root" "$archive"
