#!/usr/bin/env python3
"""check_predictions.py RUN: a run folder's predictions.csv, splits.csv and report.json beside each other and beside
scikit-learn: accuracy, log loss, top-5 accuracy, ROC AUC and average precision of each class and their means, the expected
calibration error in 15 bins, and the temperatures, which are searched for on a fine grid. Exit status 0: the same, 1: not."""
import csv
import json
import sys

import numpy as np
from sklearn.metrics import (accuracy_score, average_precision_score, confusion_matrix, log_loss, roc_auc_score,
                             top_k_accuracy_score)
from sklearn.preprocessing import label_binarize


def near(what, found, expected, tolerance=1e-6):
    if not abs(found - expected) <= tolerance * max(1.0, abs(expected)):
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")


def softened(probabilities, temperature):
    """p^(1/T), normalised."""
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def calibration_error(probabilities, labels):
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * 15) - 1, 0, 14)
    return sum(abs((right[bins == b] - confidence[bins == b]).sum()) for b in range(15)) / len(labels)


def by_grid(probabilities, labels):
    """The temperature with the least log loss, and the guess that it is near 1."""
    grid = np.exp(np.arange(np.log(0.05), np.log(20), 1e-3))
    rows = np.arange(len(labels))
    costs = [-np.log(softened(probabilities, t)[rows, labels]).sum() + np.log(t) ** 2 / 2 for t in grid]
    return grid[int(np.argmin(costs))]


def read_table(path, classes):
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    names = [name[2:] for name in rows[0] if name.startswith("p_")]
    if classes is not None and names != classes:
        sys.exit(f"{path}: classes {names}, expected {classes}")
    return rows


def main(run):
    with open(f"{run}/report.json", encoding="utf-8") as stream:
        report = json.load(stream)
    classes = [row["name"] for row in report["classes"]]
    rows = read_table(f"{run}/predictions.csv", classes)
    splits = {row["image"]: row for row in read_table(f"{run}/splits.csv", None)}
    for row in rows:
        other = splits[row["image"]]
        if any(row[key] != other[key] for key in ("hash", "split", "class")):
            sys.exit(f"{row}: splits.csv has {other}")
    counts = {split: sum(row["split"] == split for row in splits.values()) for split in ("train", "validation", "test")}
    if any(counts[split] != report["dataset"][split] for split in counts):
        sys.exit(f"splits.csv: {counts}, expected {report['dataset']}")

    def part(choose):
        chosen = [row for row in rows if choose(row)]
        labels = np.array([classes.index(row["class"]) for row in chosen])
        answers = np.array([[float(row["p_" + name]) for name in classes] for row in chosen]).reshape(len(chosen), -1)
        return labels, answers, [classes.index(row["predicted"]) for row in chosen]

    labels, answers, predicted = part(lambda row: row["split"] == "test")
    near("accuracy", report["accuracy"], accuracy_score(labels, predicted))
    if confusion_matrix(labels, predicted, labels=range(len(classes))).tolist() != report["confusion"]:
        sys.exit("confusion: another")
    if (answers.argmax(axis=1) != predicted).sum() > 0:
        sys.exit("predicted: not the most probable")
    near("sums", abs(answers.sum(axis=1) - 1).max(), 0.0, 1e-5)
    exact = answers / answers.sum(axis=1, keepdims=True)
    calibration = report["calibration"]
    near("log loss", calibration["loss"], log_loss(labels, exact, labels=range(len(classes))), 1e-5)
    near("calibration error", calibration["error"], calibration_error(answers, labels), 1e-5)
    before = softened(exact, 1 / calibration["temperature"])
    near("log loss before", calibration["loss_before"], log_loss(labels, before, labels=range(len(classes))), 1e-4)
    near("calibration error before", calibration["error_before"], calibration_error(before, labels), 1e-3)
    if len(classes) > 5:
        near("top 5", report["top5_accuracy"], top_k_accuracy_score(labels, exact, k=5, labels=range(len(classes))), 1e-4)

    table = label_binarize(labels, classes=range(len(classes)))
    table = np.hstack([1 - table, table]) if len(classes) == 2 else table
    for key, score in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
        for k, row in enumerate(report["classes"]):
            near(f"{key} of {row['name']}", row[key], score(table[:, k], answers[:, k]))
        near(f"{key}, macro", report["macro_average"][key], score(table, answers, average="macro"))
        near(f"{key}, weighted", report["weighted_average"][key], score(table, answers, average="weighted"))

    # The temperature from what was before it, of the images that it was found with.
    labels, answers, _ = part(lambda row: row["split"] == "validation" and int(row["views"]) == report["views"])
    if len(labels) != calibration["images"]:
        sys.exit(f"{len(labels)} validation images in {report['views']} views, expected {calibration['images']}")
    found = by_grid(softened(answers, 1 / calibration["temperature"]), labels)
    near("temperature", calibration["temperature"], found, 3e-3)
    print(f"{run}: as scikit-learn's; log loss {calibration['loss_before']:.4f} -> {calibration['loss']:.4f}, calibration "
          f"error {calibration['error_before']:.4f} -> {calibration['error']:.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
