"""LeNet-5 and AlexNet trained, evaluated, exported, attacked and explained for an hour.

python -m hardening.hour --count 60

A case is a minute of rounds in the same process. From the third on, memory must stay within 5
percent of what it was after the second, and no file may be left, open or in the temporary folder.
"""

import argparse
import contextlib
import functools
import io
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from hardening.cases import Outcome, add_options, run
from hardening.flat import Held
from modelzoo import start_framework

WARM = 2  # minutes until what is kept once, is kept
NETWORKS = (("lenet5", (28, 28, 1)), ("alexnet", (32, 32, 3)))
FEW = ("fit.epochs=1", "data.training_images=96", "data.batch_size=32", "data.validation_split=32")


def once(name: str, shape: tuple[int, ...], folder: Path) -> None:
    """Do everything with a network, in a folder that is removed."""
    from modelzoo import Trainer, attack, evaluate, export, features, load_config, saliency

    config = load_config(name, dataset="drawn", overrides=FEW)
    run_folder = Trainer(config, device="cpu", out=folder / "run").fit().folder
    accuracy = evaluate(run_folder, device="cpu", notify=lambda *_: None).scores.accuracy
    assert 0 <= accuracy <= 1, accuracy
    for form in ("onnx", "litert", "html"):
        export(run_folder, format=form, out=folder / "exported")  # type: ignore[arg-type]
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    changed = attack(run_folder, images, [0, 1, 2, 3], 0.1, steps=3)
    assert np.abs(changed.astype("f4") - images).max() <= 25.51
    assert np.isfinite(saliency(run_folder, images)).all()
    assert all(np.isfinite(each).all() for each in features(run_folder, images).values())


def write_data(folder: Path, shape: tuple[int, ...]) -> None:
    """Write `drawn`: 96 training and 32 test images of ten classes."""
    images = np.random.default_rng(0).integers(0, 256, (128, *shape), np.uint8)
    labels = np.arange(128) % 10
    parts = {"x_train": images[:96], "y_train": labels[:96], "x_test": images[96:]}
    np.savez(folder / "drawn.npz", y_test=labels[96:], **parts)


def run_minutes(seconds: float, numbers: Iterable[int]) -> Iterator[tuple[int, Outcome]]:
    """Yield what came of each minute."""
    start_framework("tensorflow", "cpu")
    import keras

    before = Held.now()
    rounds = itertools.cycle(NETWORKS)
    for minute, number in enumerate(numbers):
        began, done, problem = time.monotonic(), 0, ""
        while time.monotonic() < began + seconds or done < len(NETWORKS):
            name, shape = next(rounds)
            with tempfile.TemporaryDirectory(prefix="hour-") as folder:
                write_data(Path(folder), shape)
                os.environ["MODELZOO_DATA"] = folder
                with contextlib.redirect_stderr(io.StringIO()):
                    once(name, shape, Path(folder))
            keras.backend.clear_session()
            done += 1
        now = Held.now()
        if minute < WARM:
            before = now
        else:
            problem = now.grown(before)
        text = f"{done} rounds, {now.memory / 1e6:.0f} MB, {now.files} files; {problem}"
        yield number, Outcome("WRONG" if problem else "ok", text, time.monotonic() - began)


def main() -> int:
    """Run the minutes that were asked for; return 1 if something has grown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="of a case, at the least")
    add_options(parser, count=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hour-") as own:
        os.environ["TMPDIR"] = tempfile.tempdir = own
        return run("hour", options, functools.partial(run_minutes, options.seconds))


if __name__ == "__main__":
    sys.exit(main())
