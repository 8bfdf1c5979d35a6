"""coverage.py BUILD: a table of what the tests that were run in BUILD have reached, by source file: lines and branches; then
the lines that report an error and have never run.

Reads gcov's JSON of every object there; a line in a header counts as reached when any file that includes it reached it.
"""
import collections
import gzip
import json
import pathlib
import re
import subprocess
import sys
import tempfile

build = pathlib.Path(sys.argv[1]).resolve()
lines = collections.defaultdict(dict)  # file -> line -> reached
branches = collections.defaultdict(dict)  # file -> (line, function, number) -> taken
notes = [str(path) for path in build.rglob("*.gcda") if path.relative_to(build).parts[0] in ("host", "spec", "tools")]
if not notes:
    sys.exit("coverage: no test has left its counts in %s" % build)
with tempfile.TemporaryDirectory() as folder:
    subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--hash-filenames"] + notes, cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)
    for path in pathlib.Path(folder).glob("*.gcov.json.gz"):
        for file in json.loads(gzip.decompress(path.read_bytes()))["files"]:
            name = file["file"]
            if name.startswith(("/", "tests/")):
                continue
            for line in file["lines"]:
                at = line["line_number"]
                lines[name][at] = lines[name].get(at, False) or line["count"] > 0
                for i, branch in enumerate(line["branches"]):
                    key = (at, line.get("function_name"), i)
                    branches[name][key] = branches[name].get(key, False) or branch["count"] > 0


def share(reached):
    return "%6d of %6d %5.1f %%" % (sum(reached), len(reached), 100 * sum(reached) / len(reached)) if reached else " " * 23


print("%-40s %-25s %s" % ("", "lines reached", "branches taken"))
for name in sorted(lines):
    print("%-40s %-25s %s" % (name, share(list(lines[name].values())), share(list(branches[name].values()))))
print("%-40s %-25s %s" % ("all", share([x for name in lines for x in lines[name].values()]),
                          share([x for name in branches for x in branches[name].values()])))

REPORTS = re.compile(r"\b(error_set|error_memory|error_system|spec_refuse)\(")
reports = []  # (place, reached)
for name in sorted(lines):
    for number, text in enumerate(pathlib.Path(name).read_text(encoding="utf-8").splitlines(), 1):
        if REPORTS.search(text) and number in lines[name]:
            reports.append(("%s:%d: %s" % (name, number, text.strip()), lines[name][number]))
print("\n%d of %d lines that report an error have never run:" % (sum(not x for _, x in reports), len(reports)))
for place, reached in reports:
    if not reached:
        print("    " + place)
host = [x for name in branches if name.startswith("host/") for x in branches[name].values()]
print("\nbranches of host: " + share(host))
