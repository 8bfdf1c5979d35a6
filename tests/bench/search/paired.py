"""Statistics of paired differences, all exact: whole numbers are counted, nothing is drawn.

A difference is a whole number, of test images; so are its sums, and there are few of them: the distribution of a sum
over all 2^n choices of signs, or over all n^n resamples, is made by adding one difference after the other.
"""

from math import sqrt


def add_one(counts, steps):
    """The distribution of a sum with one term more, which is each of `steps` once."""
    wider = {}
    for value, count in counts.items():
        for step in steps:
            wider[value + step] = wider.get(value + step, 0) + count
    return wider


def sign_flip(differences):
    """One-sided: how often the sum is as large or larger when each difference could as well have had the other sign."""
    counts = {0: 1}
    for difference in differences:
        counts = add_one(counts, (difference, -difference))
    observed = sum(differences)
    return sum(count for value, count in counts.items() if value >= observed) / 2 ** len(differences)


def bootstrap(differences, level=0.95):
    """Percentile interval of the mean over all resamples of the pairs."""
    n = len(differences)
    counts = {0: 1}
    for _ in range(n):
        counts = add_one(counts, differences)
    tail, total, below, ends = (1.0 - level) / 2.0, n**n, 0, []
    for value in sorted(counts):
        below += counts[value]
        for share in (tail, 1.0 - tail)[len(ends) :]:
            if below >= share * total:
                ends.append(value / n)
    return ends[0], ends[1]


def holm(p_values):
    """Adjusted p-values, in the same order: all below a level may be called so together at that level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    """Of a sample; nan for one value."""
    if len(values) < 2:
        return float("nan")
    middle = mean(values)
    return sqrt(sum((value - middle) ** 2 for value in values) / (len(values) - 1))
