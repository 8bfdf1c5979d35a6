"""complete.py SHELL SHARE FOLDER: types half command lines and TAB into an interactive bash or zsh, and prints what stands there then.

SHARE is a folder like /usr/share with the completions. Reads one half line from each line of standard input; the shell is in FOLDER.
"""
import os
import pty
import re
import select
import sys
import time

shell, share, folder = sys.argv[1:]
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"],
             "bind 'set bell-style none'; bind 'set enable-bracketed-paste off';"
             " for file in '%s'/bash-completion/completions/*; do . \"$file\"; done" % share),
    "zsh": (["zsh", "-f", "-i"],
            "unsetopt beep zle_bracketed_paste; bindkey -e; fpath=('%s/zsh/site-functions' $fpath); autoload -Uz compinit;"
            " compinit -u -D" % share),
}
arguments, setup = START[shell]
child, terminal = pty.fork()
if child == 0:
    os.chdir(folder)
    os.environ.update(TERM="dumb", PS1="$ ", PROMPT="$ ", COLUMNS="1000")
    os.execvp(arguments[0], arguments)


def send(text, until, seconds=20):
    """Types the text and reads until the pattern; what was read."""
    os.write(terminal, text.encode())
    seen, end = "", time.monotonic() + seconds
    while not re.search(until, seen):
        if time.monotonic() > end or not select.select([terminal], [], [], end - time.monotonic())[0]:
            sys.exit("no answer to %r, only %r" % (text, seen))
        seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


send("stty -echo cols 1000; " + setup + "; echo rea''dy\n", "ready\r?\n")
for number, half in enumerate(sys.stdin.read().splitlines()):
    # TAB, then to the line's beginning: what stands there becomes the text of a command that prints it.
    seen = send("%s\t\x01printf '%%s[%d]\\n' '<%d>' '\x05'\n" % (half, number, number), r"\[%d\]\r?\n" % number)
    seen += send("echo ne''xt%d\n" % number, r"next%d\r?\n" % number)
    found = re.search(r"\n?<%d>\[%d\]\r?\n(.*?)\[%d\]" % (number, number, number), seen, re.S)
    print(found.group(1) if found else "nothing: %r" % seen, flush=True)
os.close(terminal)
