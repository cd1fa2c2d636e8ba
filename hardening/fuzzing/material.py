"""Small right files that cases are mutated from."""

import os
from pathlib import Path

import numpy as np

from hardening.fuzzing.worker import command

PROJECT = Path(__file__).parents[2]
CONFIGS = PROJECT / "configs"
TINY = """\
base: lenet5
data: {dataset: tiny, batch_size: 16, validation_split: 12}
fit: {epochs: 1}
"""


def tiny_arrays(side: int = 28, channels: int = 1, classes: int = 3) -> dict[str, np.ndarray]:
    """48 training and 24 test images, a stripe in another place for each class."""
    labels = np.arange(48) % classes
    images = np.zeros((48, side, side, channels), np.uint8)
    for image, label in zip(images, labels, strict=True):
        start = side * label // classes
        image[:, start : start + max(1, side // classes)] = 255
    names = np.array([f"class {label}" for label in range(classes)])
    return {
        "x_train": images,
        "y_train": labels,
        "x_test": images[:24],
        "y_test": labels[:24],
        "class_names": names,
    }


def write_data() -> Path:
    """Put `tiny`, and tiny data sets under the names of real ones, into the data folder."""
    folder = Path(os.environ["MODELZOO_DATA"])
    sets = {
        "tiny": (28, 1, 3),
        "tiny_rgb": (32, 3, 3),
        "mnist": (28, 1, 10),
        "fashion_mnist": (28, 1, 10),
        "cifar10": (32, 3, 10),
        "cifar10_jpeg75": (32, 3, 10),
        "cifar100": (32, 3, 100),
    }
    for name, (side, channels, classes) in sets.items():
        arrays = tiny_arrays(side, channels, classes)
        if name not in ("tiny", "tiny_rgb"):
            del arrays["class_names"]
        if not (folder / f"{name}.npz").exists():
            np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    return folder


def write_run(folder: Path) -> Path:
    """Train `tiny` for an epoch; return the folder of the run."""
    write_data()
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = folder.with_suffix(".yaml")
    config.write_text(TINY)
    command("train", "--model", str(config), "--device", "cpu", "--out", str(folder))
    return folder


def start() -> None:
    """Start the framework."""
    from modelzoo.training.device import start_framework

    start_framework("tensorflow", "cpu")


def forget() -> None:
    """Let Keras forget the networks of the cases before."""
    import keras

    keras.backend.clear_session(free_memory=False)  # the worker collects after each case
