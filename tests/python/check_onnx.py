"""ONNX files as onnxruntime runs them: check_onnx.py DIR, with N.onnx and N.answers as test_onnx --write makes them, or
check_onnx.py FILE..., which need only be valid and run; the name of what is wrong, and status 1. With --int8 before
DIR answers are those of whole numbers, which onnxruntime rounds in another way: they differ by a step of a code here and
there, and so are close in the mean."""

import os
import sys

import numpy
import onnx
import onnxruntime

IMAGES = 2
# Relative to the largest probability, as float32 sums in another order; of several labels, where all may be near 0, to
# what it is at least where there is one.
TOLERANCE = 1e-5
INT8_MEAN = 2e-3  # of the differences of networks whose weights are of chance


def session_of(path):
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def difference_of(path, session):
    shape = [IMAGES, *session.get_inputs()[0].shape[1:]]
    count = int(numpy.prod(shape))
    data = open(path.removesuffix("onnx") + "answers", "rb").read()
    pixels = numpy.frombuffer(data[:count], numpy.uint8).reshape(shape)
    expected = numpy.frombuffer(data[count:], numpy.float64).reshape(IMAGES, -1)
    found = session.run(None, {"images": pixels})[0]
    return numpy.abs(found - expected).max() / max(expected.max(), 1 / expected.shape[1])


def check_answers(path, session):
    difference = difference_of(path, session)
    if not difference <= TOLERANCE:
        sys.exit(f"{path}: differs by {difference}, expected at most {TOLERANCE}")
    return difference


def main():
    coded = sys.argv[1] == "--int8"
    if coded:
        del sys.argv[1]
    if os.path.isdir(sys.argv[1]):
        paths = [os.path.join(sys.argv[1], name) for name in sorted(os.listdir(sys.argv[1])) if name.endswith(".onnx")]
        if not paths:
            sys.exit(f"{sys.argv[1]}: no file")
        if coded:
            differences = [difference_of(p, session_of(p)) for p in paths]
            mean = sum(differences) / len(differences)
            print(f"{len(paths)} networks in int8, mean difference {mean:.2g}, largest {max(differences):.2g}")
            if not mean <= INT8_MEAN:
                sys.exit(f"{sys.argv[1]}: differs by {mean} in the mean, expected at most {INT8_MEAN}")
            return
        print(f"{len(paths)} networks, largest difference {max(check_answers(p, session_of(p)) for p in paths):.2g}")
        return
    for path in sys.argv[1:]:
        session = session_of(path)
        shape = [1, *session.get_inputs()[0].shape[1:]]
        found = session.run(None, {"images": numpy.zeros(shape, numpy.uint8)})[0]
        if session.get_modelmeta().custom_metadata_map.get("labels") == "several":
            if not ((found >= 0) & (found <= 1)).all():
                sys.exit(f"{path}: probabilities from {found.min()} to {found.max()}")
        elif abs(found.sum() - 1) > 1e-4:
            sys.exit(f"{path}: probabilities sum up to {found.sum()}")


main()
