"""Images with any number of labels, to try dataset.labels = "several" with: make_pairs.py FASHION_FOLDER OUT_FOLDER [COUNT [TESTS]]

writes OUT/*.png and OUT/labels.csv, `[split,]path,label,...`: two garments of Fashion-MNIST side by side, or one, or none, each a
label. No image of the data set is used twice. Python without packages.
"""
import gzip
import os
import random
import struct
import sys
import zlib

NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
SIDE = 28


def read(folder, part):
    with gzip.open(os.path.join(folder, f"{part}-images-idx3-ubyte.gz")) as file:
        pixels = file.read()[16:]
    with gzip.open(os.path.join(folder, f"{part}-labels-idx1-ubyte.gz")) as file:
        labels = file.read()[8:]
    return pixels, labels


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, rows):
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
                   chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 1)) + chunk(b"IEND", b""))


def write_split(folder, out, part, split, count, table, draw):
    pixels, labels = read(folder, part)
    order = list(range(len(labels)))
    draw.shuffle(order)
    for i in range(count):
        # Left, right, both or neither: in 1, 1, 7 and 1 of 10 images.
        sides = draw.choice(["l", "r", "lr", "lr", "lr", "lr", "lr", "lr", "lr", ""])
        halves, shown = [], []
        for side, image in zip("lr", order[2 * i:2 * i + 2]):
            halves.append(pixels[SIDE * SIDE * image:SIDE * SIDE * (image + 1)] if side in sides else bytes(SIDE * SIDE))
            if side in sides:
                shown.append(NAMES[labels[image]])
        name = f"{split}-{i:05d}.png"
        write_png(os.path.join(out, name),
                  [halves[0][SIDE * y:SIDE * (y + 1)] + halves[1][SIDE * y:SIDE * (y + 1)] for y in range(SIDE)])
        table.write(",".join([split, name, *dict.fromkeys(shown)]) + "\n")


def main():
    folder, out = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 30000
    tests = int(sys.argv[4]) if len(sys.argv) > 4 else 5000
    draw = random.Random(1)
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "labels.csv"), "w", encoding="utf-8") as table:
        write_split(folder, out, "train", "train", count, table, draw)
        write_split(folder, out, "t10k", "test", tests, table, draw)


main()
