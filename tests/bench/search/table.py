"""The bench's table, from the lines of results.jsonl."""

import paired

MARGIN = 0.2  # points by which the arm may be worse and still be "not worse"


def best_static(results, block, arms):
    """The arm with the best mean test accuracy on the seeds of the choice; the earlier of equals; the only one."""

    def score(arm):
        correct = [r["correct"] for r in results if (r["data"], r["seconds"], r["arm"]) == (*block, arm)]
        return paired.mean(correct) if correct else -1

    return max(arms, key=score)


def pairs(results, block, first, second):
    """Differences in images, seed by seed, of the seeds that both have."""
    of = {
        arm: {r["seed"]: r["correct"] for r in results if (r["data"], r["seconds"], r["arm"]) == (*block, arm)}
        for arm in (first, second)
    }
    return [of[first][seed] - of[second][seed] for seed in sorted(of[first].keys() & of[second].keys())]


def points(images, of):
    return 100.0 * images / of


def comparison(differences, test_images):
    """n, mean and interval in points, p."""
    low, high = paired.bootstrap(differences)
    return (
        len(differences),
        points(paired.mean(differences), test_images),
        points(low, test_images),
        points(high, test_images),
        paired.sign_flip(differences),
    )


def figures(n, middle, low, high):
    return str(n), f"{middle:+.2f}", f"{low:+.2f} to {high:+.2f}"


def row(*columns):
    return "| " + " | ".join(columns) + " |\n"


def header(*columns):
    return row(*columns) + row(*["---"] * len(columns))


def primary(results, blocks, static, arm):
    """The arm against the best static one: each block, and all of them in one test."""
    text = header("data", "seconds", "best static", "n", "points", "95 %", "p", f"not worse by {MARGIN}")
    together, size = [], None
    for block in blocks:
        differences = pairs(results, block, arm, static[block])
        if not differences or arm == static[block]:
            continue
        size = results[0]["test_images"]
        together += differences
        n, middle, low, high, p = comparison(differences, size)
        verdict = "yes" if low > -MARGIN else "no"
        text += row(block[0], f"{block[1]:g}", static[block], *figures(n, middle, low, high), f"{p:.4f}", verdict)
    if len(blocks) > 1 and together:
        n, middle, low, high, p = comparison(together, size)
        text += row("all", "", "", *figures(n, middle, low, high), f"**{p:.4f}**", "")
    return text


def secondary(results, blocks, static, arm):
    """The arm against each other one, over all blocks; p by Holm."""
    others = sorted({r["arm"] for r in results} - {arm} - set(static.values()))
    others += sorted(set(static.values()) & {"none"})
    found = []
    for other in others:
        differences = [d for block in blocks for d in pairs(results, block, arm, other)]
        if differences:
            found.append((other, comparison(differences, results[0]["test_images"])))
    adjusted = paired.holm([values[-1] for _, values in found])
    text = header(f"{arm} against", "n", "points", "95 %", "p", "p, Holm")
    for (other, (n, middle, low, high, p)), holm in zip(found, adjusted):
        text += row(other, *figures(n, middle, low, high), f"{p:.4f}", f"{holm:.4f}")
    return text


def arms(results, blocks, static):
    """What each arm did by itself."""
    text = header(
        "data", "seconds", "arm", "n", "test", "validation", "best candidate", "candidates", "in final weights",
        "x FLOPs of none",
        "reached - predicted",
    )
    for block in blocks:
        here = [r for r in results if (r["data"], r["seconds"]) == block]
        none = [r["train_flops"] for r in here if r["arm"] == "none"]
        for arm in sorted({r["arm"] for r in here}):
            rows = [r for r in here if r["arm"] == arm]
            test = [100.0 * r["test_accuracy"] for r in rows]
            best = [r["best_candidate"] for r in rows if r["best_candidate"] is not None]
            missed = [100.0 * (y - x) for r in rows for x, y in r["predicted_and_reached"]]
            text += row(
                block[0], f"{block[1]:g}", arm + (" (best static)" if static[block] == arm else ""), str(len(rows)),
                f"{paired.mean(test):.2f} ± {paired.deviation(test):.2f}",
                f"{100.0 * paired.mean([r['validation_accuracy'] for r in rows]):.2f}",
                f"{100.0 * paired.mean(best):.2f}" if best else "-",
                f"{paired.mean([r['candidates'] for r in rows]):.1f}",
                f"{100.0 * paired.mean([r['share_in_final'] for r in rows]):.0f} %",
                f"{paired.mean([r['train_flops'] for r in rows]) / none[0]:.2f}" if none else "-",
                f"{paired.mean(missed):+.2f} ± {paired.deviation(missed):.2f}" if missed else "-",
            )
    return text


def make(results, static, arm):
    """All of it. `static`: by block, data and seconds, the best static arm. One size of test set for all."""
    blocks = sorted(static)
    assert len({r["test_images"] for r in results}) <= 1, "differences in images need test sets of one size"
    return (
        f"Primary comparison, declared before: {arm} against the best static arm (no search), chosen on other seeds.\n"
        "Points of test accuracy, paired by seed; p: one-sided exact sign-flip permutation test; 95 %: exact\n"
        "bootstrap over seeds.\n\n"
        + primary(results, blocks, static, arm)
        + "\nSecondary:\n\n"
        + secondary(results, blocks, static, arm)
        + "\nArms (mean ± deviation over seeds, per cent):\n\n"
        + arms(results, blocks, static)
    )
