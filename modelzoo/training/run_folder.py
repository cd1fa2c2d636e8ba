"""The folder of a run: what is written, when, and how it is read back to resume."""

from __future__ import annotations

import contextlib
import json
import re
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import filelock
import msgspec
import numpy as np

from modelzoo.config import Config
from modelzoo.data import npz
from modelzoo.support import environment
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.files import (
    as_typed,
    is_there,
    move,
    ordinary,
    remove_leftovers,
    replacing,
    state_of,
    sync_folder,
    write_csv,
    write_text,
)
from modelzoo.support.terminal import on_one_line

if TYPE_CHECKING:
    import pandas as pd

HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
LOCK = ".lock"


class RunFolder:
    """Paths and files of one run. A context: it lets others in at the end.

    config.yaml: the resolved configuration; history.csv: a row an epoch; best.weights.h5: the
    weights of the best validation epoch; model.keras: the network with them; metrics.json,
    report.html and report-data.npz: written at the end; state.npz: what `--resume` needs, and
    state.previous.npz the one before, until the run is finished.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path = Path(path)
        self.config, self.history = path / "config.yaml", path / "history.csv"
        self.best_weights, self.model = path / "best.weights.h5", path / "model.keras"
        self.state, self.previous_state = path / "state.npz", path / "state.previous.npz"
        self.metrics = path / "metrics.json"
        self._lock = filelock.FileLock(self.path / LOCK)
        self._made: list[Path] = []  # folders that were not there before
        self._has_config = False  # one that is worth nothing without a state
        self._chosen = self.state  # which of the two is read
        self.warning = ""  # of what was chosen, in words
        self._again = f"python -m train --config {as_typed(self.config)} --out ANOTHER"

    @property
    def is_begun(self) -> bool:
        """Whether there is a state to resume from."""
        return is_there(self.state) or is_there(self.previous_state)

    @property
    def is_finished(self) -> bool:
        """Whether the result is there: metrics.json is written last, and is no use if damaged."""
        try:
            self.read_metrics()
        except InputError:
            return False
        return True

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new folder and lock it, or refuse one that holds something.

        What a training left that was killed before it could save anything is no hindrance.
        """
        folder = cls(path)
        folder._made = [each for each in (path, *path.parents) if not is_there(each)]
        with contextlib.ExitStack() as undo:
            undo.callback(folder.release)
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"{path}: cannot be a run's folder: {error.strerror}") from None
            folder._has_config = is_there(path / LOCK)  # a training was killed
            folder.lock()
            if folder.is_begun:
                raise InputError(
                    f"{path}: already holds a run; continue it with "
                    f"--resume {as_typed(path)}, or choose another --out"
                )
            ours = {LOCK, folder.config.name} if folder._has_config else {LOCK}
            if any(each.name not in ours for each in path.iterdir()):
                raise InputError(f"{path}: is not empty; choose another --out")
            undo.pop_all()
        for made in folder._made:
            sync_folder(made.parent)
        return folder

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open and lock the folder of a run that was begun, to resume it."""
        folder = cls(path)
        folder.check_is_begun()
        folder.lock()
        return folder

    def check_is_begun(self) -> None:
        """Raise an InputError unless the folder holds a run that can be resumed."""
        path = self.path
        if not is_there(path):
            raise InputError(f"{path}: there is no such folder")
        if not self.is_begun:
            raise InputError(
                f"{path}: holds no run to resume: {self.state.name} is missing. A training that "
                "ended before it saved anything is started again as it was, with the same --out"
            )
        if not self.config.is_file():
            raise InputError(f"{path}: holds no run to resume: {self.config.name} is missing")

    def lock(self) -> None:
        """Keep other trainings out; remove the temporary files of one that was killed."""
        was_killed = is_there(self.path / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"{self.path}: another training is writing to this folder") from None
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written to: {error.strerror}") from None
        if was_killed:
            remove_leftovers(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def release(self) -> None:
        """Let others in; leave nothing behind where nothing came of the run."""
        if self._lock.is_locked:
            # Windows removes no open file, a read-only disk none at all.
            with contextlib.suppress(OSError):
                if self._has_config and not self.is_begun:
                    self.config.unlink(missing_ok=True)
                (self.path / LOCK).unlink(missing_ok=True)
            self._lock.release()
            if environment.IS_WINDOWS:  # nor that of another training which has locked it since
                with contextlib.suppress(OSError):
                    (self.path / LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            for folder in self._made:
                folder.rmdir()

    def write_config(self, config: Config) -> None:
        """Write the resolved configuration, with the command that runs it again in its head."""
        self._has_config = True
        command = on_one_line(f"python -m train --config {as_typed(self.config)}")
        head = f"# Resolved by modelzoo: {command}\n"
        write_text(self.config, head + config.to_yaml())

    def write_history(self, rows: Sequence[dict[str, float]]) -> None:
        """Write history.csv; further metrics of the configuration follow the fixed columns."""
        known = [name for name in HISTORY if not rows or any(name in row for row in rows)]
        others = sorted({name for row in rows for name in row} - set(HISTORY))
        write_csv(self.history, [*known, *others], rows)

    def read_history(self) -> pd.DataFrame:
        """Return history.csv, a row an epoch."""
        import pandas as pd

        try:
            history = pd.read_csv(ordinary(self.history))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.history}: cannot be read: {reason_of(error)}") from None
        for name in ("epoch", "loss"):
            if name not in history or history[name].dtype.kind not in "iuf":
                raise InputError(f"{self.history}: damaged: there are no numbers for {name!r}")
        return history

    def read_metrics(self) -> dict[str, Any]:
        """Return metrics.json."""
        try:
            metrics = json.loads(ordinary(self.metrics).read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.metrics}: cannot be read: {reason_of(error)}") from None
        if not isinstance(metrics, dict):
            raise InputError(f"{self.metrics}: should hold an object, not {metrics!r:.80}")
        return metrics

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json, which says that the run is finished."""
        with replacing(self.metrics) as temporary:
            self.previous_state.unlink(missing_ok=True)
            temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")

    def reopen(self) -> None:
        """Let the run go on from the state that was read: a damaged one goes, and metrics.json."""
        try:
            self.metrics.unlink(missing_ok=True)
            if self._chosen == self.previous_state:
                move(self.previous_state, self.state)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written to: {error.strerror}") from None
        self._chosen = self.state

    def check_best_weights(self, progress: Progress) -> None:
        """Raise InputError unless best.weights.h5 is the file that `progress` tells of."""
        state = state_of(self.best_weights, progress.best_sha256 or None)
        if state in ("damaged", "missing"):
            raise InputError(
                f"{self.best_weights}: is {state}; the run cannot go on without the weights of its "
                f"best epoch, {progress.best_epoch}.\nTrain it again: {self._again}"
            )

    def save_state(self, arrays: Iterable[np.ndarray], progress: Progress) -> None:
        """Write everything that resuming needs into one file, so that its parts always agree.

        The arrays are taken one after the other: memory holds no second copy of them all. The state
        before is kept, for a disk that loses what it said it had written.
        """
        with replacing(self.state) as temporary:
            if self.state.exists():
                self.previous_state.unlink(missing_ok=True)
            with zipfile.ZipFile(temporary, "w") as file:
                for number, array in enumerate(arrays):
                    _write_array(file, f"array{number}", array)
                    progress.arrays = number + 1
                note = np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)
                _write_array(file, "progress", note)
            if self.state.exists():
                move(self.state, self.previous_state)

    def load_state(self) -> tuple[list[np.ndarray], Progress]:
        """Read the newest state that is whole; `warning` tells if a later one was saved."""
        self.warning, problem = "", ""
        for path in filter(is_there, (self.state, self.previous_state)):
            try:
                state = read_state(path)
            except Exception as error:  # zip, zlib, json, numpy: each damage has its own exception
                problem = problem or f"{path}: damaged: {str(error)[:300]}"
                continue
            if problem:
                self.warning = f"{problem}; going on from the state before it"
            self._chosen = path
            return state
        raise InputError(f"{problem}\nNothing can be resumed from it; train again: {self._again}")


class SharedRunFolder(RunFolder):
    """The folder of a run as all workers but the chief have it: they read it, and write nothing."""

    @classmethod
    def create(cls, path: Path) -> Self:
        """Leave making it to the chief."""
        return cls(path)

    def _leave_it(self, *_: Any, **__: Any) -> None:
        """Leave it to the chief: also a leftover may be a file that is being written."""

    lock = release = reopen = write_config = write_history = write_metrics = _leave_it

    def save_state(self, arrays: Iterable[np.ndarray], progress: Progress) -> None:
        """Write nothing; the arrays are read, which may need every worker."""
        for _ in arrays:
            pass


def default_path(model: str, dataset: str) -> Path:
    """Return runs/<model>-<dataset>-<time>, one that is not there yet."""
    label = re.sub(r"\W", "_", dataset.removeprefix("folder:"))[-40:]
    stem = f"{model}-{label}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = Path("runs") / stem, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{stem}-{number}"
    return path


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


def _write_array(file: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
        np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)


def read_state(path: Path) -> tuple[list[np.ndarray], Progress]:
    """Check every byte of a state against its checksums; return its arrays, and where it stood."""
    saved = npz.read_arrays(path)
    if "progress" not in saved:
        raise ValueError("progress is missing")
    progress = msgspec.convert(json.loads(saved.pop("progress").tobytes()), Progress)
    arrays = [saved.get(f"array{number}") for number in range(len(saved))]
    found = [array for array in arrays if array is not None and array.dtype.kind in "fiub"]
    if len(found) != len(saved) or progress.arrays not in (0, len(found)):  # 0: an older version's
        raise ValueError(f"{len(found)} of {progress.arrays} arrays of numbers are there")
    return found, progress
