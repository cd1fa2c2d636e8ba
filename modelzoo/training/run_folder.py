"""The folder of a run: what is written, when, and how it is read back to resume."""

import contextlib
import itertools
import json
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import filelock
import msgspec
import numpy as np

from modelzoo.config import Config, load_config
from modelzoo.errors import InputError
from modelzoo.files import is_there, replacing, write_csv, write_text
from modelzoo.terminal import on_one_line

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
        except OSError as error:
            raise InputError(f"{path}: cannot be made or read: {error.strerror}") from None
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
        command = on_one_line(f"python -m train --config {self.config}")
        head = f"# Resolved by modelzoo: {command}\n"
        write_text(self.config, head + config.to_yaml())

    def read_config(self) -> Config:
        """Read the resolved configuration back."""
        return load_config(config_file=self.config)

    def write_history(self, rows: Sequence[dict[str, float]]) -> None:
        """Write history.csv; further metrics of the configuration follow the fixed columns."""
        known = [name for name in HISTORY if not rows or any(name in row for row in rows)]
        others = sorted({name for row in rows for name in row} - set(HISTORY))
        write_csv(self.history, [*known, *others], rows)

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
            with np.load(self.state, allow_pickle=False) as saved:
                progress = msgspec.convert(json.loads(saved["progress"].tobytes()), Progress)
                count = len(saved.files) - 1 if arrays else 0
                found = [saved[f"array{index}"] for index in range(count)]
        except Exception as error:  # zip, zlib, json, numpy: each damage has its own exception
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
