"""A large folder of images: how fast it is read and trained from, and that memory stays flat.

    python benchmarks/large_folder.py [--pictures 200000] [--batches 60] [--pipeline-only]

Writes a folder of JPEG images of about 300x250, in 100 classes, into a temporary place and takes
it away at the end. The images are a few hundred different ones, each written many times under
names of its own: files of their own for the disk and its cache, but the same bytes. Then it
measures, for the whole number and for a tenth of it, in a process each, on the same threads:

- Pillow opening and decoding files, and nothing else: the most that any pipeline could give;
- Pillow and what `folder:` does after it: checked, cut to 256x256, as `predict` does;
- the input pipeline of alexnet_2012 without a network: a random patch of 227x227, mirrored, colours
  shifted, scaled;
- training alexnet_2012, and the memory of the process along the way.

Images that the disk's cache holds are read from there: write more than memory holds for figures
that include the disk. Memory is read from /proc, on Linux.
"""

import argparse
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CLASSES = 100
DIFFERENT = 300
DECODED = 2000  # images, for the figure of decoding alone
TEST_PICTURES = 200


def encoded_pictures() -> list[bytes]:
    """Return the bytes of DIFFERENT JPEG images of about 300x250 and 8 kB."""
    import io

    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    files = []
    for _ in range(DIFFERENT):
        width, height = (int(side) for side in generator.integers((270, 225), (331, 276)))
        colours = generator.integers(0, 256, (height // 24, width // 24, 3), np.uint8)
        smooth = Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)
        grain = generator.normal(0, 3, (height, width, 1)).round()
        pixels = (np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=75)
        files.append(file.getvalue())
    return files


def write_folder(root: Path, pictures: int) -> None:
    """Write train/ with `pictures` files and test/ with a few, as `folder:` expects them."""
    files = encoded_pictures()
    mean = sum(map(len, files)) / len(files)
    needed, free = 1.2 * max(mean, 4096) * pictures, shutil.disk_usage(root).free
    if needed > free:
        sys.exit(f"{root}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")
    for split, count in (("train", pictures), ("test", TEST_PICTURES)):
        folders = [root / split / f"class{number:03}" for number in range(CLASSES)]
        for folder in folders:
            folder.mkdir(parents=True)
        for number in range(count):
            path = folders[number % CLASSES] / f"picture{number:07}.jpg"
            path.write_bytes(files[number % DIFFERENT])
    print(f"{pictures:,} images of {mean / 1000:.1f} kB ({DIFFERENT} different ones) written")


class Memory(threading.Thread):
    """Notes the resident memory of this process ten times a second, and the batches done."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.batches = 0
        self.seen: list[tuple[int, float]] = []  # batches done, MB
        self.stopped = threading.Event()

    def run(self) -> None:
        """Note until stopped."""
        statm, goes_on = Path("/proc/self/statm"), True
        while goes_on and statm.exists():
            goes_on = not self.stopped.wait(0.1)
            batches, pages = self.batches, int(statm.read_text().split()[1])
            self.seen.append((batches, pages * os.sysconf("SC_PAGESIZE") / 1e6))

    def after(self, share: float) -> float:
        """Return the memory in MB when this share of the batches was done."""
        return next((mb for batches, mb in self.seen if batches >= share * self.batches), -1.0)


def run_batches(work: Callable[[Callable[[], None]], None], batch_size: int) -> dict[str, float]:
    """Run `work`, which calls its argument after each batch; return speed and memory.

    The first two batches, in which TensorFlow compiles, are not counted.
    """
    memory, ends = Memory(), []

    def done() -> None:
        memory.batches += 1
        ends.append(time.perf_counter())

    memory.start()
    work(done)
    memory.stopped.set()
    memory.join()
    if len(ends) < 3:
        sys.exit(f"{len(ends)} batches are too few to measure: --pictures, --batches")
    speed = batch_size * (len(ends) - 2) / (ends[-1] - ends[1])
    shares = {f"MB at {share:.0%}": memory.after(share) for share in (0.1, 0.5, 1.0)}
    return {"pictures/s": speed, **shares}


def measure_reading(root: Path, what: str) -> dict[str, float]:
    """Decode files with Pillow alone, or read them as `folder:` does, on as many threads as it."""
    from PIL import Image

    from modelzoo.data.images import READERS, read_image

    folder = root / "train"
    paths = [path for each in sorted(folder.iterdir()) for path in sorted(each.iterdir())[:100]]
    paths = paths[:DECODED]

    def decode(path: Path) -> None:
        with Image.open(path) as picture:
            picture.load()

    def read(path: Path) -> None:
        read_image(path, (256, 256, 3))

    with ThreadPoolExecutor(READERS) as pool:
        work = decode if what == "decoding" else read
        list(pool.map(work, paths[:100]))
        began = time.perf_counter()
        list(pool.map(work, paths))
        return {"pictures/s": len(paths) / (time.perf_counter() - began)}


def open_all(root: Path, device: str) -> tuple[Any, Any, Any]:
    """Return configuration, device and pipeline of alexnet_2012 on the folder."""
    from modelzoo import load_config
    from modelzoo.training.device import start_framework

    config = load_config(
        "alexnet_2012", dataset=f"folder:{root}", overrides=["data.validation_split=0"]
    )
    chosen = start_framework(config.trainer.backend, device)
    from modelzoo.data.pipeline import InputPipeline
    from modelzoo.training.prepare import open_dataset

    began = time.perf_counter()
    data, config = open_dataset(config, print, is_new=True)
    pipeline = InputPipeline(data, config.data, num_classes=config.model.num_classes)
    print(f"opened in {time.perf_counter() - began:.1f} s; {chosen.description}", file=sys.stderr)
    return config, chosen, pipeline


def measure_pipeline(root: Path, device: str, batches: int) -> dict[str, float]:
    """Make batches, and do nothing with them."""
    _, _, pipeline = open_all(root, device)
    pipeline.start_epoch(0)

    def work(done: Callable[[], None]) -> None:
        for _ in itertools.islice(pipeline.training_batches(), batches or None):
            done()

    return run_batches(work, pipeline.batch_size)


def measure_training(root: Path, device: str, batches: int) -> dict[str, float]:
    """Train for a number of batches, with Keras' `fit`."""
    config, chosen, pipeline = open_all(root, device)
    import keras

    from modelzoo.networks import keras_objects
    from modelzoo.training.callbacks import EpochOrder
    from modelzoo.training.prepare import build_network

    def work(done: Callable[[], None]) -> None:
        model = build_network(config)
        section = config.compile
        model.compile(
            optimizer=keras_objects.make("optimizer", section.optimizer, "compile.optimizer"),
            loss=section.loss,
            jit_compile=section.jit_compile,
        )
        count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: done())
        model.fit(
            pipeline.training_batches(),
            steps_per_epoch=batches or None,
            callbacks=[EpochOrder(pipeline), count],
            shuffle=False,
            verbose=0,
        )

    with chosen.scope():
        return run_batches(work, pipeline.batch_size)


MEASUREMENTS = ("decoding", "reading", "pipeline", "training")


def measure(what: str, root: Path, device: str, batches: int) -> dict[str, float]:
    """Take one measurement in this process."""
    if what in ("decoding", "reading"):
        return measure_reading(root, what)
    return (measure_pipeline if what == "pipeline" else measure_training)(root, device, batches)


def in_a_process(what: str, root: Path, options: argparse.Namespace, batches: int) -> None:
    """Take one measurement in a process of its own, and print it."""
    command = [sys.executable, __file__, "--only", what, "--root", str(root)]
    command += ["--device", options.device, "--batches", str(batches)]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    figures = json.loads(done.stdout.splitlines()[-1])
    print(f"{what:10}" + "".join(f"  {name} {value:,.0f}" for name, value in figures.items()))


def main() -> None:
    """Write the folder, measure, print, and take the folder away."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=200_000)
    parser.add_argument("--batches", type=int, default=60, help="to train on; 0 for an epoch")
    parser.add_argument("--pipeline-batches", type=int, default=0, help="0 for an epoch (0)")
    parser.add_argument("--pipeline-only", action="store_true", help="train no network")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", help="where the images go for a while")
    parser.add_argument("--only", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        figures = measure(options.only, options.root, options.device, options.batches)
        print(json.dumps(figures))
        return
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    for pictures in (options.pictures // 10, options.pictures):
        with tempfile.TemporaryDirectory(prefix="large-folder-", dir=options.folder) as root:
            write_folder(Path(root), pictures)
            in_a_process("decoding", Path(root), options, 0)
            in_a_process("reading", Path(root), options, 0)
            in_a_process("pipeline", Path(root), options, options.pipeline_batches)
            if not options.pipeline_only:
                in_a_process("training", Path(root), options, options.batches)


if __name__ == "__main__":
    main()
