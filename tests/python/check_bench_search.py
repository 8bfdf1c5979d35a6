"""The bench of the search by hand-computed cases: check_bench_search.py; the name of what is wrong, and status 1."""

import json
import os
import random
import sys
import tempfile
from itertools import product

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "search"))

import cells
import paired
import proxies
import table


def same(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")


def close(what, found, expected):
    if abs(found - expected) > 1e-12:
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")


def check_sign_flip():
    # 1 + 2 + 3 is reached by one choice of signs of eight; 0 by that and its mirror: 1 + 2 - 3 and -1 - 2 + 3.
    close("all positive", paired.sign_flip([1, 2, 3]), 1 / 8)
    close("a sum of 0", paired.sign_flip([1, 2, -3]), 5 / 8)
    close("all negative", paired.sign_flip([-1, -2, -3]), 1.0)
    # 2 + 2 - 1 = 3 is reached by it and by 5; -1 may stand anywhere in the list.
    close("one negative", paired.sign_flip([2, -1, 2]), 2 / 8)
    # A difference of 0 has no sign: each choice counts twice, on both sides of the share.
    close("a zero", paired.sign_flip([0, 1, 2, 3]), 1 / 8)
    close("sixteen, all equal", paired.sign_flip([7] * 16), 1 / 65536)
    numbers = random.Random(1)
    for n in range(1, 9):
        differences = [numbers.randint(-9, 9) for _ in range(n)]
        sums = [sum(s * d for s, d in zip(signs, differences)) for signs in product((-1, 1), repeat=n)]
        counted = sum(value >= sum(differences) for value in sums) / len(sums)
        close(f"all signs of {differences}", paired.sign_flip(differences), counted)


def check_bootstrap():
    # Resamples of 0 and 2: means 0, 1, 1, 2. At 50 % the quarter lies at 0, and three quarters are reached at 1.
    same("two values", paired.bootstrap([0, 2]), (0.0, 2.0))
    same("two values, half", paired.bootstrap([0, 2], 0.5), (0.0, 1.0))
    # Of 0, 0, 3 the mean of a resample is the number of 3s among three draws: 8, 12, 6 and 1 of 27.
    same("three values, 95 %", paired.bootstrap([0, 0, 3]), (0.0, 3.0))
    same("three values, 90 %", paired.bootstrap([0, 0, 3], 0.9), (0.0, 2.0))
    same("equal ones", paired.bootstrap([-4, -4, -4]), (-4.0, -4.0))
    same("one", paired.bootstrap([5]), (5.0, 5.0))
    differences = [3, -1, 8, 2, 2]
    means = sorted(sum(draw) / 5 for draw in product(differences, repeat=5))
    expected = means[-(-len(means) * 25 // 1000) - 1], means[-(-len(means) * 975 // 1000) - 1]
    same("all resamples", paired.bootstrap(differences), expected)


def check_holm():
    # 3 x 0.01, 2 x 0.03, then 0.04, which may not be below the one before.
    for found, expected in zip(paired.holm([0.01, 0.04, 0.03]), (0.03, 0.06, 0.06)):
        close("holm", found, expected)
    same("holm, at most 1", paired.holm([0.9, 0.6]), [1.0, 1.0])
    same("holm of none", paired.holm([]), [])


def line(arm, seed, correct, **more):
    return {
        "data": "cifar10", "seconds": 85.0, "arm": arm, "seed": seed, "correct": correct, "test_images": 1000,
        "test_accuracy": correct / 1000, "validation_accuracy": 0.5, "best_candidate": None, "candidates": 0,
        "share_in_final": 1.0, "predicted_and_reached": [], "train_flops": 2.0, **more,
    }  # fmt: skip


def check_table():
    block = ("cifar10", 85.0)
    chosen = [line("a-8", 101, 500), line("b-8", 101, 520), line("a-8", 102, 560), line("b-8", 102, 530)]
    same("the best static arm", table.best_static(chosen, block, ["b-8", "a-8"]), "a-8")
    same("the only one", table.best_static([], block, ["none"]), "none")
    results = [line("a-8", seed, 500 + seed) for seed in (1, 2, 3)]
    # 4, 2 and 6 images more, of 1,000; a fourth seed without a partner.
    results += [line("default", seed, 500 + seed + more) for seed, more in ((1, 4), (2, 2), (3, 6), (4, 99))]
    results += [line("random", seed, 600) for seed in (1, 2, 3)]
    same("pairs", table.pairs(results, block, "default", "a-8"), [4, 2, 6])
    text = table.make(results, {block: "a-8"}, "default")
    for expected in (
        "| cifar10 | 85 | a-8 | 3 | +0.40 | +0.20 to +0.60 | 0.1250 | yes |\n",
        "| random | 3 | -9.40 | -9.60 to -9.10 | 1.0000 | 1.0000 |\n",
        "| cifar10 | 85 | a-8 (best static) | 3 | 50.20 ± 0.10 | 50.00 | - | 0.0 | 100 % | - | - |\n",
    ):
        if expected not in text:
            sys.exit(f"the table: found\n{text}expected {expected}")
    worse = [line("default", seed, 500 + seed - 3) for seed in (1, 2, 3)]
    text = table.make([r for r in results if r["arm"] == "a-8"] + worse, {block: "a-8"}, "default")
    if "| -0.30 | -0.30 to -0.30 | 1.0000 | no |" not in text:
        sys.exit(f"worse by more than the margin: found\n{text}")


def check_journal():
    """A start of 2 s, two children of 1 and 3 s, of which the first wins, its final fit of 4 s."""
    flops = {0: 7, 1: 8, 2: 8, 3: 8}

    def candidate(time, number, parent, **more):
        return {
            "time": time, "event": "candidate", "id": number, "parent": parent, "operations": [], "final": False,
            "parameters": number, "train_flops": flops[number], **more,
        }  # fmt: skip

    def model(time, number, accuracy, steps):
        about = {"validation_accuracy": accuracy, "validation_loss": 1.0, "steps": steps}
        return {"time": time, "event": "model", "id": number, **about}

    test = {"accuracy": 0.7, "confusion": [[4, 1], [2, 3]], "elapsed_seconds": 10}
    events = [
        candidate(0, 0, -1),
        model(0, 0, 0.5, 20),
        candidate(2, 1, 0, expected=0.6),
        model(2, 1, 0.75, 10),
        candidate(3, 2, 0),
        {"time": 3, "event": "failed", "id": 2},
        candidate(6, 3, 1, final=True, expected=0.9),
        model(6, 3, 0.8, 40),
        {"time": 10, "event": "test", "id": 3, **test},
    ]
    with tempfile.NamedTemporaryFile("w") as stream:
        stream.write("".join(json.dumps(event) + "\n" for event in events))
        stream.flush()
        facts = cells.read_journal(stream.name)
    for key, expected in {
        "correct": 7, "test_images": 10, "validation_accuracy": 0.8, "best_candidate": 0.75, "candidates": 2,
        "predicted_and_reached": [[0.6, 0.75], [0.9, 0.8]], "parameters": 3, "train_flops": 8, "steps": 40,
    }.items():  # fmt: skip
        same(f"the journal's {key}", facts[key], expected)
    close("share in the final weights", facts["share_in_final"], 7 / 10)


def check_arms():
    same("static", cells.overrides_of("res9-8"), ['search.starts=["res9"]', "search.width=8", 'search.strategy="none"'])
    labels = [i % 10 for i in range(20 * proxies.OF_EACH)]
    same("as many of each class", len(proxies.first_of_each(labels)), 10 * proxies.OF_EACH)
    same("the first ones", proxies.first_of_each(labels)[-1], 10 * proxies.OF_EACH - 1)


check_sign_flip()
check_bootstrap()
check_holm()
check_table()
check_journal()
check_arms()
