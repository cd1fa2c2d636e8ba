"""What happens around batches and epochs: order, state, progress, and a stop on NaN."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from modelzoo.data.pipeline import InputPipeline
from modelzoo.errors import RunError

PLAIN_INTERVAL = 30.0  # seconds between lines within an epoch where there is no terminal
STATE = ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter")  # of Keras' callbacks


class EpochOrder(keras.callbacks.Callback):
    """Give every epoch the order and the augmentation that follow from its number."""

    def __init__(self, pipeline: InputPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shuffle for `epoch`, before its first batch is made."""
        self.pipeline.start_epoch(epoch)


class StopOnNaN(keras.callbacks.Callback):
    """End the run with a clear message when the loss is no longer a number."""

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
                f"the loss became {loss} in epoch {self.epoch + 1}, by batch {batch + 1} "
                f"(learning rate {rate:g}). Lower the learning rate, or look for pictures or "
                "labels that are not what they seem"
            )


class EpochEnd(keras.callbacks.Callback):
    """Hand each finished epoch to the run, and carry the state of the other callbacks.

    Comes last in the list, so that the others have already changed the learning rate and their
    own state when the run saves both.

    Args:
        save: called with (epoch, values, callback state) after each epoch, from 0.
        others: Keras callbacks whose state belongs to the run.
        state: what `callback_state` returned when the run was saved, or None.
    """

    def __init__(
        self,
        save: Callable[[int, dict[str, float], list[dict[str, float]]], None],
        others: list[Any],
        state: list[dict[str, float]] | None,
    ) -> None:
        super().__init__()
        self.save, self.others, self.state = save, others, state

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the saved state back, after the callbacks have reset themselves."""
        for callback, values in zip(self.others, self.state or [], strict=False):
            for name, value in values.items():
                setattr(callback, name, value)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, and note the learning rate that this epoch starts with."""
        self.started = time.perf_counter()
        self.learning_rate = learning_rate_of(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save."""
        values = {name: float(value) for name, value in (logs or {}).items()}
        values["learning_rate"] = self.learning_rate
        values["seconds"] = time.perf_counter() - self.started
        self.save(epoch, values, self.callback_state())

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


class ShowProgress(keras.callbacks.Callback):
    """A progress bar in a terminal; elsewhere a line an epoch, and one now and then within it."""

    def __init__(self, console: Console, first_epoch: int, epochs: int, steps: int) -> None:
        super().__init__()
        self.console, self.first_epoch, self.epochs, self.steps = (
            console,
            first_epoch,
            epochs,
            steps,
        )
        self.bar: Progress | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the bar."""
        self.began = self.last_line = time.monotonic()
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("batches  {task.fields[values]}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self.bar.start()
            self.task = self.bar.add_task("", total=self.steps, values="")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start a new bar."""
        self.epoch, self.epoch_began = epoch, time.monotonic()
        if self.bar:
            self.bar.reset(self.task, description=f"epoch {epoch + 1}/{self.epochs}", values="")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Show how far the epoch is."""
        now = time.monotonic()
        if self.bar:
            done = min(batch + 1, self.steps)
            self.bar.update(self.task, completed=done, values=_numbers(logs))
        elif now - self.last_line > PLAIN_INTERVAL:
            self.last_line = now
            left = (now - self.epoch_began) / (batch + 1) * (self.steps - batch - 1)
            self.console.print(
                f"epoch {self.epoch + 1}/{self.epochs}: batch {batch + 1} of {self.steps}  "
                f"{_numbers(logs)}  {_duration(left)} left in this epoch",
                highlight=False,
                soft_wrap=True,
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the epoch's line, with what is left of the run."""
        self.last_line = now = time.monotonic()
        done = epoch + 1 - self.first_epoch
        left = (now - self.began) / done * (self.epochs - epoch - 1)
        self.console.print(
            f"epoch {epoch + 1}/{self.epochs}  {_numbers(logs)}  "
            f"{now - self.epoch_began:.1f} s" + (f", {_duration(left)} left" if left else ""),
            highlight=False,
            soft_wrap=True,
        )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after an interruption."""
        if self.bar:
            self.bar.stop()


def learning_rate_of(model: keras.Model) -> float:
    """Return the learning rate of the next batch, also where each replica has a copy."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def _numbers(logs: dict[str, Any] | None) -> str:
    shown = ("loss", "accuracy", "val_loss", "val_accuracy")
    return "  ".join(f"{name} {logs[name]:.4f}" for name in shown if logs and name in logs)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
