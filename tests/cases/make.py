#!/usr/bin/env python3
"""Makes the inputs of cases.sh below the folder that is named: make.py FOLDER.

Each is a folder with data as people bring them and a job.cfg. Images are noise from a seed, a pixel pattern for each
class; PNG is written here, so that nothing but Python's own library is needed. photo.jpg is such an image, as Pillow
writes JPEG (16 x 16, quality 90).
"""
import gzip
import os
import random
import struct
import sys
import unicodedata
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = sys.argv[1]
rng = random.Random(1)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows, colour=2, depth=8, before=b"", level=6):
    """A PNG; rows: bytes of all rows without filters; before: chunks in front of the pixels."""
    size = len(rows) // height
    raw = b"".join(b"\0" + rows[y * size:(y + 1) * size] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(raw, level)) +
            chunk(b"IEND", b""))


def image(label, width=16, height=16):
    """An RGB image of noise whose mean tells the label."""
    low = 20 + 60 * (label % 4)
    return png(width, height, bytes(low + rng.randrange(40) for _ in range(3 * width * height)))


def write(path, data):
    path = os.path.join(ROOT, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def job(case, path="data", more="", on_error="stop", before=""):
    write(f"{case}/job.cfg", f'''{before}dataset = {{ path = "{path}"; resize = 16; test = 0.2; validation = 0.2;
            on_error = "{on_error}"; {more} }};
search = {{ strategy = "none"; starts = ["lean"]; width = 8; }};
train = {{ batch = 8; }};
budget = {{ steps = 2; }};
output = {{ plots = false; }};
threads = 1;
devices = "cpu";
''')


def change_job(case, old, new):
    with open(f"{ROOT}/{case}/job.cfg", encoding="utf-8") as file:
        text = file.read()
    write(f"{case}/job.cfg", text.replace(old, new))


def classes(case, folder="data", names=("cat", "dog"), count=12, ending=".png"):
    for label, name in enumerate(names):
        for i in range(count):
            write(f"{case}/{folder}/{name}/{i:03d}{ending}", image(label))


def folders(case, **settings):
    job(case, **settings)
    classes(case)


def listed(case, text, names, more="", on_error="stop", file="list.csv"):
    """A list of images in data/, which is written as it is given."""
    job(case, path=file, more='images = "data"; ' + more, on_error=on_error)
    write(f"{case}/{file}", text)
    for name in names:
        write(f"{case}/data/{name}", image(int(os.path.basename(name)[0])))


def rows(form, labels=("cat", "dog"), count=12, ending=".png"):
    """The rows of a list, and the files that it names."""
    pairs = [(f"{k}_{i}{ending}", label) for k, label in enumerate(labels) for i in range(count)]
    return [form.format(name=name, label=label) for name, label in pairs], [name for name, _ in pairs]


def idx_images(count, side=16):
    return struct.pack(">IIII", 0x803, count, side, side) + bytes(rng.randrange(256) for _ in range(count * side * side))


def idx(case, labels, tested, folder="data", names=("train", "t10k"), packed=False):
    """IDX files of those labels."""
    for name, part in zip(names, (labels, tested)):
        files = {f"{name}-images-idx3-ubyte": idx_images(len(part)),
                 f"{name}-labels-idx1-ubyte": struct.pack(">II", 0x801, len(part)) + bytes(part)}
        for file, data in files.items():
            write(f"{case}/{folder}/{file}{'.gz' if packed else ''}", gzip.compress(data) if packed else data)


# ---- folders ----
folders("plain")
for i, name in enumerate(("jfif", "pjpeg", "JPG", "jpe")):
    with open(os.path.join(HERE, "photo.jpg"), "rb") as file:
        write(f"plain/data/cat/photo{i}.{name}", file.read())
write("plain/data/dog/photo-without-ending", image(1))
write("plain/data/dog/notes.txt", "none")
write("plain/data/dog/more.txt", "none")
write("plain/data/dog/clip.mp4", "none")
folders("systems")
write("systems/data/cat/@eaDir/000.png/SYNOPHOTO_THUMB_M.png", image(0))
write("systems/data/__MACOSX/cat/._000.png", "none")
write("systems/data/cat/.AppleDouble/000.png", "none")
write("systems/data/cat/Thumbs.db", "none")
write("systems/data/desktop.ini", "none")
folders("own", path=".")
os.rename(f"{ROOT}/own/data/cat", f"{ROOT}/own/cat")
os.rename(f"{ROOT}/own/data/dog", f"{ROOT}/own/dog")
os.rmdir(f"{ROOT}/own/data")
for case, on_error in (("links", "skip"), ("link-stops", "stop"), ("loop", "stop"), ("pipe", "stop")):
    folders(case, on_error=on_error)
os.symlink("gone", f"{ROOT}/links/data/cat/gone.png")
os.symlink("gone", f"{ROOT}/link-stops/data/cat/gone.png")
os.symlink("..", f"{ROOT}/links/data/dog/up")
os.symlink("..", f"{ROOT}/loop/data/dog/up")
os.mkfifo(f"{ROOT}/links/data/dog/pipe.png")
os.mkfifo(f"{ROOT}/pipe/data/dog/pipe.png")
for case, on_error in (("twin", "stop"), ("twin-skip", "skip")):
    job(case, on_error=on_error)
    classes(case, names=("A", "B"))
    classes(case, "data/cells", names=("A", "B"))
for case, on_error in (("flat-test", "stop"), ("flat-test-skip", "skip")):
    job(case, on_error=on_error)
    classes(case, "data/train")
    write(f"{case}/data/test/1.png", image(0))
job("trian")
for split in ("trian", "valid", "test"):
    classes("trian", f"data/{split}")
job("set-words")
classes("set-words", "data/training_set")
classes("set-words", "data/test_set", count=3)
classes("set-words", "data/dev", count=2)
job("seg-words")
classes("seg-words", "data/seg_train/seg_train")
classes("seg-words", "data/seg_test/seg_test", count=3)
job("too-high")
classes("too-high", "data/animals")
job("numbers")
classes("numbers", names=("0", "90", "180", "270"))
job("unicode-form")
classes("unicode-form", names=(unicodedata.normalize("NFC", "Café"), unicodedata.normalize("NFD", "Café"), "Dog", "dog "))
job("no-utf8")
classes("no-utf8", names=(os.fsdecode(b"K\xe4fer"), "dog"))
job("raw-names")
classes("raw-names", names=("a\x1b[31mred\nforged", "dog"))
for case, on_error in (("empty-class", "stop"), ("empty-class-skip", "skip")):
    folders(case, on_error=on_error)
    os.makedirs(f"{ROOT}/{case}/data/empty")
folders("tilde", path="~/photos")
folders("grown")
folders("read-only")
folders("one-second")
change_job("one-second", "steps = 2;", "seconds = 1;")
job("one-each")
classes("one-each", names="abcdefghij", count=1)
job("two-each")
classes("two-each", names="abcdefghijkl", count=2)
job("imbalance")
classes("imbalance", names=("healthy",), count=190)
classes("imbalance", names=("sick",), count=12)
job("test-lacks-class")
classes("test-lacks-class", "data/train", names=("a", "b", "c"))
classes("test-lacks-class", "data/test", names=("a", "b"), count=4)
job("leak")
classes("leak", "data/train")
for name in ("cat/000.png", "cat/001.png", "dog/002.png"):
    with open(f"{ROOT}/leak/data/train/{name}", "rb") as file:
        write(f"leak/data/test/{name}", file.read())
with open(f"{ROOT}/leak/data/train/cat/003.png", "rb") as file:
    write("leak/data/train/dog/same.png", file.read())
job("near-leak")
change_job("near-leak", "resize = 16;", "")
for label, name in enumerate(("cat", "dog")):
    for i in range(12):
        coarse = [rng.randrange(40, 200) for _ in range(192)]
        pixels = [coarse[x // 4 + y // 4 * 8 + c * 64] for y in range(32) for x in range(32) for c in range(3)]
        write(f"near-leak/data/train/{name}/{i}.png", png(32, 32, bytes(pixels)))
        if i < 3:
            pixels = [v * 7 // 8 + rng.randrange(9) for v in (pixels if i == 0 else reversed(pixels))]
            write(f"near-leak/data/test/{name}/{i}.png", png(32, 32, bytes(pixels)))
folders("bom", before="\ufeff")
with open(f"{ROOT}/bom/job.cfg", "rb") as file:
    write("bom/job.cfg", file.read().replace(b"\n", b"\r\n"))

# ---- lists ----
lines, names = rows("{name},{label}")
listed("comma-in-label", "\n".join(["path,label"] + lines[:15] + ["1_3.png,tench, Tinca tinca"] + lines[16:]) + "\n", names)
listed("comma-skip", "\n".join(["path,label"] + lines[:15] + ["1_3.png,tench, Tinca tinca"] + lines[16:]) + "\n", names,
       on_error="skip")
listed("trailing-comma", "\n".join(["path,label"] + [line + ",," for line in lines]) + "\n", names)
listed("old-mac", "\r".join(["path,label"] + lines) + "\r", names)
listed("utf16", ("\ufeff" + "\r\n".join(["path,label"] + lines)).encode("utf-16-le"), names)
listed("utf16-bare", "\r\n".join(["path,label"] + lines).encode("utf-16-be"), names)
listed("wide", "\n".join(["path,label," + ",".join(f"c{i}" for i in range(80))] + [line + ",0" * 80 for line in lines]), names)
image_rows, image_names = rows("{name},{label}", labels=("image", "text"))
listed("class-named-image", "\n".join(image_rows), image_names)
for case, form, file in (("semicolon", "{name};{label}", "list.csv"), ("tab", "{name}\t{label}", "list.tsv"),
                         ("blank", "{name} {label}", "list.txt")):
    lines, names = rows(form)
    listed(case, "\n".join(lines), names, file=file)
lines, names = rows('{name}, "{label}, black"')
listed("quote-after-blank", "\n".join(["path, label"] + lines), names)
lines, names = rows("{name},{label}", ending="")
listed("unknown-header", "\n".join(["id,breed"] + lines), [name + ".png" for name in names], on_error="skip")
lines, names = rows("{name},1.0,0.0")
listed("one-hot", "\n".join(["image,MEL,NV"] + lines), names)
lines, names = rows("{name},{label}")
listed("backslash", "\r\n".join(["path,label"] + ["sub\\" + line for line in lines]), ["sub/" + name for name in names])
listed("bucket", "\n".join("TRAINING,gs://bucket/img/" + line for line in lines), names)
listed("ludwig", "\n".join(["image_path,label,split"] + [f"{line},{(0, 0, 0, 1, 2)[i % 5]}" for i, line in enumerate(lines)]),
       names)
lines, names = rows("{name},{label}", labels=("K\xe4fer", "dog"))
listed("latin1", "\r\n".join(["path,label"] + lines).encode("latin-1"), names)

# ---- IDX and CIFAR ----
job("idx-gaps")
idx("idx-gaps", [3, 7] * 30, [7, 3] * 5)
job("idx-from-1")
idx("idx-from-1", [1, 2, 3] * 20, [1, 2, 3] * 4)
job("idx-new-label")
idx("idx-new-label", [0, 1, 2] * 20, [0, 1, 2, 3])
job("idx-int")
for name, count in (("train", 60), ("test", 12)):
    write(f"idx-int/data/qmnist-{name}-images-idx3-ubyte", idx_images(count))
    write(f"idx-int/data/qmnist-{name}-labels-idx2-int", struct.pack(">III", 0xc02, count, 8) +
          b"".join(struct.pack(">8i", i % 3, *range(7)) for i in range(count)))
job("my-fashion", path="my-fashion")
idx("my-fashion", [0, 1, 2] * 20, [0, 1, 2] * 4, folder="my-fashion")
job("idx-twice")
for kind in ("letters", "digits"):
    idx("idx-twice", [0, 1] * 10, [0, 1] * 4, names=(f"emnist-{kind}-train", f"emnist-{kind}-test"), packed=True)
job("idx-in-folders")
idx("idx-in-folders", [0, 1] * 20, [0, 1] * 4)
for file in os.listdir(f"{ROOT}/idx-in-folders/data"):
    with open(f"{ROOT}/idx-in-folders/data/{file}", "rb") as data:
        write(f"idx-in-folders/data/{file}.d/{file}", data.read())
    os.rename(f"{ROOT}/idx-in-folders/data/{file}", f"{ROOT}/idx-in-folders/data/{file.replace('-idx', '.idx')}")
    os.rename(f"{ROOT}/idx-in-folders/data/{file}.d", f"{ROOT}/idx-in-folders/data/{file}")
job("idx-web-page")
idx("idx-web-page", [0, 1] * 20, [0, 1] * 4, packed=True)
write("idx-web-page/data/train-images-idx3-ubyte.gz", "<!DOCTYPE html><html><body>403 Forbidden</body></html>")
job("cifar-above")
write("cifar-above/data/cifar-10-batches-bin/data_batch_1.bin", bytes(3073 * 20))

# ---- images ----
folders("png-without-end")
for label in (0, 1):
    write(f"png-without-end/data/{('cat', 'dog')[label]}/cut.png", image(label)[:-12])
with open(os.path.join(HERE, "photo.jpg"), "rb") as file:
    write("png-without-end/data/cat/cut.jpg", file.read()[:-2])
folders("panorama")
write("panorama/data/cat/pano.png", png(20000, 20, bytes(3 * 20000 * 20)))
for case, on_error in (("bomb", "stop"), ("bomb-skip", "skip")):
    folders(case, on_error=on_error)
    write(f"{case}/data/cat/bomb.png", png(16384, 16384, bytes(16384 // 8 * 16384), colour=3, depth=1,
                                           before=chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\0")))
job("deep-and-low")
job("white-on-clear")
for label, name in enumerate(("cat", "dog")):
    for i in range(12):
        write(f"deep-and-low/data/{name}/{i}.png",
              png(16, 16, b"".join(struct.pack(">H", rng.randrange(200)) for _ in range(256)), colour=0, depth=16))
        write(f"white-on-clear/data/{name}/{i}.png",
              png(16, 16, b"".join(bytes((255, 255, 255, rng.randrange(256))) for _ in range(256)), colour=6))
job("constant-channel")
for label, name in enumerate(("cat", "dog")):
    for i in range(12):
        write(f"constant-channel/data/{name}/{i}.png",
              png(16, 16, b"".join(bytes((rng.randrange(256), 7, 50 * label + rng.randrange(9))) for _ in range(256))))
job("tiny", more="max_side = 8;")
change_job("tiny", "resize = 16;", "")
for label, name in enumerate(("cat", "dog")):
    for i in range(12):
        write(f"tiny/data/{name}/{i}.png", image(label, 2, 2))
job("strips")
change_job("strips", "resize = 16;", "")
for label, name in enumerate(("cat", "dog")):
    for i in range(12):
        write(f"strips/data/{name}/{i}.png", image(label, 1200, 4))
folders("slow")
for i in range(8):
    write(f"slow/data/cat/large{i}.png", png(13000, 13000, bytes(13000 * 13000), colour=0, level=1))
