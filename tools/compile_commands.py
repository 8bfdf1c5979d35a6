"""compile_commands.py FOLDER: a dry run of make on standard input becomes compile_commands.json, which clangd reads.

The GPU's kernels are in it as C++ for the emulated GPU: clangd does not know nvcc's options.
"""
import json
import re
import sys

found = []
for line in sys.stdin:
    match = re.fullmatch(r"\s*([^-\s].*\s-c\s+(?:-x\s+c\+\+\s+)?(\S+\.(?:c|cpp|cu))\s+-o\s+(\S+).*)\n", line)
    if match:
        command, source, output = match.groups()
        found.append({"directory": sys.argv[1], "file": source, "output": output, "command": command})
json.dump(found, sys.stdout, indent=1)
print()
