"""The data of the bench: small copies of data sets that nasrun reads, so that a cell takes a minute.

A copy has the first TRAINING + VALIDATION images of the training files, as many of each class, and all test images.
It is made once in a folder and found there by the next run.
"""

import gzip
import os
import shutil
import struct

TRAINING, VALIDATION, CLASSES = 10000, 2000, 10
OF_EACH = (TRAINING + VALIDATION) // CLASSES
CIFAR_RECORD = 1 + 3 * 32 * 32

# What jobs on the copies say beside their path. Images are shrunk when they are loaded.
SETTINGS = {
    "cifar10": ["dataset.resize=16", "train.cutout=4"],
    "fashion": ["dataset.resize=14", "train.cutout=4"],
}


def first_of_each(labels):
    """Positions of the first OF_EACH of every class, in their order."""
    seen = [0] * CLASSES
    chosen = []
    for position, label in enumerate(labels):
        if seen[label] < OF_EACH:
            seen[label] += 1
            chosen.append(position)
    if len(chosen) != CLASSES * OF_EACH:
        raise SystemExit(f"found {min(seen)} training images of a class, expected {OF_EACH}")
    return chosen


def write(path, data):
    with open(path, "wb") as stream:
        stream.write(data)


def copy_cifar10(source, target):
    records = b"".join(open(os.path.join(source, f"data_batch_{i}.bin"), "rb").read() for i in range(1, 6))
    chosen = first_of_each(records[::CIFAR_RECORD])
    write(
        os.path.join(target, "data_batch_1.bin"),
        b"".join(records[i * CIFAR_RECORD : (i + 1) * CIFAR_RECORD] for i in chosen),
    )
    for name in ("test_batch.bin", "batches.meta.txt"):
        if os.path.exists(os.path.join(source, name)):
            shutil.copy(os.path.join(source, name), target)


def read_idx(path):
    """(shape, bytes) of a file of bytes, compressed or not."""
    if os.path.exists(path):
        data = open(path, "rb").read()
    else:
        data = gzip.open(path + ".gz").read()
    dimensions = data[3]
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    return shape, data[4 + 4 * dimensions :]


def write_idx(path, shape, data):
    write(path, struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + data)


def copy_fashion(source, target):
    _, labels = read_idx(os.path.join(source, "train-labels-idx1-ubyte"))
    (_, height, width), pixels = read_idx(os.path.join(source, "train-images-idx3-ubyte"))
    chosen, image = first_of_each(labels), height * width
    write_idx(os.path.join(target, "train-labels-idx1-ubyte"), (len(chosen),), bytes(labels[i] for i in chosen))
    write_idx(
        os.path.join(target, "train-images-idx3-ubyte"),
        (len(chosen), height, width),
        b"".join(pixels[i * image : (i + 1) * image] for i in chosen),
    )
    for name in ("t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        shape, data = read_idx(os.path.join(source, name))
        write_idx(os.path.join(target, name), shape, data)


COPIES = {"cifar10": copy_cifar10, "fashion": copy_fashion}


def make(name, source, folder):
    """The folder of the copy, which is whole or not there: it gets its name last."""
    target = os.path.join(folder, name)
    if not os.path.isdir(target):
        unfinished = target + ".part"
        shutil.rmtree(unfinished, ignore_errors=True)
        os.makedirs(unfinished)
        COPIES[name](source, unfinished)
        os.rename(unfinished, target)
    return target
