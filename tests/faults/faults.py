#!/usr/bin/env python3
"""Fails one call of the C library after the other in short runs, and says how they ended.

    faults.py --nasrun bin/nasrun --data FOLDER --inject inject.so --work FOLDER [--most N] [--jobs N] [--only malloc,write]
              [--every] [--list FILE]

A run of steps is made undisturbed; so is one that goes on from where another was killed. Then each of their calls (those
of inject.c, which see) fails: once, and from there on for good. Of the allocations, of which there are more than a
hundred thousand, each chain of calls that leads to one, at its first and at its last time; with --every each of them. Three ends
are right:

    no effect   status 0, the same model and the same history, also when the engine had to be started again
    one line    status 2 and one line that says why; the same command then ends with the same model and history

and all others are wrong, and are listed: another model without a word, silence, a hang, a crash. With --most N a sample
of N points, spread over all of them."""

import argparse
import collections
import concurrent.futures
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

CLASSES = ["write", "fsync", "rename", "open", "mkdir", "mmap", "thread", "fork", "read", "flock", "truncate", "unlink",
           "stat", "malloc"]
ERRORS = {"write": errno.ENOSPC, "fsync": errno.EIO, "rename": errno.EIO, "open": errno.EMFILE, "mkdir": errno.ENOSPC,
          "mmap": errno.ENOMEM, "thread": errno.EAGAIN, "fork": errno.EAGAIN, "read": errno.EIO, "flock": errno.ENOLCK,
          "truncate": errno.EIO, "unlink": errno.EPERM, "stat": errno.EIO, "malloc": errno.ENOMEM}
SECONDS = 60  # in which a run ends that takes less than one
STEPS = 24

JOB = """dataset = {{ format = "idx"; path = "{data}"; validation = 0.25; }};
search = {{ strategy = "bayesian"; starts = ["lean"]; width = 8; }};
train = {{ batch = 16; flip = false; translate = 1; }};
devices = "cpu";
threads = 1;
budget = {{ steps = {steps}; }};
output = {{ plots = false; checkpoint_seconds = 0.05; }};
"""


def timed_fields():
    """What the clock decides, by the table of events."""
    with open("host/journal/events.def", encoding="utf-8") as table:
        return set(re.findall(r"^EVENT_FIELD\(\w+, (\w+), \w+, [A-Z]+, \d+, CLOCK,", table.read(), re.M)) | {"time", "crc"}


TIMED = timed_fields()


def without_time(value):
    if isinstance(value, dict):
        return {k: without_time(v) for k, v in value.items() if k not in TIMED}
    return [without_time(v) for v in value] if isinstance(value, list) else value


def history(folder):
    try:
        with open(folder + "/journal.jsonl", encoding="utf-8") as lines:
            return [without_time(json.loads(line)) for line in lines]
    except (OSError, ValueError) as error:
        return str(error)


def model(folder):
    try:
        with open(folder + "/model.safetensors", "rb") as file:
            return file.read()
    except OSError:
        return None


class Runs:
    def __init__(self, options):
        self.options = options
        self.job = options.work + "/job.cfg"
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(JOB.format(data=options.data, steps=STEPS))

    def run(self, folder, fault=None, sites=None):
        """Status (or "hang"), what it said on stderr, counts of calls and whether the fault was met."""
        shared = folder + ".shared"
        env = dict(os.environ, OMP_NUM_THREADS="1", LC_ALL="C")
        if fault is not None or sites is not None:
            env.update(LD_PRELOAD=self.options.inject, FAULT_SHARED=shared)
        if fault is not None:
            env["FAULT"] = fault
        if sites is not None:
            env["FAULT_SITES"] = sites
        with subprocess.Popen([self.options.nasrun, "-q", self.job, "output.dir=" + folder], env=env, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, errors="replace",
                              start_new_session=True) as process:
            try:
                said = process.communicate(timeout=SECONDS)[1]
                status = process.returncode
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said = process.communicate()[1]
                status = "hang"
        counts = []
        if os.path.exists(shared):
            with open(shared, "rb") as file:
                counts = list(memoryview(file.read()).cast("q"))
            os.remove(shared)
        return status, said, counts


class Scene:
    """A run from the beginning, or from a folder as a killed run has left it."""

    def __init__(self, name, runs, half=None):
        self.name, self.runs, self.half = name, runs, half
        self.whole = f"{runs.options.work}/{name}-whole"
        self.sites = f"{runs.options.work}/{name}-sites"
        status, said, self.counts = self.begin(self.whole, sites=self.sites)
        if status != 0:
            sys.exit(f"faults.py: the undisturbed run failed: {said}")
        self.model, self.history = model(self.whole), history(self.whole)
        with open(self.sites, encoding="ascii") as file:
            self.times = collections.Counter(line.strip() for line in file)
        self.chains = len(self.times)

    def begin(self, folder, fault=None, sites=None):
        if self.half:
            shutil.copytree(self.half, folder)
        return self.runs.run(folder, fault, sites)

    def same(self, folder):
        if model(folder) != self.model:
            return "another model"
        return "" if history(folder) == self.history else "another history"

    def points(self, every):
        for k, name in enumerate(CLASSES):
            if name != "malloc" or every:
                for call in range(1, self.counts[k] + 1):
                    yield f"{name}:{call}:{ERRORS[name]}:once"
                    yield f"{name}:{call}:{ERRORS[name]}:on"
                    if name == "write":
                        yield f"{name}:{call}:{errno.ENOSPC}:short"
        for site, count in () if every else self.times.items():
            yield f"malloc@{site}:1:{errno.ENOMEM}:once"
            yield f"malloc@{site}:1:{errno.ENOMEM}:on"
            if count > 1:
                yield f"malloc@{site}:{count}:{errno.ENOMEM}:once"

    def judge(self, fault, folder):
        status, said, counts = self.begin(folder, fault)
        # The supervisor says so and goes on: what counts is how that ends. Two libraries end a process that has no memory
        # for them with a line of their own: libgomp, and the scanner in libconfig.
        lines = [line for line in said.splitlines()
                 if line.startswith(("nasrun: ", "libgomp: ", "out of dynamic memory in libconfig_yy")) and "goes on from its last" not in line]
        last = (said.strip().splitlines() or [""])[-1][:160]
        if status == "hang":
            return "wrong", "a hang: " + last
        if not counts or counts[-1] == 0:
            return "not met", ""
        if status == 0:
            differs = self.same(folder)
            return ("wrong", f"status 0, {differs}: {last}") if differs else ("no effect", "")
        if status != 2 or len(lines) != 1:
            return "wrong", f"status {status}, {len(lines)} lines: {last}"
        status, said, _ = self.runs.run(folder)
        if status != 0:
            return "wrong", f"{lines[0][:160]}; then status {status}: {said.strip()[-160:]}"
        differs = self.same(folder)
        return ("wrong", f"{lines[0][:160]}; then {differs}") if differs else ("one line", lines[0])


def make_scenes(runs, options):
    fresh = Scene("begun", runs)
    half = options.work + "/half"
    runs.run(half, f"write:{fresh.counts[CLASSES.index('write')] * 6 // 10}:5:kill")
    return [fresh, Scene("resumed", runs, half)]


def main():
    parser = argparse.ArgumentParser()
    for name in ("nasrun", "data", "inject", "work"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--most", type=int)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="")
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--list", help="a file that gets a line for each point")
    options = parser.parse_args()
    options.inject = os.path.abspath(options.inject)
    runs = Runs(options)
    scenes = make_scenes(runs, options)
    points = [(scene, fault) for scene in scenes for fault in scene.points(options.every)
              if not options.only or re.split("[:@]", fault)[0] in options.only.split(",")]
    known = len(points)
    if options.most and options.most < known:
        points = [points[i * known // options.most] for i in range(options.most)]
    ends, wrong, lock = collections.Counter(), [], threading.Lock()
    record = open(options.list, "a", encoding="utf-8") if options.list else None

    def one(number):
        scene, fault = points[number]
        folder = f"{options.work}/{scene.name}-{number}"
        end, why = scene.judge(fault, folder)
        shutil.rmtree(folder, ignore_errors=True)
        kind = re.split("[:@]", fault)[0]
        with lock:
            ends[scene.name, kind, end] += 1
            if record:
                record.write(f"{scene.name} {fault} {end}: {why}\n")
                record.flush()
            if end == "wrong":
                wrong.append(f"{scene.name} {fault}: {why}")

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, range(len(points))))
    for scene in scenes:
        print(f"{scene.name}: calls of " + ", ".join(f"{name} {n}" for name, n in zip(CLASSES, scene.counts) if n) +
              f"; {scene.chains} chains of calls to allocations")
    print(f"{len(points)} of {known} points")
    columns = ["one line", "no effect", "not met", "wrong"]
    print(f"{'':18}" + "".join(f"{column:>10}" for column in columns))
    for scene, kind in sorted({key[:2] for key in ends}):
        print(f"{scene:9}{kind:9}" + "".join(f"{ends[scene, kind, column]:10}" for column in columns))
    for line in sorted(wrong):
        print("WRONG", line)
    print("total " + ", ".join(f"{sum(n for key, n in ends.items() if key[2] == column)} {column}" for column in columns))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
