"""What happens around batches and epochs: their order, what is shown, and Ctrl-C."""

import math
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

import keras
import numpy as np
from rich.console import Console

from modelzoo.data.pipeline import InputPipeline
from modelzoo.support.progress import Progress
from modelzoo.training.state import Progress as RunProgress

LINE_INTERVAL = 30.0  # seconds between lines within an epoch where there is no terminal


class Interruption:
    """Within a block, the first SIGINT or SIGTERM is noted; the second raises KeyboardInterrupt.

    Outside the main thread, where Python hands out no signals, or if none `is_noted`, nothing
    changes.
    """

    def __init__(self, *, is_noted: bool) -> None:
        self.is_noted = is_noted and threading.current_thread() is threading.main_thread()
        self.is_wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        if self.is_noted:
            signals = (signal.SIGINT, signal.SIGTERM)
            self._before = {each: signal.signal(each, self._note) for each in signals}

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
    """Give every epoch the order and the random numbers that follow from its number.

    Args:
        pipeline: whose order and augmentation it sets.
        first_step: batches of the first epoch that are already done.
        metrics: their running values then, of `keras.Model.metrics_variables`, one array each.
    """

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

    def __init__(self, console: Console, progress: RunProgress, epochs: int, steps: int) -> None:
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.first_step = progress.batches_done
        self.seconds_before = progress.seconds  # that the epoch took before this process
        self.done_before = progress.epochs_done + self.first_step / steps  # in epochs
        self.shown = Progress(steps, console=console, interval=LINE_INTERVAL)
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

    def close(self) -> None:
        """Give the terminal back, also after an interruption."""
        self.shown.close()


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
