"""The averages of report.json are over the classes that occur among the test images or the answers, as scikit-learn's."""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    report = json.load(file)
print(json.dumps(report, indent=1)[:800])
confusion = report["confusion"]
count = len(confusion)
recalls = []
for k in range(count):
    support, answered = sum(confusion[k]), sum(row[k] for row in confusion)
    if support + answered > 0:
        recalls.append(confusion[k][k] / support if support else 0.0)
assert len(recalls) >= 2
assert abs(report["macro_avg"]["recall"] - sum(recalls) / len(recalls)) < 1e-9
