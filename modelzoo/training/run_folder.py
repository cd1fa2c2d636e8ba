"""The folder of a run: what is written, when, and how it is read back to resume."""

import contextlib
import csv
import io
import itertools
import json
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import msgspec
import numpy as np

from modelzoo.config import Config, load_config
from modelzoo.data.npz import read_arrays
from modelzoo.errors import InputError
from modelzoo.files import is_there, replacing, write_text

if TYPE_CHECKING:
    import pandas as pd

HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")


@dataclass
class Progress:
    """Where a run stands; with the arrays of the model, all that resuming needs.

    The last four tell of the epoch that was begun, if the state was saved within one.
    """

    epochs_done: int = 0
    history: list[dict[str, int | float]] = field(default_factory=list)
    callbacks: list[dict[str, int | float]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float | None = None
    stopped: bool = False  # by early stopping, before the last epoch
    batches_done: int = 0
    batches: int = 0  # in an epoch
    seconds: float = 0.0  # that the batches done took
    learning_rate: float = 0.0  # that the epoch began with

    def told(self, epochs: int) -> str:
        """Return how much is done, such as "12 of 50 epochs and batch 800 of 1407"."""
        within = f" and batch {self.batches_done} of {self.batches}" if self.batches_done else ""
        return f"{self.epochs_done} of {epochs} epochs{within}"


class RunFolder:
    """Paths and files of one run.

    config.yaml: the resolved configuration; history.csv: a row an epoch; best.weights.h5: the
    weights of the best validation epoch; model.keras: the network with them; metrics.json,
    report.html and report-data.npz: written at the end; state.npz: what `--resume` needs.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config, self.history = self.path / "config.yaml", self.path / "history.csv"
        self.best_weights = self.path / "best.weights.h5"
        self.model, self.metrics = self.path / "model.keras", self.path / "metrics.json"
        self.state = self.path / "state.npz"
        self._lock = filelock.FileLock(self.path / ".lock")
        self._made: list[Path] = []  # folders that were not there before

    @classmethod
    def create(cls, path: Path) -> "RunFolder":
        """Make a new folder and lock it, or refuse one that holds something."""
        folder = cls(path)
        folder._made = [each for each in (path, *path.parents) if not is_there(each)]
        if is_there(folder.state):
            raise InputError(
                f"{path}: already holds a run; continue it with --resume {path}, "
                "or choose another --out"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(each.name != ".lock" for each in path.iterdir()):
                raise InputError(f"{path}: is not empty; choose another --out")
        except FileExistsError:
            raise InputError(f"{path}: is a file; choose another --out") from None
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            raise InputError(f"{path}: cannot be made or read: {_reason(error)}") from None
        folder.lock()
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open and lock the folder of a run that was begun, to resume it."""
        folder = cls(path)
        for needed in (folder.config, folder.state):
            if not needed.is_file():
                raise InputError(f"{path}: holds no run to resume: {needed.name} is missing")
        folder.lock()
        return folder

    def lock(self) -> None:
        """Keep other trainings out, for as long as this process has the folder."""
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"{self.path}: another training is writing to this folder") from None
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written to: {error.strerror}") from None

    def release(self) -> None:
        """Let others in; leave nothing behind where nothing came of the run."""
        if not self.state.exists():
            self.config.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows removes no open file
            (self.path / ".lock").unlink(missing_ok=True)
        self._lock.release()
        with contextlib.suppress(OSError):  # not empty
            for folder in self._made:
                folder.rmdir()

    def write_config(self, config: Config) -> None:
        """Write the resolved configuration, with the command that runs it again in its head."""
        head = f"# Resolved by modelzoo: python -m train --config {self.config}\n"
        write_text(self.config, head + config.to_yaml())

    def read_config(self) -> Config:
        """Read the resolved configuration back."""
        return load_config(config_file=self.config)

    def write_history(self, rows: Sequence[dict[str, float]]) -> None:
        """Write history.csv; further metrics of the configuration follow the fixed columns."""
        known = [name for name in HISTORY if not rows or any(name in row for row in rows)]
        others = sorted({name for row in rows for name in row} - set(HISTORY))
        text = io.StringIO()
        writer = csv.DictWriter(text, [*known, *others], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.history, text.getvalue())

    def read_history(self) -> "pd.DataFrame":
        """Return history.csv, a row an epoch.

        Raises:
            InputError: it is missing, or no table.
        """
        import pandas as pd

        try:
            return pd.read_csv(self.history)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.history}: cannot be read: {_reason(error)}") from None

    def read_metrics(self) -> dict[str, Any]:
        """Return metrics.json.

        Raises:
            InputError: it is missing, or holds no JSON object.
        """
        try:
            metrics = json.loads(self.metrics.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.metrics}: cannot be read: {_reason(error)}") from None
        if not isinstance(metrics, dict):
            raise InputError(f"{self.metrics}: should hold an object, not {metrics!r:.80}")
        return metrics

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json."""
        write_text(self.metrics, json.dumps(metrics, indent=2) + "\n")

    def save_state(self, arrays: Iterable[np.ndarray], progress: Progress) -> None:
        """Write everything that resuming needs into one file, so that its parts always agree.

        The arrays are taken one after the other: memory holds no second copy of them all.
        """
        note = np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)
        named = ((f"array{index}", array) for index, array in enumerate(arrays))
        with replacing(self.state) as temporary, zipfile.ZipFile(temporary, "w") as file:
            for name, array in itertools.chain([("progress", note)], named):
                with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    def load_progress(self) -> Progress:
        """Read where the run stands, without its arrays.

        Raises:
            InputError: the file is damaged; nothing else in the folder is touched.
        """
        return self._read_state(arrays=False)[1]

    def load_state(self) -> tuple[list[np.ndarray], Progress]:
        """Read what `save_state` wrote; raise what `load_progress` does."""
        return self._read_state(arrays=True)

    def _read_state(self, *, arrays: bool) -> tuple[list[np.ndarray], Progress]:
        try:
            saved = read_arrays(self.state, None if arrays else ("progress",))
            if missing := {"progress", *(f"array{n}" for n in range(len(saved) - 1))} - set(saved):
                raise ValueError(f"{min(missing)} is missing")
            progress = msgspec.convert(json.loads(saved.pop("progress").tobytes()), Progress)
            found = [saved[f"array{index}"] for index in range(len(saved))]
            if others := [str(array.dtype) for array in found if array.dtype.kind not in "fiub"]:
                raise ValueError(f"it holds {others[0]}, not numbers")
        except (OSError, ValueError, RecursionError) as error:  # msgspec's and json's are such
            raise InputError(f"{self.state}: damaged, cannot resume from it: {error}") from None
        if progress.epochs_done and not self.best_weights.is_file():
            raise InputError(f"{self.best_weights}: is missing; the run cannot go on without it")
        return found, progress


class SharedRunFolder(RunFolder):
    """The folder of a run as all workers but the chief have it: they read it, and write nothing."""

    @classmethod
    def create(cls, path: Path) -> "SharedRunFolder":
        """Leave making it to the chief."""
        return cls(path)

    def lock(self) -> None:
        """Leave the lock to the chief."""

    def release(self) -> None:
        """Leave the lock, and tidying up, to the chief."""

    def write_config(self, config: Config) -> None:
        """Write nothing."""

    def write_history(self, rows: Sequence[dict[str, float]]) -> None:
        """Write nothing."""

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write nothing."""

    def save_state(self, arrays: Iterable[np.ndarray], progress: Progress) -> None:
        """Write nothing; the arrays are read, which may need every worker."""
        for _ in arrays:
            pass


def _reason(error: Exception) -> str:
    """Return what is wrong with a file, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def default_path(model: str, dataset: str) -> Path:
    """Return runs/<model>-<dataset>-<time>, one that is not there yet."""
    label = "".join(
        letter if letter.isalnum() else "_" for letter in dataset.removeprefix("folder:")
    )
    stem = f"{model}-{label[-40:]}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = Path("runs") / stem, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{stem}-{number}"
    return path
