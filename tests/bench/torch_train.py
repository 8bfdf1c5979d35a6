"""How many images a second PyTorch trains bench_train's networks with.

    torch_train.py --check DEVICE                              says which PyTorch there is; status 1 without one
    torch_train.py DEVICE MODE THREADS BATCH[,...] SECONDS NET[:28][,...]

prints a line "NET BEST MEDIAN FORMAT BATCH" for each network and batch, images a second. DEVICE: cpu, cuda:N. MODE: eager;
compile (torch.compile, kernels fused; needs a C++ compiler); reduce-overhead (the same, replayed from a CUDA Graph); cudagraphs
(torch.compile, its own kernels replayed from a CUDA Graph). On a CPU a mode may end with -bf16: autocast; without it all is
float32. The networks are those of host/net/start.c, layer by layer. A step is forward, loss, backward and SGD with Nesterov
momentum and weight decay on a batch that lies in memory; that of air also shifts and mirrors its batch, image by image, as its
scripts do. On a GPU in bf16 by autocast, channels last, with the fused optimizer where there is one. On a CPU both memory formats
are measured for SECONDS each; the one with the better best step is printed.
"""
import contextlib
import inspect
import sys
import time

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError as problem:
    print(f"torch_train.py: {problem}", file=sys.stderr)
    sys.exit(1)

CLASSES = 10
LEAST_TIMES = 3
GPU_STEPS = 20  # timed as one, as bench_train does: a GPU's steps are only queued


def conv(inputs, outputs, kernel=3, stride=1, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)


def norm_relu(channels):
    return [nn.BatchNorm2d(channels), nn.ReLU()]


def head(*layers):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers]


def cnn(channels):
    layers = []
    for _ in range(3):
        layers += [conv(channels, 64, bias=True), *norm_relu(64), nn.MaxPool2d(2)]
        channels = 64
    return nn.Sequential(*layers, *head(nn.Dropout(0.25), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES)))


def lean(channels):
    layers = [conv(channels, 32), *norm_relu(32)]
    for inputs, outputs, pooled in ((32, 32, True), (32, 64, True), (64, 128, False), (128, 128, True), (128, 256, False)):
        layers += [conv(inputs, outputs), *([nn.MaxPool2d(2)] if pooled else []), *norm_relu(outputs)]
    return nn.Sequential(*layers, *head(nn.Linear(256, CLASSES)))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.branch = nn.Sequential(
            conv(inputs, outputs, 3, stride), *norm_relu(outputs), conv(outputs, outputs), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return functional.relu(self.branch(x) + self.shortcut(x))


def resnet(channels):
    layers = [conv(channels, 64), *norm_relu(64)]
    inputs = 64
    for outputs in (64, 128, 256, 512):
        layers += [Block(inputs, outputs, 1 if inputs == outputs else 2), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, *head(nn.Linear(512, CLASSES)))


class Identity(nn.Module):
    """What a branch is added to."""

    def __init__(self, *branch):
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x):
        return x + self.branch(x)


def res9(channels):
    layers = [conv(channels, 32), *norm_relu(32)]
    for stage, width in enumerate((64, 128, 256), 1):
        layers += [conv(width // 2, width), nn.MaxPool2d(2), *norm_relu(width)]
        if stage != 2:
            layers.append(Identity(conv(width, width), *norm_relu(width), conv(width, width), *norm_relu(width)))
    return nn.Sequential(*layers, *head(nn.Linear(256, CLASSES)))


def norm_gelu(channels):
    norm = nn.BatchNorm2d(channels)
    norm.weight.requires_grad = False
    return [norm, nn.GELU()]


def air(channels):
    whitening = nn.Conv2d(channels, 8 * channels, 2, bias=False)
    whitening.weight.requires_grad = False
    layers, inputs = [whitening, nn.GELU()], 8 * channels
    for outputs in (64, 256, 256):
        layers += [conv(inputs, outputs), nn.MaxPool2d(2), *norm_gelu(outputs), conv(outputs, outputs), *norm_gelu(outputs)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(256, CLASSES))


def augmented(padded, side, memory_format):
    """A batch out of one with reflected edges: each image shifted by up to two pixels, half of them mirrored."""
    count = len(padded)
    shift = torch.randint(0, 5, (count, 2))
    batch = torch.empty(count, padded.shape[1], side, side)
    for y in range(5):
        for x in range(5):
            chosen = (shift[:, 0] == y) & (shift[:, 1] == x)
            batch[chosen] = padded[chosen][:, :, y:y + side, x:x + side]
    mirrored = torch.rand(count) < 0.5
    batch[mirrored] = batch[mirrored].flip(3)
    return batch.contiguous(memory_format=memory_format)


WAYS = {
    "eager": lambda net: net,
    "compile": torch.compile,
    "reduce-overhead": lambda net: torch.compile(net, mode="reduce-overhead"),
    "cudagraphs": lambda net: torch.compile(net, backend="cudagraphs"),
}
NETS = {"cnn": cnn, "lean": lean, "resnet": resnet, "res9": res9, "air": air}
AUGMENTED = (air,)  # on a CPU; bench_train augments always


def step_times(make, device, mode, batch, channels, side, memory_format, seconds):
    torch.manual_seed(0)
    gpu = device.startswith("cuda")
    half = gpu or mode.endswith("-bf16")
    together = GPU_STEPS if gpu else 1
    net = make(channels).to(device=device, memory_format=memory_format)
    forward = WAYS[mode.removesuffix("-bf16")](net)
    images = torch.randn(batch, channels, side, side, device=device).contiguous(memory_format=memory_format)
    padded = functional.pad(images, (2,) * 4, mode="reflect") if make in AUGMENTED and not gpu else None
    labels = torch.randint(0, CLASSES, (batch,), device=device)
    fused = {"fused": True} if gpu and "fused" in inspect.signature(torch.optim.SGD).parameters else {}
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, 1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4, **fused)
    precision = torch.autocast("cuda" if gpu else "cpu", torch.bfloat16) if half else contextlib.nullcontext()
    times = []
    start = time.perf_counter()
    while len(times) < LEAST_TIMES + 1 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        for _ in range(together):
            optimizer.zero_grad(set_to_none=True)
            if padded is not None:
                images = augmented(padded, side, memory_format)
            with precision:
                loss = functional.cross_entropy(forward(images).float(), labels, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
        if gpu:
            torch.cuda.synchronize(device)
        times.append((time.perf_counter() - before) / together)
        if len(times) == 1:
            start = time.perf_counter()
    return sorted(times[1:])  # the first warms up, and compiles


def check(device):
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            sys.exit(f"torch_train.py: PyTorch {torch.__version__} sees no GPU")
        print(f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    else:
        print(f"PyTorch {torch.__version__}, {'with' if torch.backends.mkldnn.is_available() else 'without'} oneDNN")


def measure(device, mode, batch, seconds, text):
    name, _, size = text.partition(":")
    channels, side = (1, 28) if size == "28" else (3, 32)
    formats = {"nhwc": torch.channels_last}
    if not device.startswith("cuda"):
        formats["nchw"] = torch.contiguous_format
    results = []
    for label, memory_format in formats.items():
        times = step_times(NETS[name], device, mode, batch, channels, side, memory_format, seconds)
        results.append((batch / times[0], batch / times[len(times) // 2], label))
    best, median, label = max(results)
    print(f"{name} {best:.1f} {median:.1f} {label} {batch}", flush=True)


def main():
    if sys.argv[1] == "--check":
        check(sys.argv[2])
        return
    device, mode, threads, batches, seconds, nets = sys.argv[1:7]
    torch.set_num_threads(int(threads))
    torch.backends.cudnn.benchmark = True
    for net in nets.split(","):
        for batch in batches.split(","):
            measure(device, mode, int(batch), float(seconds), net)
            if mode != "eager":
                torch._dynamo.reset()  # a shape of its own for each batch, not one for all


main()
