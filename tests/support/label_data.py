#!/usr/bin/env python3
"""label_data.py FOLDER: 400 noisy images of 8 x 8, in which any of three parts are bright, each of which is a label, and
list.csv of them: split, path, labels. 320 are for training, the others for the test."""
import csv
import os
import random
import struct
import sys
import zlib

NAMES = ["dog", 'b, "b"', "cat"]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main(folder):
    draw = random.Random(7)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "list.csv"), "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        for i in range(400):
            shown = [draw.random() < share for share in (0.5, 0.4, 0.3)]
            rows = []
            for y in range(8):
                row = bytearray([0])
                for x in range(8):
                    bright = (shown[0] and y < 3) or (shown[1] and y > 4 and x < 4) or (shown[2] and y > 4 and x > 4)
                    row.append(min(255, max(0, int(draw.gauss(130 if bright else 70, 45)))))
                rows.append(bytes(row))
            path = os.path.join(folder, f"{i:03d}.png")
            with open(path, "wb") as image:
                image.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)) +
                            chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))
            table.writerow(["test" if i >= 320 else "train", os.path.basename(path)] + [n for n, s in zip(NAMES, shown) if s])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
