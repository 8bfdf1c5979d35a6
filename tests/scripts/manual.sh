#!/bin/bash
# The manual pages and the completions of bash and zsh: all programs, options and keys are in them, they are
# well-formed, and the shells complete by them.
. tests/support/script.sh
share=$(cd "$helpers/../manual" && pwd) || { fail "make man has not made $helpers/../manual"; finish; }
programs=$(cd "$bin" && echo nas*)
keys=$("$bin/nasrun" --print-spec | sed -n 's/^\([a-z_.0-9]*\) (.*/\1/p')
check "few keys are known: $keys" [ "$(echo "$keys" | wc -l)" -gt 40 ]

# ---- what is in them ----
options_of() { "$bin/$1" --help | sed -n 's/^  .*\(--[a-z0-9-]*\).*  .*/\1/p'; }
for program in $programs; do
    page=$share/man/man1/$program.1
    check "$program: there is no manual page" [ -s "$page" ]
    check "$program: no options in its help" [ -n "$(options_of "$program")" ]
    sed 's/\\-/-/g' "$page" >"$work/page"
    for option in $(options_of "$program"); do
        check "$program $option is not in the manual page" grep -q -e "^.*fB$option\\\\fR" "$work/page"
        check "$program $option is not completed by bash" grep -q -e " '\?$option=\? \|'$option=\? " "$share/bash-completion/completions/$program"
        check "$program $option is not completed by zsh" grep -q -e "${option}[=}']" "$share/zsh/site-functions/_$program"
    done
done
# Exit statuses: one table in README.md, which every program's help and page are a part of.
statuses_of() { "$bin/$1" --help | sed -n '/^Exit status:/,$s/^  *\([0-9][0-9]*\)  .*/\1/p'; }
for program in $programs; do
    check "$program: no exit statuses in its help" [ -n "$(statuses_of "$program")" ]
    for status in $(statuses_of "$program"); do
        check "$program: status $status is not in the manual page" sh -c \
            "sed -n '/^\.SH EXIT STATUS/,/^\.SH EXAMPLES/p' '$share/man/man1/$program.1' | grep -qx '\.B $status'"
        check "$program: status $status is not in README.md's table" grep -q "^| $status |.*\`$program\`" README.md
    done
done
for key in $keys; do
    check "$key is not in nasrun.cfg(5)" grep -qx "\.B $key" "$share/man/man5/nasrun.cfg.5"
    check "$key is not completed by bash" grep -q "[ ']$key= " "$share/bash-completion/completions/nasrun"
    check "$key is not completed by zsh" grep -q "^ *'$key:" "$share/zsh/site-functions/_nasrun"
done

# ---- the pages are well-formed ----
if command -v mandoc >/dev/null; then
    for page in "$share"/man/man*/*; do
        check "mandoc: $(mandoc -Tlint -W warning "$page" 2>&1)" [ -z "$(mandoc -Tlint -W warning "$page" 2>&1)" ]
    done
else
    skip "mandoc is not here: whether the manual pages are well-formed"
fi

# ---- bash, by calling its functions: answers WORD... prints what is offered for the last word ----
mkdir "$work/at"
cd "$work/at" || exit 1
mkdir -p runs/one images
touch photos.cfg notes.txt image.png
answers() {
    bash --norc -c '. "$1/bash-completion/completions/$2"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "_$1"; printf "%s\n" "${COMPREPLY[@]}"' bash "$share" "$@" | sort | tr '\n' ' '
}
expect() { # TEXT WORD...
    expected=$1
    shift
    found=$(answers "$@")
    check "bash: '$*': expected '$expected', found '$found'" [ "$found" = "$expected " ]
}
expect "--plan --pretrained --print-spec" nasrun --p
expect "images photos.cfg runs" nasrun ""
expect "photos.cfg" nasrun p
expect "photos.cfg" nasrun --plan p
expect "train.optimizer=" nasrun photos.cfg train.op
expect "train.warmup= train.weight_decay=" nasrun photos.cfg train.w
expect "adamw muon sgd" nasrun photos.cfg train.optimizer =
expect "adamw" nasrun photos.cfg train.optimizer = a
expect "train.optimizer=adamw" nasrun photos.cfg train.optimizer=a
expect "false true" nasrun photos.cfg train.flip = ""
expect "auto cpu cuda ref" nasrun photos.cfg devices =
expect "runs" nasrun photos.cfg dataset.path = r
expect "runs" nasrun --resume = r
expect "--resume=runs" nasrun --resume=r
expect "runs/one" nasrun --resume runs/
expect "search.strategy=" nasrun --resume runs search.strat
expect "" nasrun photos.cfg train.momentum =
expect "images runs" nasplot ""
expect "images runs" nasplot runs ""
expect "image.png images" naspredict runs i
expect "--help" nasreport --h

# ---- and as one types ----
cat >"$work/typed" <<END
nasrun photos.cfg train.opti
nasrun photos.cfg train.optimizer=ad
nasrun --resu
nasrun --resume=ru
nasrun ph
nasplot ru
naspredict runs imag
END
cat >"$work/whole" <<END
nasrun photos.cfg train.optimizer=
nasrun photos.cfg train.optimizer=adamw 
nasrun --resume=
nasrun --resume=runs/
nasrun photos.cfg 
nasplot runs/
naspredict runs image
END
top=$OLDPWD
for shell in bash zsh; do
    if ! command -v $shell >/dev/null; then
        skip "$shell is not here: whether it completes"
        continue
    fi
    python3 "$top/tests/scripts/complete.py" $shell "$share" "$work/at" <"$work/typed" >"$work/found" 2>&1
    # zsh takes away again what it put behind a word for the next one.
    [ $shell = bash ] || sed -i -e 's,\(--resume\)=$,\1,' -e 's,[ /]$,,' "$work/whole"
    check "$shell: $(diff "$work/whole" "$work/found")" cmp -s "$work/whole" "$work/found"
done
cd "$top" || exit 1
finish
