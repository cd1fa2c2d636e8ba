"""What a training keeps on the disk: its state, after an epoch or within, and its best weights."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import keras
import numpy as np
from rich.console import Console

from modelzoo.support.errors import InputError, RunError
from modelzoo.support.hashes import sha256_of
from modelzoo.support.terminal import tell
from modelzoo.training.callbacks import Interruption
from modelzoo.training.run_folder import RunFolder
from modelzoo.training.session import Session
from modelzoo.training.state import Progress
from modelzoo.weights.writer import save_weights

REMEMBERED = ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter")  # by callbacks


class Saving(keras.callbacks.Callback):
    """Saves a run after each epoch, now and then within it, and when interrupted; stops it on NaN.

    Comes last among the callbacks, so that the others have already changed the learning rate and
    what they remember when the run saves both.

    Args:
        session: whose network and optimizer are saved.
        folder: of a new run, or of one that was begun: `load` puts back what that saved.
        console: where notices go.

    Attributes:
        progress: where the run stands.
        done: what is saved of it, in words.
        running: the metrics of the epoch that was begun, an array each.
        interruption: makes an epoch end early, after it was saved, with KeyboardInterrupt.
    """

    def __init__(self, session: Session, folder: RunFolder, console: Console) -> None:
        super().__init__()
        self.session, self.folder, self.say = session, folder, partial(tell, console)
        self.progress, self.done = Progress(), "nothing"
        self.running: list[np.ndarray] = []
        # Several replicas are saved when all are at the end of an epoch.
        alone = session.distribution.replicas == 1
        self.interruption = Interruption(is_noted=alone)
        self.has_said = False
        self.save_seconds = 60 * session.config.trainer.save_minutes if alone else math.inf

    def begin(self) -> None:
        """Write the configuration, and the state before the first epoch."""
        self.folder.write_config(self.session.config)
        self.save()

    def load(self) -> None:
        """Read the state, and put its arrays into the network and the optimizer.

        Raises:
            InputError: it is damaged, or belongs to another network or other data.
        """
        known = self.progress.best_sha256  # the state of the best epoch was written before its file
        arrays, progress = self.folder.load_state()
        session, state = self.session, self.folder.state
        progress.best_sha256 = progress.best_sha256 or known
        within, steps = progress.batches_done > 0, session.pipeline.steps_per_epoch
        variables = session.variables(within_epoch=within)
        if [tuple(variable.shape) for variable in variables] != [each.shape for each in arrays]:
            raise InputError(f"{state}: belongs to another network than config.yaml")
        if within and progress.batches != steps:
            raise InputError(
                f"{state}: was saved within an epoch of {progress.batches} batches, which now has "
                f"{steps}: the data set or data.batch_size is another one"
            )
        if within and session.distribution.replicas > 1:
            raise InputError(
                f"{state}: was saved within an epoch, which one process has to end: resume it with "
                "--distribute none"
            )
        with session.distribution.scope():
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
        self.progress, self.done = progress, progress.told(session.config.fit.epochs)
        self.running = arrays[len(session.variables(within_epoch=False)) :]

    def go_on(self) -> None:
        """Mend what a kill has left of the run whose state was loaded; its files count again."""
        folder, progress = self.folder, self.progress
        if folder.warning:
            self.say(f"warning: {folder.warning}")
        if progress.is_at_best:  # it may have been killed before it had written them
            self._keep_best()
        elif progress.epochs_done and not folder.warning:
            # else a later epoch, which is trained again, may have other ones
            folder.check_best_weights(progress)
        folder.write_config(self.session.config)
        folder.reopen()
        folder.write_history(progress.history)
        self.say(f"resuming {folder.path}: {self.done} are done")

    def save(self) -> None:
        """Write state.npz."""
        variables = self.session.variables(within_epoch=self.progress.batches_done > 0)
        self.folder.save_state(map(_to_numpy, variables), self.progress)
        self.done = self.progress.told(self.session.config.fit.epochs)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put back what the callbacks remembered, after they have reset themselves."""
        self.first_step = self.progress.batches_done
        for callback, values in zip(self.session.callbacks, self.progress.callbacks, strict=False):
            for name in REMEMBERED:
                if name in values:
                    setattr(callback, name, values[name])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, and note the learning rate that this epoch starts with."""
        self.epoch, self.started = epoch, time.perf_counter()
        self.saved = self.started
        if self.first_step:
            self.started -= self.progress.seconds
        else:
            _ = self.model  # JAX: Keras puts the state of the training back into the variables
            self.progress.learning_rate = self.session.learning_rate

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, if it is time to or the run is interrupted; the last batch is the epoch's end."""
        done, batches = self.first_step + batch + 1, self.session.pipeline.steps_per_epoch
        loss = float((logs or {}).get("loss", 0.0))  # the mean, which one NaN makes NaN for good
        if not math.isfinite(loss):
            raise self._ruined(f"the loss became {loss} in epoch {self.epoch + 1}, by batch {done}")
        now, progress = time.perf_counter(), self.progress
        is_time = now - self.saved >= self.save_seconds
        if done >= batches or not (is_time or self.interruption.is_wanted):
            return
        progress.batches_done, progress.batches = done, batches
        progress.seconds = now - self.started
        _ = self.model  # JAX: as above
        self.save()
        self.saved = time.perf_counter()
        self.interruption.end()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Say why an interruption takes its time: an epoch whose batches are done is finished."""
        if self.interruption.is_wanted and not self.has_said:
            self.has_said = True
            self.say("interrupted: validating, then saving the epoch; once more stops at once")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save the state, then the best weights: after a kill in between, the state has them."""
        session, progress, number = self.session, self.progress, epoch + 1
        trained = session.network.trainable_variables
        if not all(np.isfinite(_to_numpy(each)).all() for each in trained):
            # The loss of the last batch was computed before.
            raise self._ruined(f"the weights became NaN or infinite in epoch {number}")
        row = {"epoch": number} | {name: float(value) for name, value in (logs or {}).items()}
        value = row.get("val_accuracy", row.get("accuracy"))
        no_validation = "val_accuracy" not in row
        if progress.best_value is None or no_validation or (value or 0.0) > progress.best_value:
            progress.best_value, progress.best_epoch, progress.best_sha256 = value, number, ""
        row["learning_rate"] = progress.learning_rate
        row["seconds"] = time.perf_counter() - self.started
        progress.history.append(row)
        progress.callbacks = [
            {n: float(value) for n in REMEMBERED if (value := getattr(each, n, None)) is not None}
            for each in session.callbacks
        ]
        progress.epochs_done, progress.stopped = number, bool(session.fitted.stop_training)
        progress.batches_done, progress.batches, progress.seconds = 0, 0, 0.0
        self.save()
        if progress.is_at_best:
            self._keep_best()
        self.folder.write_history(progress.history)
        self.interruption.end()

    def _ruined(self, what: str) -> RunError:
        """Return the error that ends a run whose numbers are none any more."""
        return RunError(
            f"{what} (learning rate {self.session.learning_rate:g}). Lower the learning rate, or "
            "look for images or labels that are not what they seem"
        )

    def _keep_best(self) -> None:
        """Write best.weights.h5 from the network as it is."""
        if self.session.distribution.is_chief:
            save_weights(self.session.network, self.folder.best_weights)
            self.progress.best_sha256 = sha256_of(self.folder.best_weights)


def _to_numpy(variable: Any) -> np.ndarray:
    if keras.backend.backend() == "tensorflow":  # where Keras would copy twice
        array: np.ndarray = variable.value.numpy()
        return array
    return np.asarray(keras.ops.convert_to_numpy(variable))
