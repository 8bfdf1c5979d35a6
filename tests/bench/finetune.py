"""What the weights of samples/pretrained/convert.sh give in PyTorch, fine-tuned on a folder of photos per class:

    finetune.py WEIGHTS.onnx PHOTOS SECONDS [KEY=VALUE ...]

trains for SECONDS of the processor on one thread, in bf16 by autocast, and prints images a second and the accuracy on
the photos kept aside, plain and with mirrored views. Keys: side (pixels), rate (of the head), decay (of the rate, for
each of the 18 blocks from the head down), norm (train: batch norm's statistics go on; frozen: they stay), batch,
seed, scale (least share of an image that a crop takes), mode (tune; features: a logistic regression on the features
of the frozen network), average (decay of the weights' average), smoothing.
"""
import glob
import math
import os
import sys
import time

import numpy
import onnx
import torch
from onnx import numpy_helper
from PIL import Image
from torch import nn
from torch.nn import functional

STAGES = ((1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80), (3, 5, 1, 6, 80, 112),
          (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320))
TEST_SHARE = 0.185
KEYS = {"side": 128, "rate": 0.05, "decay": 0.85, "norm": "train", "batch": 32, "seed": 1, "scale": 0.5, "mode": "tune",
        "average": 0.0, "smoothing": 0.1}


class Conv(nn.Module):
    """Convolution with TensorFlow's padding, batch norm, ReLU6."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, 0, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.1)
        self.act = act

    def forward(self, x):
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        pads = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[3], x.shape[2])]
        x = functional.pad(x, [pads[0] // 2, pads[0] - pads[0] // 2, pads[1] // 2, pads[1] - pads[1] // 2])
        x = self.norm(self.conv(x))
        return functional.hardtanh(x, 0.0, 6.0) if self.act else x


class Block(nn.Module):
    def __init__(self, kernel, stride, expansion, inputs, outputs):
        super().__init__()
        wide = inputs * expansion
        parts = [Conv(inputs, wide)] if expansion > 1 else []
        parts += [Conv(wide, wide, kernel, stride, wide), Conv(wide, outputs, act=False)]
        self.parts, self.skips = nn.Sequential(*parts), stride == 1 and inputs == outputs

    def forward(self, x):
        return self.parts(x) + x if self.skips else self.parts(x)


def make(path, classes):
    """Stem, blocks, last convolution, head; in the order of the file's weights."""
    layers = [Conv(3, 32, 3, 2)]
    for repeats, kernel, stride, expansion, inputs, outputs in STAGES:
        for _ in range(repeats):
            layers.append(Block(kernel, stride, expansion, inputs, outputs))
            inputs, stride = outputs, 1
    layers += [Conv(320, 1280)]
    net = nn.Sequential(*layers)
    values = [numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer if t.name[0] == "_"]
    own = [t for name, t in net.state_dict().items() if "tracked" not in name]
    for mine, given in zip(own, values):
        assert mine.shape == given.shape
        mine.copy_(torch.from_numpy(given.copy()))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, classes))
    nn.init.zeros_(head[3].weight)
    nn.init.zeros_(head[3].bias)
    return nn.Sequential(*layers, head)


def read_photos(folder, side, seed):
    """Middle squares of `side`, and the split."""
    random, images, labels, test = numpy.random.default_rng(seed), [], [], []
    for label, name in enumerate(sorted(os.listdir(folder))):
        paths = sorted(glob.glob(os.path.join(folder, name, "*")))
        kept = random.permutation(len(paths)) < TEST_SHARE * len(paths)
        for path, is_test in zip(paths, kept):
            image = Image.open(path).convert("RGB")
            width, height = image.size
            least = min(width, height)
            left, top = (width - least) // 2, (height - least) // 2
            image = image.resize((side, side), Image.BICUBIC, (left, top, left + least, top + least))
            images.append(numpy.asarray(image).transpose(2, 0, 1))
            labels.append(label)
            test.append(is_test)
    images = (torch.from_numpy(numpy.stack(images)).float() - 127.0) / 128.0
    return images, torch.tensor(labels), torch.tensor(test)


def augment(images, scale):
    """Of each a random part, as large as all, perhaps mirrored."""
    count = len(images)
    size = torch.sqrt(torch.empty(count).uniform_(scale, 1.0))
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = size * torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = size
    theta[:, :, 2] = (torch.rand(count, 2) * 2 - 1) * (1 - size)[:, None]
    grid = functional.affine_grid(theta, images.shape, align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def answers(net, images):
    net.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        plain = torch.cat([net(part).float().softmax(1) for part in images.split(64)])
        mirrored = torch.cat([net(part.flip(3)).float().softmax(1) for part in images.split(64)])
    return plain, plain + mirrored


def tune(net, images, labels, keys, seconds):
    depth = len(net) - 1
    groups = [{"params": list(layer.parameters()), "rate": keys["rate"] * keys["decay"] ** (depth - i)}
              for i, layer in enumerate(net)]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, weight_decay=1e-4)
    average = None
    if keys["average"] > 0:
        mean = torch.optim.swa_utils.get_ema_multi_avg_fn(keys["average"])
        average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=mean, use_buffers=True)
    began, seen, done = time.process_time(), 0, 0.0
    while done < 1.0:
        order = torch.randperm(len(images))
        for chosen in order.split(keys["batch"])[:len(order) // keys["batch"]]:
            done = (time.process_time() - began) / seconds
            if done >= 1.0:
                break
            net.train()
            if keys["norm"] == "frozen":
                for module in net.modules():
                    if isinstance(module, nn.BatchNorm2d):
                        module.eval()
            share = min(done / 0.05, 1.0) * (0.5 + 0.5 * math.cos(math.pi * done))
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * share
            batch = augment(images[chosen], keys["scale"]).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(batch)
            loss = functional.cross_entropy(logits.float(), labels[chosen], label_smoothing=keys["smoothing"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if average is not None:
                average.update_parameters(net)
            seen += keys["batch"]
    return average.module if average is not None else net, seen


def features(net, images, labels, seconds):
    """Those of the frozen network, of each image and its mirror; then a head on them."""
    began = time.process_time()
    net.eval()
    backbone = nn.Sequential(*net[:-1], *net[-1][:2])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        parts = [backbone(part.to(memory_format=torch.channels_last)).float() for view in (images, images.flip(3))
                 for part in view.split(64)]
    values, labels, head = torch.cat(parts), labels.repeat(2), net[-1][3]
    seen, taken = len(values), time.process_time() - began
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(head(values), labels) + 2e-3 * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    print(f"features {taken:.0f} s, head {time.process_time() - began - taken:.0f} s")
    return net, seen


def main():
    path, folder, seconds, keys = sys.argv[1], sys.argv[2], float(sys.argv[3]), dict(KEYS)
    for word in sys.argv[4:]:
        key, value = word.split("=")
        keys[key] = type(KEYS[key])(value)
    torch.set_num_threads(1)
    torch.manual_seed(keys["seed"])
    images, labels, test = read_photos(folder, keys["side"], keys["seed"])
    net = make(path, int(labels.max()) + 1).to(memory_format=torch.channels_last)
    began = time.process_time()
    if keys["mode"] == "features":
        net, seen = features(net, images[~test], labels[~test], seconds)
    else:
        net, seen = tune(net, images[~test], labels[~test], keys, seconds)
    taken = time.process_time() - began
    told = " ".join(f"{key}={value}" for key, value in keys.items())
    right = [(answer.argmax(1) == labels[test]).float().mean().item() for answer in answers(net, images[test])]
    print(f"{told}: {seen / taken:.1f} images/s, {seen / (~test).sum().item():.1f} epochs, "
          f"{test.sum().item()} photos: {right[0]:.3f}, with mirrors {right[1]:.3f}", flush=True)


main()
