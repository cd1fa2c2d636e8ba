"""What happens around batches and epochs: order, state, progress, and a stop on NaN."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from rich.console import Console

from modelzoo.data.pipeline import InputPipeline
from modelzoo.errors import RunError
from modelzoo.progress import Progress
from modelzoo.training.interruption import Interruption
from modelzoo.training.state import Progress as RunProgress

LINE_INTERVAL = 30.0  # seconds between lines within an epoch where there is no terminal
STATE = ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter")  # of Keras' callbacks


class EpochOrder(keras.callbacks.Callback):
    """Give every epoch the order and the random numbers that follow from its number.

    Args:
        pipeline: whose order and augmentation it sets.
        first_step: batches of the first epoch that are already done.
    """

    def __init__(self, pipeline: InputPipeline, first_step: int = 0) -> None:
        super().__init__()
        self.pipeline, self.first_step = pipeline, first_step

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shuffle for `epoch`, before its first batch is made."""
        self.epoch = epoch
        self.pipeline.start_epoch(epoch)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """PyTorch's dropout does not draw by Keras' variables, which a run saves: seed it."""
        if keras.backend.backend() == "torch":
            import torch

            words = [self.pipeline.seed, self.epoch, self.first_step + batch, 2]
            torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))


class StopOnNaN(keras.callbacks.Callback):
    """End the run with a clear message when the loss is no longer a number.

    Args:
        first_step: batches of the first epoch that are already done.
    """

    def __init__(self, first_step: int = 0) -> None:
        super().__init__()
        self.first_step = first_step

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start counting."""
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch for the message."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the running loss; one NaN batch makes it NaN for good."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            rate = learning_rate_of(self.model)
            raise RunError(
                f"the loss became {loss} in epoch {self.epoch + 1}, "
                f"by batch {self.first_step + batch + 1} "
                f"(learning rate {rate:g}). Lower the learning rate, or look for pictures or "
                "labels that are not what they seem"
            )


class SaveProgress(keras.callbacks.Callback):
    """Hand what was reached to the run: each epoch, now and then within it, and when interrupted.

    Comes last in the list, so that the others have already changed the learning rate and their
    own state when the run saves both.

    Args:
        progress: where the run stands; its callbacks' state is put back at the beginning, and what
            is done within an epoch is noted in it before `save_batch` is called.
        batches: in an epoch.
        save_epoch: called with (epoch, values, callback state) after each epoch, from 0.
        save_batch: called within an epoch, at most every `save_minutes`.
        others: Keras callbacks whose state belongs to the run.
        interruption: makes an epoch end early, after it was saved, with KeyboardInterrupt.
        say: prints a line.
    """

    def __init__(
        self,
        progress: RunProgress,
        batches: int,
        *,
        save_epoch: Callable[[int, dict[str, float], list[dict[str, float]]], None],
        save_batch: Callable[[], None],
        save_minutes: float,
        others: list[Any],
        interruption: Interruption,
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.progress, self.batches, self.others = progress, batches, others
        self.save_epoch, self.save_batch, self.save_minutes = save_epoch, save_batch, save_minutes
        self.interruption, self.say = interruption, say
        self.first_step = progress.batches_done
        self.has_said = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the saved state back, after the callbacks have reset themselves."""
        for callback, values in zip(self.others, self.progress.callbacks, strict=False):
            for name in STATE:
                if name in values:
                    setattr(callback, name, values[name])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, and note the learning rate that this epoch starts with."""
        self.started = self.saved = time.perf_counter()
        if self.first_step:
            self.started -= self.progress.seconds
        else:
            self.progress.learning_rate = learning_rate_of(self.model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, if it is time to or the run is interrupted; the last batch is the epoch's end."""
        done = self.first_step + batch + 1
        now = time.perf_counter()
        is_time = now - self.saved >= 60 * self.save_minutes
        if done >= self.batches or not (is_time or self.interruption.is_wanted):
            return
        progress = self.progress
        progress.batches_done, progress.batches = done, self.batches
        progress.seconds = now - self.started
        _ = self.model  # JAX: Keras puts the state of the training back into the variables
        self.save_batch()
        self.saved = time.perf_counter()
        self.interruption.end()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Say why an interruption takes its time: an epoch whose batches are done is finished."""
        if self.interruption.is_wanted and not self.has_said:
            self.has_said = True
            self.say("interrupted: validating, then saving the epoch; once more stops at once")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save."""
        values = {name: float(value) for name, value in (logs or {}).items()}
        values["learning_rate"] = self.progress.learning_rate
        values["seconds"] = time.perf_counter() - self.started
        self.save_epoch(epoch, values, self.callback_state())
        self.interruption.end()

    def callback_state(self) -> list[dict[str, float]]:
        """Return the numbers that the other callbacks decide by."""
        return [
            {
                name: float(value)
                for name in STATE
                if (value := getattr(each, name, None)) is not None
            }
            for each in self.others
        ]


class RestoreMetrics(keras.callbacks.Callback):
    """Give Keras' metrics the running values that an epoch was saved with.

    Args:
        values: of `keras.Model.metrics_variables`, one array each.
    """

    def __init__(self, values: list[np.ndarray]) -> None:
        super().__init__()
        self.values = values

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put them back, after `fit` has reset the metrics."""
        for variable, value in zip(self.model.metrics_variables, self.values, strict=True):
            variable.assign(value)


class ShowProgress(keras.callbacks.Callback):
    """A progress bar in a terminal; elsewhere a line an epoch, and one now and then within it."""

    def __init__(self, console: Console, progress: RunProgress, epochs: int, steps: int) -> None:
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.first_step = progress.batches_done
        self.seconds_before = progress.seconds  # that the epoch took before this process
        self.done_before = progress.epochs_done + self.first_step / steps  # in epochs
        self.shown = Progress(steps, console=console, interval=LINE_INTERVAL)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Look at the clock."""
        self.began = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start a new bar."""
        self.epoch, self.epoch_began = f"epoch {epoch + 1}/{self.epochs}", time.monotonic()
        self.shown.begin(self.epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Show how far the epoch is."""
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

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after an interruption."""
        self.shown.close()


def learning_rate_of(model: keras.Model) -> float:
    """Return the learning rate of the next batch, also where each replica has a copy.

    Raises:
        ValueError: a schedule gives several.
    """
    rate = np.asarray(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    if rate.shape:
        raise ValueError(f"the learning rate is no number, but of the shape {rate.shape}")
    return float(rate)


def _numbers(logs: dict[str, Any] | None) -> str:
    """Return loss and accuracy, and those of the validation images, in 46 columns."""
    values = logs or {}

    def number(name: str) -> list[str]:
        return [f"{values[name]:.4f}"] if name in values else []

    trained = [f"{name} {text}" for name in ("loss", "accuracy") for text in number(name)]
    validated = [*number("val_loss"), *number("val_accuracy")]
    return " ".join([*trained, *([" val", *validated] if validated else [])])


def _duration(seconds: float) -> str:
    """Return a rough time, rounded up to minutes where it is longer than one."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
