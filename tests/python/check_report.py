#!/usr/bin/env python3
"""check_report.py RUN: compares the table of a run folder's report.txt with scikit-learn's classification_report, made from
the confusion matrix that the journal holds or, of several labels, from predictions.csv. Exit status 0: the same, 1: not."""
import csv
import json
import sys

import numpy as np
from sklearn.metrics import classification_report


def of_labels(run, names):
    """The test images' labels, and those that are given, as indicators."""
    with open(f"{run}/predictions.csv", newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    return [np.array([[name in row[key].split("|") for name in names] for row in rows], dtype=int)
            for key in ("labels", "predicted")]


def of_confusion(confusion):
    truth, predicted = [], []
    for row, counts in enumerate(confusion):
        for column, count in enumerate(counts):
            truth += [row] * count
            predicted += [column] * count
    return truth, predicted


def main(run):
    tests, names = [], []
    with open(f"{run}/journal.jsonl", encoding="utf-8") as stream:
        for line in stream:
            event = json.loads(line)
            if event["event"] == "run":
                names = event["dataset"]["class_names"]
            if event["event"] == "test":
                tests.append(event)
    confusion = tests[-1].get("confusion")
    truth, predicted = of_confusion(confusion) if confusion is not None else of_labels(run, names)
    expected = classification_report(truth, predicted, labels=list(range(len(names))), target_names=names, digits=4,
                                     zero_division=0)
    with open(f"{run}/report.txt", encoding="utf-8") as stream:
        report = stream.read()
    if not report.startswith(expected):
        sys.exit(f"{run}/report.txt:\n{report}\nscikit-learn's:\n{expected}")
    print(f"{run}/report.txt: as scikit-learn's, {len(truth)} images")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
