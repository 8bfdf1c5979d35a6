#!/usr/bin/env python3
"""check_safetensors.py MODEL.safetensors: reads a model file with the safetensors package, as a stranger would, and
compares what it finds with the graph in the metadata and with the raw bytes. Exit status 0: all is as promised, 1: it is
not, 77: skipped, because the packages numpy and safetensors are missing."""
import json
import struct
import sys

try:
    import numpy
    from safetensors import safe_open
except ImportError as missing:
    print(f"SKIPPED: check_safetensors.py compared NOTHING: {missing} (pip install numpy safetensors)", file=sys.stderr)
    sys.exit(77)


def expected_names(graph):
    """The tensors that the graph's layers have, in the order of the file."""
    roles = {"conv": ["weight"], "dense": ["weight"],
             "batch_norm": ["weight", "bias", "running_mean", "running_var"]}
    for layer in graph["layers"]:
        for role in roles.get(layer["kind"], []):
            yield f"layers.{layer['id']}.{role}", layer
        if layer["kind"] in ("conv", "dense") and layer.get("bias", False):
            yield f"layers.{layer['id']}.bias", layer


def check_frozen(name, layer, tensor):
    """What is not trained is to the last bit as it began, also in networks with many ancestors."""
    if layer["kind"] == "batch_norm":
        # Channels of one that a morph has put in began as the identity, with the scale that makes up for the epsilon
        # (morph_edit.c); those that a widening added to it began at 1.
        identity = float.fromhex("0x1.ffe3e2p-1")
        assert ((tensor == 1) | (tensor == identity)).all(), f"{name}: a frozen scale is not as it began"
    elif layer.get("init") == "whiten":
        half = len(tensor) // 2
        assert (tensor[half:] == -tensor[:half]).all(), f"{name}: not filters and their negatives"
        filters = tensor[:half].reshape(half, -1).astype(numpy.float64)
        products = filters @ filters.T
        sizes = numpy.sqrt(numpy.diag(products))
        assert (sizes > 0).all(), f"{name}: a filter of zeros"
        between = products / sizes / sizes[:, None] - numpy.eye(half)
        assert abs(between).max() < 1e-5, f"{name}: filters that are not orthogonal"


def check(path):
    with open(path, "rb") as stream:
        raw = stream.read()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + length])
    data = raw[8 + length:]
    assert length % 8 == 0, f"header of {length} bytes, expected a multiple of 8"
    with safe_open(path, framework="np") as model:
        metadata = model.metadata()
        assert metadata["format"] == "nasrun-1", metadata["format"]
        graph = json.loads(metadata["graph"])
        classes = json.loads(metadata["class_names"])
        channels = graph["input"][0]
        assert len(json.loads(metadata["mean"])) == channels
        assert len(json.loads(metadata["deviation"])) == channels
        assert graph["layers"][-1]["out"] == len(classes), "classes and outputs differ"
        names = dict(expected_names(graph))
        assert set(names) == set(model.keys()), set(names) ^ set(model.keys())
        begin = 0
        for name, layer in names.items():
            tensor = model.get_tensor(name)
            assert tensor.dtype == numpy.float32, f"{name}: {tensor.dtype}"
            assert header[name]["data_offsets"] == [begin, begin + tensor.nbytes], f"{name}: a gap or another order"
            assert tensor.tobytes() == data[begin:begin + tensor.nbytes], f"{name}: other bytes"
            assert numpy.isfinite(tensor).all(), f"{name}: not finite"
            if name.endswith(".weight") and layer["kind"] != "batch_norm":
                assert tensor.shape[0] == layer["out"], f"{name}: {tensor.shape}"
                assert tensor.ndim == 4 or (layer["kind"] == "dense" and tensor.ndim == 2), f"{name}: {tensor.shape}"
            else:
                assert tensor.ndim == 1, f"{name}: {tensor.shape}"
            if layer.get("frozen") and name.endswith(".weight"):
                check_frozen(name, layer, tensor)
            begin += tensor.nbytes
        assert begin == len(data), f"{len(data)} bytes of data, expected {begin}"
    print(f"{path}: {len(names)} tensors, {begin // 4} values, {len(classes)} classes: ok")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        check(sys.argv[1])
    except AssertionError as found:
        sys.exit(f"{sys.argv[1]}: {found}")
