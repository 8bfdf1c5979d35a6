"""Cells of the bench: one run of nasrun each, of an arm on a proxy with a seed; and what its run folder tells."""

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass

import proxies

# What an arm adds to the job: `default` nothing, as nasrun is shipped. Those that grow networks from a start have the
# same, whose width suits the small images; `placebo` is another program.
START = ['search.starts=["lean"]', "search.width=16"]
ARMS = {
    "default": [],
    "phases": ['search.strategy="phases"', 'search.starts=["lean", "res9", "air"]'],
    "none": [*START, 'search.strategy="none"'],
    "placebo": START,
    "bayesian": [*START, 'search.strategy="bayesian"'],
    "greedy": [*START, 'search.strategy="greedy"'],
    "random": [*START, 'search.strategy="random"'],
}


def overrides_of(arm):
    """Those above, and static ones: "res9-8" is start res9 of width 8, trained without a search."""
    if arm in ARMS:
        return ARMS[arm]
    start, _, width = arm.rpartition("-")
    if not start or not width.isdigit():
        raise SystemExit(f'found arm "{arm}", expected {", ".join(ARMS)} or START-WIDTH')
    return [f'search.starts=["{start}"]', f"search.width={width}", 'search.strategy="none"']


@dataclass(frozen=True, order=True)
class Cell:
    data: str
    seconds: float  # of the model's clock
    arm: str
    seed: int

    @property
    def name(self):
        return f"{self.data}-{self.seconds:g}-{self.arm}-{self.seed}"


class Bench:
    """Where cells lie, and what runs them."""

    def __init__(self, folder, nasrun, placebo, sources):
        self.folder, self.nasrun, self.placebo = os.path.abspath(folder), nasrun, placebo
        self.sources = sources  # by data: where the whole data set lies
        self.program = hashlib.sha256(open(nasrun, "rb").read()).hexdigest()[:16]
        self.git = git_id()
        self.machine = machine()
        os.makedirs(os.path.join(self.folder, "proxies"), exist_ok=True)
        os.makedirs(os.path.join(self.folder, "cells"), exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def run_folder(self, cell):
        return self.path("cells", cell.name)

    def write_job(self, data):
        """The job of all cells on these data."""
        path, copy = self.path(f"{data}.cfg"), proxies.make(data, self.sources[data], self.path("proxies"))
        share = proxies.VALIDATION / (proxies.TRAINING + proxies.VALIDATION)
        write_whole(
            path,
            f'dataset = {{ path = "{copy}"; validation = {share!r}; cache = "{self.path("proxies", "cache")}"; }};\n'
            'train = { batch = 64; };\nbudget = { clock = "model"; };\noutput = { plots = false; };\n'
            'devices = "cpu";\nthreads = 1;\n',
        )

    def command(self, cell):
        return [
            self.placebo if cell.arm == "placebo" else self.nasrun,
            self.path(f"{cell.data}.cfg"),
            *proxies.SETTINGS[cell.data],
            *overrides_of(cell.arm),
            f"budget.seconds={cell.seconds:g}",
            f"seed={cell.seed}",
            f"output.dir={self.run_folder(cell)}",
        ]

    def is_done(self, cell):
        return os.path.exists(os.path.join(self.run_folder(cell), "report.json"))

    def begun_by_another(self, cell):
        """What is wrong with a cell that this nasrun can't go on with; None where all is well."""
        about = self.run_folder(cell) + ".json"
        before = json.load(open(about)) if os.path.exists(about) else {"program": self.program}
        if before["program"] == self.program:
            return None
        return f"begun by another nasrun, of commit {before['git']}: choose another --out"

    def run(self, cell):
        """To its end, from where it was left; the last line of what it said when it fails, else None."""
        about = self.run_folder(cell) + ".json"
        if not os.path.exists(about):
            facts = {"command": " ".join(self.command(cell)), "git": self.git, "machine": self.machine}
            write_whole(about, json.dumps({**facts, "program": self.program}))
        done = subprocess.run(
            ["nice", "-n", "19", *self.command(cell)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode == 0 and self.is_done(cell):
            return None
        return (done.stdout.strip().splitlines() or ["said nothing"])[-1] + f" (status {done.returncode})"

    def result(self, cell):
        """What is told of a cell that is done: a line of results.jsonl."""
        about = json.load(open(self.run_folder(cell) + ".json"))
        facts = read_journal(os.path.join(self.run_folder(cell), "journal.jsonl"))
        return {"data": cell.data, "seconds": cell.seconds, "arm": cell.arm, "seed": cell.seed, **facts, **about}


def write_whole(path, text):
    with open(path + ".part", "w") as stream:
        stream.write(text)
    os.replace(path + ".part", path)


def git_id():
    here = os.path.dirname(os.path.abspath(__file__))
    told = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return told.stdout.strip() or "unknown"


def machine():
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def read_journal(path):
    """Accuracies, trainings and where the seconds went. One training at a time: each took the model's clock from its
    beginning to that of the next, or to the test."""
    trainings, test, test_images = {}, None, 0
    begun = None
    for line in open(path):
        event = json.loads(line)
        if event["event"] in ("candidate", "test") and begun is not None:
            begun["seconds"] = event["time"] - begun["began"]
        if event["event"] == "candidate":
            begun = trainings[event["id"]] = {
                **{key: event.get(key) for key in ("id", "parent", "operations", "final", "expected", "parameters")},
                "train_flops": event["train_flops"],
                "began": event["time"],
            }
        elif event["event"] == "model":
            trainings[event["id"]].update(
                validation_accuracy=event["validation_accuracy"],
                validation_loss=event["validation_loss"],
                steps=event["steps"],
            )
        elif event["event"] == "test":
            test, test_images = event, sum(map(sum, event["confusion"]))
    winner = trainings[test["id"]]
    lineage, model = 0.0, winner
    while model is not None:
        lineage += model["seconds"]
        model = trainings.get(model["parent"])
    searched = [t for t in trainings.values() if not t["final"] and t.get("validation_accuracy") is not None]
    return {
        "correct": round(test["accuracy"] * test_images),
        "test_images": test_images,
        "test_accuracy": test["accuracy"],
        "validation_accuracy": winner["validation_accuracy"],
        "best_candidate": max((t["validation_accuracy"] for t in searched), default=None),
        "candidates": len(searched),
        "virtual_seconds": test["elapsed_seconds"],
        "share_in_final": lineage / sum(t["seconds"] for t in trainings.values()),
        "predicted_and_reached": [
            [t["expected"], t["validation_accuracy"]]
            for t in trainings.values()
            if None not in (t["expected"], t.get("validation_accuracy"))
        ],
        "parameters": winner["parameters"],
        "train_flops": winner["train_flops"],
        "steps": winner["steps"],
        "trainings": list(trainings.values()),
    }
