"""Classifiers as others write them, with random weights: make_classifiers.py DIR writes NAME.onnx and NAME.answers for
`test_onnx --read`. The answers are onnxruntime's logits for IMAGES images of bytes; a network sees value / 255.
Each family is small, and each writes its file in another of the ways that files are written in.
make_classifiers.py DIR FILE.onnx does the same for a file that is there, with its weights."""

import os
import sys

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../samples/pretrained"))
import convert

CHANNELS, SIDE, CLASSES, IMAGES = 3, 16, 10, 2


class Network:
    """Nodes and weights in the making; a value is its name."""

    def __init__(self, seed, opset, how="raw"):
        self.random = numpy.random.default_rng(seed)
        self.opset, self.how = opset, how
        self.nodes, self.tensors = [], []

    def name(self, word):
        return f"{word}_{len(self.nodes) + len(self.tensors)}"

    def node(self, operation, *inputs, **attributes):
        output = self.name(operation)
        self.nodes.append(helper.make_node(operation, list(inputs), [output], name=output, **attributes))
        return output

    def ints(self, *values):
        name = self.name("ints")
        self.tensors.append(numpy_helper.from_array(numpy.array(values, numpy.int64), name))
        return name

    def floats(self, values):
        """By how the network keeps its weights: raw, in the list of their type, by Constant, as float16 or float64."""
        values, name = numpy.asarray(values, numpy.float32), self.name("weight")
        if self.how == "list":
            self.tensors.append(helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.flatten().tolist()))
        elif self.how == "constant":
            return self.node("Constant", value=numpy_helper.from_array(values, "value"))
        elif self.how in ("half", "double"):
            kind = numpy.float16 if self.how == "half" else numpy.float64
            self.tensors.append(numpy_helper.from_array(values.astype(kind), name))
            return self.node("Cast", name, to=TensorProto.FLOAT)
        else:
            self.tensors.append(numpy_helper.from_array(values, name))
        return name

    def normal(self, *shape, fan):
        return self.floats(self.random.normal(0, numpy.sqrt(2 / fan), shape))

    def conv(self, x, inputs, outputs, kernel=3, stride=1, groups=1, bias=False, **pads):
        weights = [self.normal(outputs, inputs // groups, kernel, kernel, fan=inputs // groups * kernel**2)]
        if bias:
            weights.append(self.floats(self.random.normal(0, 0.1, outputs)))
        if not pads:
            pads = {"pads": [kernel // 2] * 4}
        return self.node("Conv", x, *weights, kernel_shape=[kernel] * 2, strides=[stride] * 2, group=groups, **pads)

    def norm(self, x, channels, epsilon=1e-3):
        weights = [self.random.uniform(0.5, 1.5, channels), self.random.normal(0, 0.2, channels),
                   self.random.normal(0, 0.2, channels), self.random.uniform(0.5, 2, channels)]
        return self.node("BatchNormalization", x, *map(self.floats, weights), epsilon=epsilon)

    def relu(self, x):
        return self.node("Relu", x)

    def relu6(self, x):
        if self.opset < 11:
            return self.node("Clip", x, min=0.0, max=6.0)
        return self.node("Clip", x, self.floats(0.0), self.floats(6.0))

    def silu(self, x):
        return self.node("Mul", x, self.node("Sigmoid", x))

    def gemm(self, x, inputs, outputs):
        bias = self.floats(self.random.normal(0, 0.1, outputs))
        return self.node("Gemm", x, self.normal(outputs, inputs, fan=inputs), bias, transB=1)

    def flatten_by_shape(self, x):
        """As tracing writes x.view(x.size(0), -1)."""
        index = self.node("Constant", value=numpy_helper.from_array(numpy.array(0, numpy.int64), "value"))
        batch = self.node("Gather", self.node("Shape", x), index, axis=0)
        axes = {"axes": [0]} if self.opset < 13 else {}
        batch = self.node("Unsqueeze", batch, *([] if axes else [self.ints(0)]), **axes)
        return self.node("Reshape", x, self.node("Concat", batch, self.ints(-1), axis=0))

    def write(self, folder, name, logits, softmax=False, inputs_too=False):
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", CHANNELS, SIDE, SIDE])
        inputs = [image]
        if inputs_too:
            inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.tensors]
        answers = None
        for with_softmax in [False, True] if softmax else [False]:
            output = self.node("Softmax", logits, axis=1) if with_softmax else logits
            end = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", CLASSES])
            graph = helper.make_graph(self.nodes, name, inputs, [end], self.tensors)
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
            model.ir_version = 8
            onnx.checker.check_model(model, full_check=True)
            if answers is None:
                answers = answers_of(model, name)
        onnx.save(model, os.path.join(folder, name + ".onnx"))
        with open(os.path.join(folder, name + ".answers"), "wb") as file:
            file.write(answers)


def answers_of(model, name, image=(CHANNELS, SIDE, SIDE)):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    shape = (IMAGES, *image)
    pixels = numpy.random.default_rng(len(name)).integers(0, 256, shape, numpy.uint8)
    logits = session.run(None, {"image": (pixels / 255).astype(numpy.float32)})[0]
    return pixels.tobytes() + logits.astype(numpy.float64).tobytes()


# ---- the families ----


def resnet(folder):
    net = Network(1, 11)

    def block(x, inputs, outputs, stride):
        y = net.relu(net.norm(net.conv(x, inputs, outputs, stride=stride), outputs))
        y = net.norm(net.conv(y, outputs, outputs), outputs)
        if stride > 1 or inputs != outputs:
            x = net.norm(net.conv(x, inputs, outputs, kernel=1, stride=stride), outputs)
        return net.relu(net.node("Add", y, x))

    x = net.relu(net.norm(net.conv("image", CHANNELS, 8, kernel=7, stride=2), 8))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for inputs, outputs, stride in ((8, 8, 1), (8, 8, 1), (8, 12, 2), (12, 12, 1), (12, 16, 2), (16, 16, 1),
                                    (16, 24, 1), (24, 24, 1)):
        x = block(x, inputs, outputs, stride)
    x = net.flatten_by_shape(net.node("GlobalAveragePool", x))
    net.write(folder, "resnet", net.gemm(x, 24, CLASSES))


def vgg(folder):
    net = Network(2, 8, "list")
    x, inputs = "image", CHANNELS
    for outputs in (8, 12, 16):
        for _ in range(2):
            x = net.relu(net.conv(x, inputs, outputs, bias=True))
            inputs = outputs
        x = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("Flatten", x)
    for outputs in (32, 24):
        x = net.node("Dropout", net.relu(net.gemm(x, 64 if outputs == 32 else 32, outputs)), ratio=0.5)
    net.write(folder, "vgg", net.gemm(x, 24, CLASSES), softmax=True, inputs_too=True)


def densenet(folder):
    net = Network(3, 18, "half")
    x, channels = net.conv("image", CHANNELS, 8), 8
    for block in range(2):
        parts = [x]
        for _ in range(10):
            y = net.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
            y = net.conv(net.relu(net.norm(y, channels)), channels, 12, kernel=1)
            parts.append(net.conv(net.relu(net.norm(y, 12)), 12, 4))
            channels += 4
        x = net.relu(net.norm(net.node("Concat", *parts, axis=1), channels))
        if block == 0:
            x, channels = net.conv(x, channels, channels // 2, kernel=1), channels // 2
            x = net.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("ReduceMean", x, net.ints(-1, -2), keepdims=0)
    x = net.node("MatMul", x, net.normal(channels, CLASSES, fan=channels))
    net.write(folder, "densenet", net.node("Add", x, net.floats(net.random.normal(0, 0.1, CLASSES))))


def inverted(net, x, inputs, outputs, stride, act, gate=None):
    """An inverted residual block: wide, by depth, narrow."""
    wide = 4 * inputs
    y = act(net.norm(net.conv(x, inputs, wide, kernel=1), wide))
    y = act(net.norm(net.conv(y, wide, wide, stride=stride, groups=wide), wide))
    if gate is not None:
        y = gate(y, wide)
    y = net.norm(net.conv(y, wide, outputs, kernel=1), outputs)
    return net.node("Add", x, y) if stride == 1 and inputs == outputs else y


BLOCKS = ((8, 8, 1), (8, 12, 2), (12, 12, 1), (12, 16, 2), (16, 16, 1))


def mobilenet2(folder):
    net = Network(4, 10, "constant")
    x = net.relu6(net.norm(net.conv("image", CHANNELS, 8, stride=2), 8))
    for inputs, outputs, stride in BLOCKS:
        x = inverted(net, x, inputs, outputs, stride, net.relu6)
    x = net.node("GlobalAveragePool", net.relu6(net.norm(net.conv(x, 16, 32, kernel=1), 32)))
    x = net.conv(x, 32, CLASSES, kernel=1, bias=True)
    net.write(folder, "mobilenet2", net.node("Reshape", x, net.ints(0, -1)))


def efficientnet(folder):
    net = Network(5, 13)

    def squeeze(x, channels):
        y = net.node("GlobalAveragePool", x)
        y = net.silu(net.conv(y, channels, 4, kernel=1, bias=True))
        return net.node("Mul", net.node("Sigmoid", net.conv(y, 4, channels, kernel=1, bias=True)), x)

    x = net.silu(net.norm(net.conv("image", CHANNELS, 8, stride=2), 8))
    for inputs, outputs, stride in BLOCKS:
        x = inverted(net, x, inputs, outputs, stride, net.silu, squeeze)
    x = net.node("ReduceMean", net.silu(net.norm(net.conv(x, 16, 32, kernel=1), 32)), axes=[2, 3], keepdims=1)
    x = net.node("Squeeze", x, net.ints(3, 2))
    net.write(folder, "efficientnet", net.gemm(net.node("Dropout", x), 32, CLASSES))


def senet(folder):
    """Gates before the sum, of products and reshapes; groups, as ResNeXt has them."""
    net = Network(6, 12, "double")
    x = net.relu(net.norm(net.conv("image", CHANNELS, 16, stride=2), 16))
    for _ in range(3):
        y = net.relu(net.norm(net.conv(x, 16, 16, groups=4), 16))
        y = net.norm(net.conv(y, 16, 16, kernel=1), 16)
        gate = net.node("Flatten", net.node("GlobalAveragePool", y))
        gate = net.node("Sigmoid", net.gemm(net.relu(net.gemm(gate, 16, 4)), 4, 16))
        gate = net.node("Reshape", gate, net.ints(-1, 16, 1, 1))
        x = net.relu(net.node("Sum", net.node("Mul", y, gate), x))
    x = net.node("Flatten", net.node("GlobalMaxPool", x))
    net.write(folder, "senet", net.gemm(net.node("Identity", x), 16, CLASSES))


def padded(folder):
    """Padding as TensorFlow's, of strides of 2 and even kernels; hard-swish, whole and in parts."""
    net = Network(7, 14)

    def hard_swish(x):
        y = net.relu6(net.node("Add", x, net.floats(3.0)))
        return net.node("Div", net.node("Mul", x, y), net.floats(6.0))

    x = net.conv("image", CHANNELS, 8, stride=2, auto_pad="SAME_UPPER")
    x = net.node("HardSwish", net.norm(x, 8))
    x = hard_swish(net.norm(net.conv(x, 8, 8, groups=8, stride=2, pads=[0, 0, 1, 1]), 8))
    x = net.relu(net.norm(net.conv(x, 8, 12, kernel=2, auto_pad="SAME_LOWER"), 12))
    x = net.node("Flatten", net.node("GlobalAveragePool", net.conv(x, 12, 16, kernel=3, auto_pad="VALID")))
    net.write(folder, "padded", net.gemm(x, 16, CLASSES))


def lite(folder):
    """As samples/pretrained/convert.py writes it: normalisation in front, TensorFlow's padding."""
    net = Network(8, convert.OPSET)

    def weight_of(name, shape):
        if name.endswith("running_var"):
            return net.random.uniform(0.5, 2, shape)
        fan = numpy.prod(shape[1:]) if len(shape) > 1 else 1
        return net.random.normal(name.endswith("weight") and len(shape) == 1, numpy.sqrt(2 / fan) if fan > 1 else 0.2, shape)

    writer = convert.make(weight_of, 0.25, 1.0, SIDE, CLASSES)
    net.nodes, net.tensors = writer.nodes, writer.tensors
    net.write(folder, "lite", net.nodes[-1].output[0])


def real(folder, path):
    """One that convert.sh got, and onnxruntime's answers."""
    model = onnx.load(path)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    name = os.path.splitext(os.path.basename(path))[0]
    onnx.save(model, os.path.join(folder, name + ".onnx"))
    with open(os.path.join(folder, name + ".answers"), "wb") as file:
        file.write(answers_of(model, name, shape))


def main():
    if len(sys.argv) > 2:
        real(sys.argv[1], sys.argv[2])
        return
    for family in (resnet, vgg, densenet, mobilenet2, efficientnet, senet, padded, lite):
        family(sys.argv[1])


main()
