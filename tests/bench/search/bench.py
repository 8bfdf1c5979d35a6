#!/usr/bin/env python3
"""Whether the search is worth its time: arms of nasrun at equal budgets, paired by seed. ../RESULTS.md says more.

What is compared is declared before anything runs: default, or --primary, against the best static arm, which was chosen
on other seeds. Stopped and started again it goes on; what is done stays done.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import table
from cells import ARMS, Bench, Cell, git_id, write_whole

STATIC = "none res9-16 res9-24 air_deep-32 air-24 air-32 air-40 air-48"
SELECTION_SEEDS = 100  # those of the choice of the static arm are 101 and up


def arguments():
    words = lambda text: text.replace(",", " ").split()
    numbers = lambda text: [float(word) for word in words(text)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nasrun", default="bin/nasrun")
    parser.add_argument("--placebo", default="build/release/tests/bench/search/nasrun_placebo")
    parser.add_argument("--cifar10", help="folder of CIFAR-10's binary version")
    parser.add_argument("--fashion", help="folder of Fashion-MNIST's four files")
    parser.add_argument("--seconds", type=numbers, default=[85.0, 255.0], help="of the model's clock: 85,255")
    parser.add_argument("--seeds", type=int, default=16, help="pairs: seeds 1 to this")
    parser.add_argument("--arms", type=words, default=["default", "none", "placebo", "greedy", "random"])
    parser.add_argument("--primary", default="default", help="the arm that is compared with the others")
    parser.add_argument("--static", type=words, default=words(STATIC), help="arms that the best static one is of")
    parser.add_argument("--selection", type=int, default=4, help="seeds on which that is chosen")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, of one thread each")
    parser.add_argument("--out", help="folder; default: build/bench-search/COMMIT")
    parser.add_argument("--table", action="store_true", help="run nothing: the table of what is done")
    return parser.parse_args()


def run_all(bench, cells, jobs):
    """Runs those that are not done, `jobs` at a time; how many failed."""
    todo = [cell for cell in cells if not bench.is_done(cell)]
    failed = 0
    for cell in cells:
        if bench.begun_by_another(cell):
            raise SystemExit(f"{cell.name}: {bench.begun_by_another(cell)}")
    pool = ThreadPoolExecutor(jobs)
    try:
        for number, (cell, wrong) in enumerate(zip(todo, pool.map(bench.run, todo)), 1):
            failed += wrong is not None
            print(f"{number} of {len(todo)}: {cell.name}{': ' + wrong if wrong else ''}", file=sys.stderr, flush=True)
    finally:  # after an interrupt, too: what has not begun does not begin
        pool.shutdown(cancel_futures=True)
    return failed


def results_of(bench, cells):
    return [bench.result(cell) for cell in sorted(set(cells)) if bench.is_done(cell)]


def main():
    options = arguments()
    sources = {"cifar10": options.cifar10, "fashion": options.fashion}
    sources = {data: path for data, path in sources.items() if path}
    if not sources:
        raise SystemExit("found neither --cifar10 DIR nor --fashion DIR, expected one at least")
    for data in {"cifar10", "fashion"} - set(sources):
        print(f"*** NOT ON {data.upper()}: no --{data} DIR ***", file=sys.stderr)
    folder = options.out or os.path.join("build/bench-search", git_id())
    bench = Bench(folder, options.nasrun, options.placebo, sources)
    blocks = [(data, seconds) for seconds in options.seconds for data in sources]
    for data in sources:
        bench.write_job(data)

    selection_seeds = range(SELECTION_SEEDS + 1, SELECTION_SEEDS + options.selection + 1)
    selection = [
        Cell(*block, arm, seed) for seed in selection_seeds for block in blocks for arm in options.static
    ] * (len(options.static) > 1)
    run = (lambda cells: 0) if options.table else (lambda cells: run_all(bench, cells, options.jobs))
    failed = run(selection)
    static = {block: table.best_static(results_of(bench, selection), block, options.static) for block in blocks}
    arms = {block: sorted({options.primary, *options.arms, static[block]}) for block in blocks}
    main_cells = [
        Cell(*block, arm, seed)
        for seed in range(1, options.seeds + 1)
        for block in blocks
        for arm in arms[block]
    ]
    failed += run(main_cells)

    results = results_of(bench, selection + main_cells)
    write_whole(bench.path("results.jsonl"), "".join(json.dumps(result) + "\n" for result in results))
    text = table.make([r for r in results if r["seed"] <= options.seeds], static, options.primary)
    missing = len(set(selection + main_cells)) - len(results)
    if missing:
        text += f"\n{missing} cells are missing.\n"
    write_whole(bench.path("table.md"), text)
    print(text)
    print(f"{bench.path('results.jsonl')}: a line a cell", file=sys.stderr)
    return failed > 0 or missing > 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")
