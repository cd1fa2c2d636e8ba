"""The folder of a run: what is written, when, and how it is read back to resume."""

import contextlib
import csv
import io
import itertools
import json
import math
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
from modelzoo.files import is_there, remove_leftovers, replacing, sync_folder, write_text
from modelzoo.weights.cache import state_of

HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
LOCK = ".lock"
FILES = (
    "config.yaml",
    "history.csv",
    "best.weights.h5",
    "state.npz",
    "state.previous.npz",
    "model.keras",
    "report-data.npz",
    "report.html",
    "metrics.json",
)


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
    best_sha256: str = ""  # of best.weights.h5; "" while the arrays hold the same weights
    stopped: bool = False  # by early stopping, before the last epoch
    batches_done: int = 0
    batches: int = 0  # in an epoch
    seconds: float = 0.0  # that the batches done took
    learning_rate: float = 0.0  # that the epoch began with

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


class RunFolder:
    """Paths and files of one run.

    config.yaml: the resolved configuration; history.csv: a row an epoch; best.weights.h5: the
    weights of the best validation epoch; model.keras: the network with them; metrics.json,
    report.html and report-data.npz: written at the end; state.npz: what `--resume` needs, and
    state.previous.npz the one before, until the run is finished.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config, self.history = self.path / "config.yaml", self.path / "history.csv"
        self.best_weights = self.path / "best.weights.h5"
        self.model, self.metrics = self.path / "model.keras", self.path / "metrics.json"
        self.state = self.path / "state.npz"
        self.previous_state = self.path / "state.previous.npz"
        self._lock = filelock.FileLock(self.path / LOCK)
        self._made: list[Path] = []  # folders that were not there before
        self._has_config = False  # one that is worth nothing without a state
        self._chosen = self.state  # which of the two is read
        self.warning = ""  # of what was chosen, in words

    @property
    def is_begun(self) -> bool:
        """Whether there is a state to resume from."""
        return is_there(self.state) or is_there(self.previous_state)

    @property
    def is_finished(self) -> bool:
        """Whether the result is there: metrics.json is written last, and is no use if damaged."""
        try:
            return isinstance(json.loads(self.metrics.read_bytes()), dict)
        except (OSError, ValueError, RecursionError):
            return False

    @classmethod
    def create(cls, path: Path) -> "RunFolder":
        """Make a new folder and lock it, or refuse one that holds something.

        What a training left that was killed before it could save anything is no hindrance.
        """
        folder = cls(path)
        folder._made = [each for each in (path, *path.parents) if not is_there(each)]
        try:
            path.mkdir(parents=True, exist_ok=True)
            was_killed = is_there(path / LOCK)
            folder.lock()
            if was_killed:
                remove_leftovers(path)
                folder._has_config = True
            folder._refuse_what_holds_something()
        except FileExistsError:
            raise InputError(f"{path}: is a file; choose another --out") from None
        except OSError as error:
            folder.release()
            raise InputError(f"{path}: cannot be made or read: {error.strerror}") from None
        except BaseException:
            folder.release()
            raise
        for made in folder._made:
            sync_folder(made.parent)
        return folder

    def _refuse_what_holds_something(self) -> None:
        if self.is_begun:
            raise InputError(
                f"{self.path}: already holds a run; continue it with --resume {self.path}, "
                "or choose another --out"
            )
        ours = {LOCK, self.config.name} if self._has_config else {LOCK}
        if any(each.name not in ours for each in self.path.iterdir()):
            raise InputError(f"{self.path}: is not empty; choose another --out")

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open and lock the folder of a run that was begun, to resume it."""
        folder = cls(path)
        if not is_there(path):
            raise InputError(f"{path}: there is no such folder")
        if not folder.is_begun:
            raise InputError(
                f"{path}: holds no run to resume: {folder.state.name} is missing. A training that "
                "ended before it saved anything is started again as it was, with the same --out"
            )
        if not folder.config.is_file():
            raise InputError(f"{path}: holds no run to resume: {folder.config.name} is missing")
        for name in FILES:
            if (path / name).is_dir():
                raise InputError(f"{path / name}: is a folder, in place of a file of the run")
        folder.lock()
        remove_leftovers(path)
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
        if not self._lock.is_locked:
            return
        with contextlib.suppress(OSError):  # Windows removes no open file; a disk may be read-only
            if self._has_config and not self.is_begun:
                self.config.unlink(missing_ok=True)
            (self.path / LOCK).unlink(missing_ok=True)
        self._lock.release()
        with contextlib.suppress(OSError):  # not empty
            for folder in self._made:
                folder.rmdir()

    def write_config(self, config: Config) -> None:
        """Write the resolved configuration, with the command that runs it again in its head."""
        self._has_config = True
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

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json, which says that the run is finished."""
        self.previous_state.unlink(missing_ok=True)
        write_text(self.metrics, json.dumps(metrics, indent=2) + "\n")

    def reopen(self) -> None:
        """Let the run go on from the state that was read: a damaged one goes, and metrics.json."""
        try:
            self.metrics.unlink(missing_ok=True)
            if self._chosen == self.previous_state:
                self.previous_state.replace(self.state)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written to: {error.strerror}") from None
        self._chosen = self.state

    def check_best_weights(self, progress: Progress) -> None:
        """Raise InputError unless best.weights.h5 is the file that `progress` tells of."""
        state = state_of(self.best_weights, progress.best_sha256 or None)
        if state in ("damaged", "missing"):
            raise InputError(
                f"{self.best_weights}: is {state}; the run cannot go on without the weights of its "
                f"best epoch, {progress.best_epoch}.\n"
                f"Train it anew: python -m train --config {self.config} --out ANOTHER"
            )

    def save_state(self, arrays: Iterable[np.ndarray], progress: Progress) -> None:
        """Write everything that resuming needs into one file, so that its parts always agree.

        The arrays are taken one after the other: memory holds no second copy of them all. The state
        before is kept, for a disk that loses what it said it had written; no more than two lie
        there at any time.
        """
        note = np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)
        named = ((f"array{index}", array) for index, array in enumerate(arrays))
        with replacing(self.state) as temporary:
            if self.state.exists():
                self.previous_state.unlink(missing_ok=True)
            with zipfile.ZipFile(temporary, "w") as file:
                for name, array in itertools.chain([("progress", note)], named):
                    with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            if self.state.exists():
                self.state.replace(self.previous_state)

    def load_progress(self) -> Progress:
        """Read where the run stands, from the newest state of which every byte is as it was.

        `warning` says so if that is not the last one that was saved.

        Raises:
            InputError: no state is whole; nothing else in the folder is touched.
        """
        self.warning, problem = "", ""
        for path in (self.state, self.previous_state):
            if not is_there(path):
                continue
            try:
                progress = _read_progress(path)
            except Exception as error:  # zip, zlib, json, numpy: each damage has its own exception
                problem = problem or f"{path}: damaged: {str(error)[:300]}"
                continue
            if problem:
                self.warning = f"{problem}; going on from the state before it"
            self._chosen = path
            return progress
        raise InputError(
            f"{problem}\nNothing can be resumed from it; train anew: "
            f"python -m train --config {self.config} --out ANOTHER"
        )

    def load_state(self) -> tuple[list[np.ndarray], Progress]:
        """Read what `save_state` wrote; raise what `load_progress` does."""
        progress = self.load_progress()
        try:
            with zipfile.ZipFile(self._chosen) as file:
                count = len(file.namelist()) - 1
                arrays = [_read_array(file, f"array{index}") for index in range(count)]
        except Exception as error:
            raise InputError(f"{self._chosen}: damaged: {str(error)[:300]}") from None
        return arrays, progress


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

    def reopen(self) -> None:
        """Remove nothing."""

    def save_state(self, arrays: Iterable[np.ndarray], progress: Progress) -> None:
        """Write nothing; the arrays are read, which may need every worker."""
        for _ in arrays:
            pass


def _read_progress(path: Path) -> Progress:
    """Check every byte of a state against its checksums, and return where the run stood."""
    with zipfile.ZipFile(path) as file:
        if any(each.compress_type != zipfile.ZIP_STORED for each in file.infolist()):
            raise ValueError("compressed")  # it could grow beyond any memory
        broken = file.testzip()
        if broken is not None:
            raise ValueError(f"{broken} is not what was written")
        values = json.loads(_read_array(file, "progress").tobytes())
    progress = msgspec.convert(values, Progress)
    progress.check()
    return progress


def _read_array(file: zipfile.ZipFile, name: str) -> np.ndarray:
    with file.open(f"{name}.npy") as member:
        array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} holds no numbers")
        if member.read(1):
            raise ValueError(f"{name} is longer than it says")
    return array


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
