"""The macro average of report.json is over the classes that occur among the test images or the answers, as scikit-learn's.

A class that was neither has support, precision and recall 0; its confusion is the last test event of the journal.
"""
import json
import os
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    report = json.load(file)
with open(os.path.join(os.path.dirname(sys.argv[1]), "journal.jsonl"), encoding="utf-8") as file:
    tests = [event for event in map(json.loads, file) if event["event"] == "test"]
confusion = tests[-1]["confusion"]
count = len(confusion)
recalls = []
for k in range(count):
    support, answered = sum(confusion[k]), sum(row[k] for row in confusion)
    if support + answered > 0:
        recalls.append(confusion[k][k] / support if support else 0.0)
assert len(recalls) >= 2
assert abs(report["macro_average"]["recall"] - sum(recalls) / len(recalls)) < 1e-9
