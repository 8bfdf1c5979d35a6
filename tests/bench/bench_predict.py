"""naspredict beside Pillow and onnxruntime: images a second from PNG files to answers, with the same network on as many cores.

Networks are trained for a moment, exported by nasexport, and both classify the test images of Fashion-MNIST, written as PNG files, one
view of each, in turns. Python gets a process for each core, with a network of one thread each, and the best of several batches; its
start and the loading of the network are not counted, those of naspredict are. CPU time is what the processes themselves took: where
others use the machine it is what compares."""
import argparse
import gzip
import multiprocessing
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time

try:
    import numpy
    import onnxruntime
    from PIL import Image
except ImportError as missing:
    sys.exit(f"bench-predict: {missing}; it needs numpy, pillow and onnxruntime (PYTHON= of an environment that has them)")

BATCHES = [1, 32, 128]


def write_images(fashion, folder):
    """The test images as PNG files, and a list of them."""
    with gzip.open(os.path.join(fashion, "t10k-images-idx3-ubyte.gz")) as packed:
        _, count, height, width = struct.unpack(">IIII", packed.read(16))
        pixels = numpy.frombuffer(packed.read(), numpy.uint8).reshape(count, height, width)
    paths = [os.path.join(folder, f"{i:05d}.png") for i in range(count)]
    for path, image in zip(paths, pixels):
        Image.fromarray(image).save(path)
    return paths


def make_network(bin_folder, fashion, start, width, folder):
    job = os.path.join(folder, "job.cfg")
    with open(job, "w", encoding="utf-8") as out:
        out.write(f'dataset = {{ format = "idx"; path = "{fashion}"; }};\n'
                  f'search = {{ strategy = "none"; starts = ["{start}"]; width = {width}; }};\n'
                  'evaluate = { views = 1; };\ndevices = "cpu";\n')
    run, onnx = os.path.join(folder, "run"), os.path.join(folder, "model.onnx")
    subprocess.run([f"{bin_folder}/nasrun", "-q", job, "budget.steps=60", f"output.dir={run}"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([f"{bin_folder}/nasexport", f"--onnx={onnx}", run], check=True, stdout=subprocess.DEVNULL)
    return run, onnx


def ours(bin_folder, run, listed, threads):
    """Seconds, seconds of the processor, classes."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([f"{bin_folder}/naspredict", f"--threads={threads}", "--views=1", f"--list={listed}", run], check=True,
                          capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.monotonic() - began
    return (seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            [line.split("\t")[1] for line in done.stdout.splitlines()])


def classify(work):
    """In a process of its own: seconds of the processor, classes."""
    paths, batch = work
    began, found = time.process_time(), []
    for first in range(0, len(paths), batch):
        pixels = numpy.stack([numpy.asarray(Image.open(path)) for path in paths[first:first + batch]])[:, None]
        found.append(session.run(["probabilities"], {"images": pixels})[0].argmax(1))
    return time.process_time() - began, numpy.concatenate(found)


def load(onnx):
    global session
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def theirs(pool, paths, threads, batch):
    """The same, with numbers of classes; each process has every part in turn, small enough that none waits for another."""
    part = max(batch, len(paths) // (8 * threads))
    began = time.monotonic()
    done = pool.map(classify, [(paths[first:first + part], batch) for first in range(0, len(paths), part)], chunksize=1)
    return time.monotonic() - began, sum(seconds for seconds, _ in done), numpy.concatenate([found for _, found in done])


def measure(arguments, start, width, paths, listed, folder):
    run, onnx = make_network(arguments.bin, arguments.fashion, start, width, folder)
    names = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"]).get_modelmeta().custom_metadata_map
    mine, other = [], {batch: [] for batch in BATCHES}
    with multiprocessing.get_context("spawn").Pool(arguments.threads, load, (onnx,)) as pool:
        theirs(pool, paths[:1000], arguments.threads, 32)
        for _ in range(arguments.rounds):
            mine.append(ours(arguments.bin, run, listed, arguments.threads))
            for batch in BATCHES:
                other[batch].append(theirs(pool, paths, arguments.threads, batch))
    # The same network: names and numbers of classes go together, but for images that are undecided.
    pairs = {}
    for name, number in zip(mine[0][2], other[32][0][2]):
        pairs.setdefault(name, []).append(int(number))
    differ = sum(sum(n != statistics.mode(numbers) for n in numbers) for numbers in pairs.values())
    if len(mine[0][2]) != len(paths) or differ > len(paths) // 1000:
        sys.exit(f"bench-predict: {start}: {differ} of {len(paths)} images get another class ({names.keys()})")
    count = len(paths)
    best = min(BATCHES, key=lambda batch: statistics.median(row[1] for row in other[batch]))

    def row(name, results):
        wall, cpu = [statistics.median(result[k] for result in results) for k in (0, 1)]
        return f"| {start}, {width} | {name} | {count / wall:,.0f} | {1e6 * cpu / count:.0f} | {arguments.threads * count / cpu:,.0f} |"

    print(row("naspredict", mine))
    print(row(f"Pillow, onnxruntime, batch {best}", other[best]), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default="bin")
    parser.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("nets", nargs="*", default=["lean:16", "air:16"])
    arguments = parser.parse_args()
    print(f"{arguments.threads} threads, {arguments.rounds} rounds; Pillow {Image.__version__}, onnxruntime {onnxruntime.__version__}\n")
    print("| network, width | by | images a second | CPU time of an image, us | images a second by CPU time |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        os.mkdir(f"{work}/images")
        paths = write_images(arguments.fashion, f"{work}/images")
        with open(f"{work}/list", "w", encoding="utf-8") as out:
            out.write("".join(path + "\n" for path in paths))
        for net in arguments.nets:
            start, width = net.split(":")
            folder = os.path.join(work, start)
            os.mkdir(folder)
            measure(arguments, start, width, paths, f"{work}/list", folder)


if __name__ == "__main__":
    main()
