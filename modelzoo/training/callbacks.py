"""What happens around batches and epochs: their order, what is shown and saved, and Ctrl-C."""

import math
import signal
import threading
import time
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Any

import keras
import numpy as np
from rich.console import Console

from modelzoo.data.pipeline import InputPipeline
from modelzoo.support.environment import ending_signals
from modelzoo.support.errors import InputError, RunError
from modelzoo.support.files import InUseError, sha256_of
from modelzoo.support.terminal import ProgressBar, tell
from modelzoo.training.run_folder import Progress, RunFolder
from modelzoo.training.session import Session
from modelzoo.weights.reader import save_weights

LINE_INTERVAL = 30.0  # seconds between lines within an epoch where there is no terminal


class Interruption:
    """Within a block, the first of `ending_signals` is noted; the second raises KeyboardInterrupt.

    Outside the main thread, where Python hands out no signals, nothing changes.
    """

    def __init__(self, *, is_noted: bool) -> None:
        self.is_noted = is_noted and threading.current_thread() is threading.main_thread()
        self.is_wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        if self.is_noted:
            self._before = {each: signal.signal(each, self._note) for each in ending_signals()}

    def __exit__(self, *exception: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler or signal.SIG_DFL)  # None: it was set outside Python

    def end(self) -> None:
        """Raise KeyboardInterrupt if it is wanted: what must not be lost is saved."""
        if self.is_wanted:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_wanted:
            raise KeyboardInterrupt
        self.is_wanted = True


class EpochOrder(keras.callbacks.Callback):
    """Give each epoch the order and random numbers of its number."""

    def __init__(
        self, pipeline: InputPipeline, first_step: int = 0, metrics: Sequence[np.ndarray] = ()
    ) -> None:
        super().__init__()
        self.pipeline, self.first_step, self.metrics = pipeline, first_step, metrics

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shuffle for `epoch`, and put back the metrics, which `fit` has reset."""
        self.epoch = epoch
        self.pipeline.start_epoch(epoch)
        if self.first_step:
            for variable, value in zip(self.model.metrics_variables, self.metrics, strict=True):
                variable.assign(value)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """PyTorch's dropout does not draw by Keras' variables, which a run saves: seed it."""
        if keras.backend.backend() == "torch":
            import torch

            words = [self.pipeline.seed, self.epoch, self.first_step + batch, 2]
            torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))


class ShowProgress(keras.callbacks.Callback):
    """A progress bar in a terminal; elsewhere a line an epoch, and one now and then within it."""

    def __init__(self, console: Console, progress: Progress, epochs: int, steps: int) -> None:
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.first_step = progress.batches_done
        self.seconds_before = progress.seconds  # that the epoch took before this process
        self.done_before = progress.epochs_done + self.first_step / steps  # in epochs
        self.shown = ProgressBar(steps, console=console, interval=LINE_INTERVAL)
        self.began = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch, self.epoch_began = f"epoch {epoch + 1}/{self.epochs}", time.monotonic()
        self.shown.begin(self.epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        done = min(self.first_step + batch + 1, self.steps)

        def line() -> str:
            seconds = (time.monotonic() - self.epoch_began) / (batch + 1) * (self.steps - done)
            left = f"{_duration(seconds)} left in this epoch"
            return f"{self.epoch}: batch {done} of {self.steps}  {_numbers(logs)}  {left}"

        self.shown.show(done, line, note=f"batches  {_numbers(logs)}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the epoch's line, with what is left of the run."""
        now = time.monotonic()
        done = epoch + 1 - self.done_before
        left = (now - self.began) / done * (self.epochs - epoch - 1)
        seconds = now - self.epoch_began + self.seconds_before
        said = f", {_duration(left)} left" if left else ""
        self.shown.say(f"{self.epoch}  {_numbers(logs)}  {seconds:.1f} s{said}")


def _numbers(logs: dict[str, Any] | None) -> str:
    """Return loss and accuracy, and those of the validation images, in 46 columns."""
    texts = {name: f"{value:.4f}" for name, value in (logs or {}).items()}
    trained = [f"{name} {texts[name]}" for name in ("loss", "accuracy") if name in texts]
    validated = [texts[name] for name in ("val_loss", "val_accuracy") if name in texts]
    return " ".join([*trained, *([" val", *validated] if validated else [])])


def _duration(seconds: float) -> str:
    """Return a rough time, rounded up to minutes where it is longer than one."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


REMEMBERED = ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter")  # by callbacks


class Saving(keras.callbacks.Callback):
    """Saves a run after each epoch, now and then within it, and when interrupted; stops it on NaN.

    It comes last, when the other callbacks have changed the learning rate and what they remember.
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

    def load(self) -> None:
        """Read the state, and put its arrays into the network and the optimizer."""
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
        self.write_history()
        self.say(f"resuming {folder.path}: {self.done} are done")

    def write_history(self) -> None:
        """Write history.csv; one that is open in another program is written after a later epoch."""
        try:
            self.folder.write_history(self.progress.history)
        except InUseError as error:
            self.say(f"notice: {error}; close it there, and the next epoch writes it whole")

    def save(self) -> None:
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
        self.write_history()
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
