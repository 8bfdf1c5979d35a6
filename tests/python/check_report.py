#!/usr/bin/env python3
"""check_report.py RUN: compares the table of a run folder's report.txt with scikit-learn's classification_report, made from
the confusion matrix that the journal holds. Exit status 0: the same, 1: not."""
import json
import sys

from sklearn.metrics import classification_report


def main(run):
    tests, names = [], []
    with open(f"{run}/journal.jsonl", encoding="utf-8") as stream:
        for line in stream:
            event = json.loads(line)
            if event["event"] == "run":
                names = event["dataset"]["class_names"]
            if event["event"] == "test":
                tests.append(event)
    truth, predicted = [], []
    for row, counts in enumerate(tests[-1]["confusion"]):
        for column, count in enumerate(counts):
            truth += [row] * count
            predicted += [column] * count
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
