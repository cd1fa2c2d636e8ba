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
        return 0 < self.best_epoch == self.epochs_done and not self.batches_done

    def check(self) -> None:
        """Raise ValueError unless all numbers agree, as those of every run do."""
        numbers = [row.get("epoch") for row in self.history]
        agrees = (
            numbers == list(range(1, self.epochs_done + 1))
            and all("loss" in row for row in self.history)
            and all(0 < row.get("seconds", 0.0) < math.inf for row in self.history)
            and (1 if numbers else 0) <= self.best_epoch <= self.epochs_done
            and (self.batches_done == 0 or 0 < self.batches_done < self.batches)
            and 0 <= self.seconds < math.inf
        )
        if not agrees:
            raise ValueError("its numbers contradict each other")


def write_state(path: Path, arrays: Iterable[np.ndarray], progress: Progress) -> None:
    """Write an .npz, taking the arrays one after the other: no second copy of all is needed."""

    def write(name: str, array: np.ndarray) -> None:
        with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)

    with zipfile.ZipFile(path, "w") as file:
        for number, array in enumerate(arrays):
            write(f"array{number}", array)
            progress.arrays = number + 1
        write("progress", np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8))


def read_state(path: Path) -> tuple[list[np.ndarray], Progress]:
    """Check every byte of a state against its checksums; return its arrays, and where it stood.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or is no state.
    """
    saved = npz.read_arrays(path)
    if "progress" not in saved:
        raise ValueError("progress is missing")
    note = json.loads(saved.pop("progress").tobytes())
    progress = msgspec.convert(note, Progress)
    progress.check()
    arrays = [saved.get(f"array{number}") for number in range(len(saved))]
    found = [array for array in arrays if array is not None and array.dtype.kind in "fiub"]
    if len(found) != len(saved) or progress.arrays not in (0, len(found)):  # 0: an older version's
        raise ValueError(f"{len(found)} of {progress.arrays} arrays of numbers are there")
    return found, progress
