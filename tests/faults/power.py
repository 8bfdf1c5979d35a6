#!/usr/bin/env python3
"""The power goes at one instant after the other of short runs, and says how the next start of each ended.

    power.py --nasrun bin/nasrun --data FOLDER --inject inject.so --power power.so --work FOLDER [--most N] [--slice I/N]

The runs of faults.py, which see, are killed before each site's first and last call that changes a file or a folder or
flushes one, and once they are over. What is then found on the disk is made of what power.c has seen flushed and of what
there was:

    drop     only what was flushed: names and contents
    names    all names, contents as they were flushed: renamed before the content was written
    data     the names that were flushed, all contents
    torn     all names, and of contents that were not flushed the first half
    zeros    all names, and zeros for what was not flushed, as file systems leave it that allocate late

One end is right: the same command ends with status 0 and the same model and history as the undisturbed run. A run that has
ended has its model on the disk. --work is a folder in memory."""

import collections
import hashlib
import os
import shutil
import sys

import faults

CHANGES = ["write", "fsync", "rename", "mkdir", "truncate", "unlink"]
WAYS = ["drop", "names", "data", "torn", "zeros"]
OVER = "write:1000000000:5:kill"  # which never comes


class Disk:
    """A folder as it was flushed and as it was when the power went."""

    def __init__(self, folder, store):
        self.folder, self.store = folder, store

    def flushed(self, inode):
        try:
            with open(f"{self.store}/{inode}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def now(self):
        """Contents by inode; of a folder its entries."""
        found = {}
        for at, folders, files in os.walk(self.folder):
            found[os.stat(at).st_ino] = {name: os.stat(f"{at}/{name}").st_ino for name in folders + files}
            for name in files:
                with open(f"{at}/{name}", "rb") as file:
                    found[os.stat(f"{at}/{name}").st_ino] = file.read()
        return found

    def entries(self, inode):
        lines = (self.flushed(inode) or b"").decode().splitlines()
        return {name: int(number) for number, name in (line.split(" ", 1) for line in lines) if name not in (".", "..")}

    def content(self, way, inode, now):
        flushed, last = self.flushed(inode) or b"", now.get(inode, b"")
        if way == "data":
            return last or flushed
        if way not in ("torn", "zeros") or last == flushed:
            return flushed
        kept = flushed if last.startswith(flushed) else b""
        rest = last[len(kept):]
        return kept + (rest[:len(rest) // 2] if way == "torn" else bytes(len(rest)))

    def write(self, way, to):
        """The folder as the next start finds it."""
        now = self.now()

        def put(inode, path):
            if isinstance(now.get(inode), dict) or path == to:
                os.mkdir(path)
                for name, child in (self.entries(inode) if way in ("drop", "data") else now[inode]).items():
                    put(child, f"{path}/{name}")
            else:
                with open(path, "wb") as file:
                    file.write(self.content(way, inode, now))

        if os.path.isdir(self.folder):
            put(os.stat(self.folder).st_ino, to)

    def remember(self):
        """All that is there now is there for good."""
        for inode, content in self.now().items():
            with open(f"{self.store}/{inode}", "wb") as file:
                file.write("".join(f"{n} {name}\n" for name, n in content.items()).encode() if isinstance(content, dict) else content)


def digest(folder):
    found = hashlib.sha256()
    for at, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            with open(f"{at}/{name}", "rb") as file:
                content = file.read()
            found.update(f"{os.path.relpath(at, folder)}/{name} {len(content)} ".encode() + content)
    return found.hexdigest()


def points(scene):
    for (name, site), (first, count) in scene.sites.items():
        if name in CHANGES:
            yield f"{name}@{site}+{first}:1:5:kill"
            if count > 1:
                yield f"{name}@{site}:{count}:5:kill"
    yield OVER


class Trial:
    def __init__(self, runs, scene, number, fault):
        self.runs, self.scene, self.over = runs, scene, fault == OVER
        self.folder = f"{runs.options.work}/{scene.name}-{number}"
        self.store = self.folder + ".store"
        os.mkdir(self.store)
        self.disk = Disk(self.folder, self.store)
        if scene.half:
            shutil.copytree(scene.half, self.folder)
            self.disk.remember()
        runs.run(self.folder, scene.steps, fault, more={"LD_PRELOAD": f"{runs.options.inject}:{runs.options.power}",
                                                        "POWER_STORE": self.store})

    def judge(self, way, seen):
        again = f"{self.folder}-{way}"
        self.disk.write(way, again)
        if self.over and faults.model(again) != self.scene.model:
            return "wrong", "the run had ended, and its model was not on the disk"
        found = digest(again)
        if found in seen:
            return "as before", ""
        seen.add(found)
        status, said, _ = self.runs.run(again, self.scene.steps)
        differs = self.scene.same(again) if status == 0 else f"status {status}: {said.strip()[-200:]}"
        return ("wrong", differs) if differs else ("the same", "")

    def remove(self):
        for name in os.listdir(self.runs.options.work):
            if name.startswith(os.path.basename(self.folder)):
                shutil.rmtree(f"{self.runs.options.work}/{name}", ignore_errors=True)


def main():
    options = faults.parser_of("nasrun", "data", "inject", "power", "work").parse_args()
    options.inject, options.power = os.path.abspath(options.inject), os.path.abspath(options.power)
    runs = faults.Runs(options)
    begun, half = faults.make_begun(runs, options)
    resumed = faults.Scene("resumed", runs, faults.STEPS, half)
    tried = [(scene, fault) for scene in (begun, resumed) for fault in points(scene)]
    known = len(tried)
    some = faults.most_of(tried, options.most)
    tried = faults.slice_of(some if tried[-1] in some else some + [tried[-1]], options.slice)  # with one of a run that is over
    ends, wrong, seen = collections.Counter(), [], set()
    for number, (scene, fault) in enumerate(tried):
        trial = Trial(runs, scene, number, fault)
        for way in WAYS:
            end, why = trial.judge(way, seen)
            ends[way, end] += 1
            if end == "wrong":
                wrong.append(f"{scene.name} {fault} {way}: {why}")
        trial.remove()
    print(f"{len(tried)} of {known} instants")
    columns = ["the same", "as before", "wrong"]
    print(f"{'':9}" + "".join(f"{column:>10}" for column in columns))
    for way in WAYS:
        print(f"{way:9}" + "".join(f"{ends[way, column]:10}" for column in columns))
    for line in wrong:
        print("WRONG", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
