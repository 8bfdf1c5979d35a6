#!/usr/bin/env python3
"""check_labels.py RUN: of a run with several labels its predictions.csv, splits.csv, report.json and model beside each other
and beside scikit-learn: exact match, Hamming loss, counts and F1 of labels at the thresholds and at 0.5, losses, ROC AUC and
average precision, the calibration error, the temperature, which is searched for on a fine grid, and the thresholds, which
have the largest F1. Exit status 0: the same, 1: not."""
import csv
import json
import struct
import sys

import numpy as np
from sklearn.metrics import (accuracy_score, average_precision_score, f1_score, hamming_loss, multilabel_confusion_matrix,
                             precision_recall_curve, roc_auc_score)

TINY, LARGE = np.finfo(np.float32).tiny, 1 - 2.0**-25


def near(what, found, expected, tolerance=1e-6):
    if not abs(found - expected) <= tolerance * max(1.0, abs(expected)):
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")


def softened(probabilities, temperature):
    """sigmoid(logit / T)."""
    p = np.clip(probabilities, TINY, LARGE)
    return 1 / (1 + np.exp(-(np.log(p) - np.log1p(-p)) / temperature))


def loss_of(truth, probabilities):
    p = np.clip(probabilities, TINY, LARGE)
    return -np.where(truth, np.log(p), np.log1p(-p)).sum(axis=1).mean()


def calibration_error(truth, probabilities):
    bins = np.clip(np.ceil(probabilities * 15) - 1, 0, 14)
    return sum(abs((truth[bins == b] - probabilities[bins == b]).sum()) for b in range(15)) / truth.size


def thresholds_of(path, classes):
    with open(path, "rb") as stream:
        length = struct.unpack("<Q", stream.read(8))[0]
        about = json.loads(stream.read(length))["__metadata__"]
    if json.loads(about["class_names"]) != classes:
        sys.exit(f"{path}: other classes")
    return np.array(json.loads(about["label_thresholds"]))


def check_threshold(name, truth, probabilities, threshold, images):
    """No other has a larger F1, and it stands in the middle of two answers."""
    if truth.sum() != images:
        sys.exit(f"{name}: {images} images, expected {truth.sum()}")
    if images == 0:
        near(f"threshold of {name}", threshold, 0.5, 0)
        return
    precision, recall, steps = precision_recall_curve(truth, probabilities)
    best = max(2 * p * r / (p + r) for p, r in zip(precision, recall) if p + r > 0)
    near(f"F1 of {name}", f1_score(truth, probabilities >= threshold), best)
    steps = np.concatenate([[0.0], np.unique(steps)])
    near(f"middle of {name}", np.abs((steps[1:] + steps[:-1]) / 2 - threshold).min(), 0.0)


def main(run):
    with open(f"{run}/report.json", encoding="utf-8") as stream:
        report = json.load(stream)
    classes = [row["name"] for row in report["classes"]]
    tables = {}
    for name in ("predictions.csv", "splits.csv"):
        with open(f"{run}/{name}", newline="", encoding="utf-8") as stream:
            tables[name] = list(csv.DictReader(stream))
    rows, splits = tables["predictions.csv"], {row["image"]: row for row in tables["splits.csv"]}
    for row in rows:
        if any(row[key] != splits[row["image"]][key] for key in ("hash", "split", "labels")):
            sys.exit(f"{row}: splits.csv has {splits[row['image']]}")

    def part(choose):
        chosen = [row for row in rows if choose(row)]
        sets = [np.array([[name in row[key].split("|") for name in classes] for row in chosen])
                for key in ("labels", "predicted")]
        return sets[0], sets[1], np.array([[float(row["p_" + name]) for name in classes] for row in chosen])

    thresholds = thresholds_of(f"{run}/model.safetensors", classes)
    for row, threshold in zip(report["classes"], thresholds):
        near(f"threshold of {row['name']}", row["threshold"], threshold, 0)
    truth, given, answers = part(lambda row: row["split"] == "test")
    if ((answers >= thresholds) != given).any():
        sys.exit("predicted: not by the thresholds")
    half = answers >= 0.5
    near("accuracy", report["accuracy"], accuracy_score(truth, half))
    near("exact match", report["exact_match"], accuracy_score(truth, given))
    for key, answer in (("", given), ("_at_half", half)):
        near("Hamming loss" + key, report["hamming_loss" + key], hamming_loss(truth, answer))
        counts = multilabel_confusion_matrix(truth, answer).reshape(len(classes), 4).tolist()
        if counts != report["label_counts" + key]:
            sys.exit(f"label_counts{key}: {report['label_counts' + key]}, expected {counts}")
    near("micro F1 at 0.5", report["micro_f1_at_half"], f1_score(truth, half, average="micro", zero_division=0))
    near("macro F1 at 0.5", report["macro_f1_at_half"], f1_score(truth, half, average="macro", zero_division=0))
    for name in ("micro", "macro", "weighted", "samples"):
        near(f"F1, {name}", report[name + "_average"]["f1"], f1_score(truth, given, average=name, zero_division=0))
    calibration = report["calibration"]
    before = softened(answers, 1 / calibration["temperature"])
    near("loss", calibration["loss"], loss_of(truth, answers), 1e-5)
    near("calibration error", calibration["error"], calibration_error(truth, answers), 1e-5)
    near("loss before", calibration["loss_before"], loss_of(truth, before), 1e-4)
    near("calibration error before", calibration["error_before"], calibration_error(truth, before), 1e-3)
    for key, score in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
        for k, row in enumerate(report["classes"]):
            near(f"{key} of {row['name']}", row[key], score(truth[:, k], answers[:, k]))
        near(f"{key}, macro", report["macro_average"][key], score(truth, answers, average="macro"))
        near(f"{key}, weighted", report["weighted_average"][key], score(truth, answers, average="weighted"))

    truth, _, answers = part(lambda row: row["split"] == "validation" and int(row["views"]) == report["views"])
    if len(truth) != calibration["images"]:
        sys.exit(f"{len(truth)} validation images, expected {calibration['images']}")
    for k, row in enumerate(report["classes"]):
        check_threshold(row["name"], truth[:, k], answers[:, k], thresholds[k], row["threshold_images"])
    before = softened(answers, 1 / calibration["temperature"])
    grid = np.exp(np.arange(np.log(0.05), np.log(20), 1e-3))
    costs = [loss_of(truth, softened(before, t)) * len(truth) + np.log(t) ** 2 / 2 for t in grid]
    near("temperature", calibration["temperature"], grid[int(np.argmin(costs))], 3e-3)
    print(f"{run}: as scikit-learn's; exact match {report['accuracy']:.4f} at 0.5, {report['exact_match']:.4f} at thresholds")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
