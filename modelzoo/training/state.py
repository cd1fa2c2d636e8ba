"""The state of a run in one file, of which no byte is trusted: arrays, and where the run stands."""

import json
import math
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from modelzoo.data import npz


@dataclass
class Progress:
    """Where a run stands; with the arrays of the model, all that resuming needs.

    batches_done and what follows tell of the epoch that was begun, if it was saved within one.
    """

    epochs_done: int = 0
    history: list[dict[str, int | float]] = field(default_factory=list)
    callbacks: list[dict[str, int | float]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float | None = None
    best_sha256: str = ""  # of best.weights.h5; "" while the arrays hold the same weights
    stopped: bool = False  # by early stopping, before the last epoch
    batches_done: int = 0
    batches: int = 0  # in an epoch
    seconds: float = 0.0  # that the batches done took
    learning_rate: float = 0.0  # that the epoch began with
    arrays: int = 0  # that were saved with this

    def told(self, epochs: int) -> str:
        """Return how much is done, such as "12 of 50 epochs and batch 800 of 1407"."""
        within = f" and batch {self.batches_done} of {self.batches}" if self.batches_done else ""
        return f"{self.epochs_done} of {epochs} epochs{within}"

    @property
    def is_at_best(self) -> bool:
        """Whether the weights saved with it are those of the best epoch."""
        return (
            self.epochs_done > 0 and self.best_epoch == self.epochs_done and not self.batches_done
        )

    def check(self) -> None:
        """Raise ValueError unless all numbers agree, as those of every run do."""
        numbers = [row.get("epoch") for row in self.history]
        times = [row.get("seconds", 0.0) for row in self.history]
        agrees = (
            numbers == list(range(1, self.epochs_done + 1))
            and all("loss" in row for row in self.history)
            and all(0 < seconds < math.inf for seconds in times)
            and (1 if numbers else 0) <= self.best_epoch <= self.epochs_done
            and (self.batches_done == 0 or 0 < self.batches_done < self.batches)
            and 0 <= self.seconds < math.inf
        )
        if not agrees:
            raise ValueError("its numbers contradict each other")


def write_state(path: Path, arrays: Iterable[np.ndarray], progress: Progress) -> None:
    """Write an .npz, taking the arrays one after the other: no second copy of all is needed."""
    with zipfile.ZipFile(path, "w") as file:
        for number, array in enumerate(arrays):
            _write_array(file, f"array{number}", array)
            progress.arrays = number + 1
        note = json.dumps(asdict(progress)).encode()
        _write_array(file, "progress", np.frombuffer(note, np.uint8))


def read_arrays(path: Path) -> list[np.ndarray]:
    """Return the arrays of a state.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or holds other things than arrays of numbers.
    """
    saved = npz.read_arrays(path)
    saved.pop("progress", None)
    wanted = [f"array{number}" for number in range(len(saved))]
    if set(wanted) != set(saved):
        raise ValueError(f"{min(set(wanted) - set(saved))} is missing")
    if others := [str(array.dtype) for array in saved.values() if array.dtype.kind not in "fiub"]:
        raise ValueError(f"it holds {others[0]}, not numbers")
    return [saved[name] for name in wanted]


def read_progress(path: Path) -> Progress:
    """Check every byte of a state against its checksums, and return where the run stood.

    Raises:
        Exception: it is damaged: zip, JSON, NumPy and msgspec have an exception each.
    """
    with zipfile.ZipFile(path) as file:
        for each in file.infolist():
            if each.compress_type != zipfile.ZIP_STORED or each.file_size != each.compress_size:
                raise ValueError("compressed")  # it could grow beyond any memory
        broken = file.testzip()
        if broken is not None:
            raise ValueError(f"{broken} is not what was written")
        count = len(file.namelist()) - 1
    note = npz.read_arrays(path, ("progress",)).get("progress")
    if note is None:
        raise ValueError("progress is missing")
    progress = msgspec.convert(json.loads(note.tobytes()), Progress)
    progress.check()
    if progress.arrays not in (0, count):  # 0: an older version wrote it
        raise ValueError(f"{count} of {progress.arrays} arrays are there")
    return progress


def _write_array(file: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with file.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)
