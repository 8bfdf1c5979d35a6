#!/usr/bin/env python3
"""Fails one call of the C library after the other in short runs, and says how they ended.

    faults.py --nasrun bin/nasrun --data FOLDER --inject inject.so --work FOLDER [--most N] [--slice I/N] [--jobs N]
              [--only malloc,write] [--every] [--list FILE]

A run of steps is made undisturbed; so is one that goes on from where another was killed. Then the calls of each of their
sites fail (those of inject.c, which see), a site being a chain of six calls that leads there: the first of them once, the
first and all calls of its kind from there on, of writes also half of the first; the last once, but for allocations. These
have thousands of sites, most of them in oneDNN: they fail in a shorter run, and in the one that goes on only where that has
none of the site. With --every each call fails, not each site's first and last. Three ends are right:

    no effect   status 0, the same model and the same history, also when the engine had to be started again
    one line    status 2 and one line that says why; the same command then ends with the same model and history

and all others are wrong, and are listed: another model without a word, silence, a hang, a crash. With --most N a sample
of N points, spread over all of them; with --slice I/N every Nth, from the Ith on. A machine that has other things to do is
given one run at a time."""

import argparse
import collections
import concurrent.futures
import errno
import json
import os
import re
import resource
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
STEPS, FEW_STEPS = 12, 6

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
        for steps in (STEPS, FEW_STEPS):
            with open(self.job(steps), "w", encoding="utf-8") as file:
                file.write(JOB.format(data=options.data, steps=steps))

    def job(self, steps):
        return f"{self.options.work}/{steps}.cfg"

    def run(self, folder, steps, fault=None, sites=None, more=None):
        """Status (or "hang"), what it said on stderr, counts of calls and whether the fault was met."""
        shared = folder + ".shared"
        # Memory that was freed is kept: most of a short run's time is the system's, which clears pages.
        env = dict(os.environ, OMP_NUM_THREADS="1", LC_ALL="C", MALLOC_TOP_PAD_="16777216",
                   MALLOC_TRIM_THRESHOLD_="2000000000", MALLOC_MMAP_THRESHOLD_="1000000000")
        if fault is not None or sites is not None:
            env.update(LD_PRELOAD=self.options.inject, FAULT_SHARED=shared)
        if fault is not None:
            env["FAULT"] = fault
        if sites is not None:
            env["FAULT_SITES"] = sites
        env.update(more or {})
        with subprocess.Popen([self.options.nasrun, "-q", self.job(steps), "output.dir=" + folder], env=env, text=True,
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

    def __init__(self, name, runs, steps, half=None):
        self.name, self.runs, self.steps, self.half = name, runs, steps, half
        whole, sites = f"{runs.options.work}/{name}-whole", f"{runs.options.work}/{name}-sites"
        status, said, self.counts = self.begin(whole, sites=sites)
        if status != 0:
            sys.exit(f"faults.py: the undisturbed run failed: {said}")
        self.model, self.history = model(whole), history(whole)
        self.sites = {}  # of a class and a site: its first call of the class, and how many there are
        calls = collections.Counter()
        with open(sites, encoding="ascii") as file:
            for name, site in map(str.split, file):
                calls[name] += 1
                first, count = self.sites.get((name, site), (calls[name], 0))
                self.sites[name, site] = first, count + 1

    def begin(self, folder, fault=None, sites=None):
        if self.half:
            shutil.copytree(self.half, folder)
        return self.runs.run(folder, self.steps, fault, sites)

    def same(self, folder):
        if model(folder) != self.model:
            return "another model"
        return "" if history(folder) == self.history else "another history"

    def points(self, every, wanted):
        """Of the kinds and sites that are wanted: what FAULT says."""
        calls = []
        for (name, site), (first, count) in self.sites.items():
            if every or not wanted(name, site):
                continue
            calls.append((f"{name}@{site}+{first}:1", ("once", "on")))
            if name == "write":
                calls.append((f"{name}@{site}+{first}:1", ("short",)))
            if name != "malloc" and count > 1:
                calls.append((f"{name}@{site}:{count}", ("once",)))
        for k, name in enumerate(CLASSES) if every else ():
            if wanted(name, None):
                calls += ((f"{name}:{call}", ("once", "on")) for call in range(1, self.counts[k] + 1))
        for call, modes in calls:
            for mode in modes:
                yield f"{call}:{ERRORS[re.split('[:@]', call)[0]]}:{mode}"

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
        status, said, _ = self.runs.run(folder, self.steps)
        if status != 0:
            return "wrong", f"{lines[0][:160]}; then status {status}: {said.strip()[-160:]}"
        differs = self.same(folder)
        return ("wrong", f"{lines[0][:160]}; then {differs}") if differs else ("one line", lines[0])


def make_begun(runs, options):
    """The undisturbed run, and the folder of one that was killed."""
    begun, half = Scene("begun", runs, STEPS), options.work + "/half"
    runs.run(half, STEPS, f"write:{begun.counts[CLASSES.index('write')] * 6 // 10}:5:kill")
    return begun, half


def make_scenes(runs, options):
    """Each with the points that are tried there."""
    begun, half = make_begun(runs, options)
    short = Scene("short", runs, FEW_STEPS)
    resumed = Scene("resumed", runs, STEPS, half)
    return [(begun, list(begun.points(options.every, lambda name, site: name != "malloc"))),
            (short, list(short.points(options.every, lambda name, site: name == "malloc"))),
            (resumed, list(resumed.points(options.every, lambda name, site: name != "malloc" or (name, site) not in short.sites)))]


def idle_cpus():
    return len(os.sched_getaffinity(0)) if os.getloadavg()[0] < 0.5 else 1


def parser_of(*paths):
    """Those of the command line that are paths, and which of the points are tried."""
    parser = argparse.ArgumentParser()
    for name in paths:
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--most", type=int)
    parser.add_argument("--slice", default="1/1")
    return parser


def most_of(points, most):
    return [points[i * len(points) // most] for i in range(most)] if most and most < len(points) else points


def slice_of(points, text):
    first, slices = (int(part) for part in text.split("/"))
    return points[first - 1::slices]


def main():
    parser = parser_of("nasrun", "data", "inject", "work")
    parser.add_argument("--jobs", type=int, default=idle_cpus())
    parser.add_argument("--only", default="")
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--list", help="a file that gets a line for each point")
    options = parser.parse_args()
    options.inject = os.path.abspath(options.inject)
    runs = Runs(options)
    scenes = make_scenes(runs, options)
    points = [(scene, fault) for scene, faults in scenes for fault in faults
              if not options.only or re.split("[:@]", fault)[0] in options.only.split(",")]
    known = len(points)
    points = slice_of(most_of(points, options.most), options.slice)
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
    for scene, _ in scenes:
        sites = collections.Counter(name for name, _ in scene.sites)
        print(f"{scene.name}: calls (sites) of " +
              ", ".join(f"{name} {n} ({sites[name]})" for name, n in zip(CLASSES, scene.counts) if n))
    print(f"{len(points)} of {known} points")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.0f} s of a core")
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
