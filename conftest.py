"""What all tests share: the data set `bars`, and a watch over the memory that they leave behind."""

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardening.bars import write_bars

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("COLUMNS", None)  # messages are compared in lines that stay whole
# oneDNN's own allocator never gives memory back: a process keeps what its largest network took.
os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")


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
