#!/bin/sh
# make install puts everything in its place, from where it works; make uninstall takes away all of it, and nothing else.
. tests/support/script.sh
make_install() { make --no-print-directory "$1" BIN="$bin" BUILD="${helpers%/tests}" DESTDIR="$work/root" PREFIX="$2" >"$work/log" 2>&1; }
files() { (cd "$work/root" && find . -type f -o -type l | sort); }

mkdir -p "$work/root/usr/share/nasrun"
echo mine >"$work/root/usr/share/nasrun/mine"
files >"$work/before"
make_install install /usr || fail "make install: $(tail -n 3 "$work/log")"
share=$work/root/usr/share
for program in "$bin"/nas*; do
    name=$(basename "$program")
    check "$name is not installed as it was built" cmp "$program" "$work/root/usr/bin/$name"
    check "$name is not executable" [ -x "$work/root/usr/bin/$name" ]
    for file in "man/man1/$name.1" "bash-completion/completions/$name" "zsh/site-functions/_$name"; do
        check "$file is not installed" [ -s "$share/$file" ]
    done
done
for plugin in "$bin"/libnasrun_cuda*.so; do
    [ ! -f "$plugin" ] || check "$plugin is not installed" cmp "$plugin" "$work/root/usr/lib/$(basename "$plugin")"
done
for sample in samples/*.* samples/*/*.*; do
    check "$sample is not installed" cmp "$sample" "$share/nasrun/$sample"
done
for file in man/man5/nasrun.cfg.5 doc/nasrun/README.md doc/nasrun/REFERENCE.md doc/nasrun/LICENSE doc/nasrun/CHANGELOG.md; do
    check "$file is not installed" [ -s "$share/$file" ]
done
check "what is installed does not run" [ "$("$work/root/usr/bin/nasrun" --version)" = "$("$bin/nasrun" --version)" ]
make_install uninstall /usr || fail "make uninstall: $(tail -n 3 "$work/log")"
files >"$work/after"
check "uninstall left or took: $(diff "$work/before" "$work/after")" cmp -s "$work/before" "$work/after"
rm "$share/nasrun/mine"
make_install install /usr && make_install uninstall /usr
check "folders of its own are left: $(find "$work/root" -name '*nasrun*')" [ -z "$(find "$work/root" -name '*nasrun*')" ]
finish
