"""What several test files share: a small data set that a network can learn in a second."""

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("COLUMNS", None)  # messages are compared in lines that stay whole
# oneDNN's own allocator never gives memory back: a process keeps what its largest network took.
os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")


def draw_bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy 28x28 pictures of one bright bar, whose height is the class, 0 to 9."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = generator.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 + 2 * label : 5 + 2 * label, 4:24] = 220
    return images, labels.astype("uint8")


def write_bars(folder: Path) -> Path:
    """Make a data folder that holds the data set `bars`: 200 training, 60 test images."""
    folder.mkdir()
    (x_train, y_train), (x_test, y_test) = draw_bars(200, 0), draw_bars(60, 1)
    np.savez(folder / "bars.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return folder


@pytest.fixture
def bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a data folder that holds the data set `bars`."""
    folder = write_bars(tmp_path / "data")
    monkeypatch.setenv("MODELZOO_DATA", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


MOST_GROWTH = 200_000_000  # bytes that tests may leave behind
held_at_last = 0


@pytest.fixture(autouse=True)
def give_memory_back() -> Iterator[None]:
    """Let go of networks, whenever some tests have left more than a little behind.

    Python finds their circles of references late. And TensorFlow registers, for each graph of a
    training and for good, the gradient of what Keras calls in a step: with it stay the graph, the
    weights and the optimizer's memory.
    """
    global held_at_last
    yield
    if memory_held() < held_at_last + MOST_GROWTH:
        return
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import ops

        gradients = ops.gradient_registry._registry
        for name in [name for name in gradients if name.startswith("CustomGradient-")]:
            del gradients[name]
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)
    held_at_last = memory_held()


def memory_held() -> int:
    """Return the bytes that this process holds; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0
