"""A range test of learning rates (Smith 2017, arXiv:1506.01186): one short training, rate rising.

Importing this starts the framework.
"""

import math
from typing import Any, NamedTuple

import keras

from modelzoo.config import SCHEDULE, Config
from modelzoo.config.layers import nested
from modelzoo.data.source import Dataset
from modelzoo.support.errors import InputError
from modelzoo.training.callbacks import EpochOrder
from modelzoo.training.device import Device
from modelzoo.training.session import Session

LOWEST, HIGHEST = 1e-6, 10.0
MEMORY = 0.9  # of the moving average of the losses
RUINED = 4  # times the least loss, where the test ends


class RangeTest(NamedTuple):
    """What was measured: a row a batch, and what follows from it."""

    rows: list[dict[str, float]]  # `rate`, `loss` of the batch, `smoothed`
    least: float  # the learning rate of the least smoothed loss
    suggested: float  # a tenth of it, where the loss still falls and training stays stable


def find_learning_rate(config: Config, data: Dataset, device: Device, steps: int) -> RangeTest:
    """Train for at most `steps` batches, each with a higher learning rate, from 1e-6 to 10.

    The optimizer is the configuration's, with a schedule in place of its learning rate.

    Raises:
        InputError: the network learns without gradients, or the loss was never a number.
    """
    if config.network is not None and config.network.learns_alone:
        raise InputError(f"{config.name}: learns without gradients: there is no rate to find")
    rise = {"initial_learning_rate": LOWEST, "decay_steps": steps, "decay_rate": HIGHEST / LOWEST}
    schedule = {"class_name": "ExponentialDecay", "config": rise}
    config = config.with_values(nested(SCHEDULE, schedule), "the range test")
    config = config.with_values({"compile": {"steps_per_execution": 1}}, "the range test")
    session = Session(config, data, device)
    session.rehearse()
    pipeline = session.pipeline
    losses = BatchLosses(steps, pipeline.batch_size, pipeline.images_in("train"))
    with pipeline.own_errors():
        session.fitted.fit(
            pipeline.training_batches(),
            epochs=math.ceil(steps / pipeline.steps_per_epoch),
            shuffle=False,
            callbacks=[EpochOrder(pipeline), losses],
            verbose=0,
        )
    return range_test(losses.found, steps)


def range_test(losses: list[float], steps: int) -> RangeTest:
    """Return what follows from the loss of each batch, the first with the lowest rate."""
    rows: list[dict[str, float]] = []
    average = 0.0
    for step, loss in enumerate(losses):
        average = MEMORY * average + (1 - MEMORY) * loss
        smoothed = average / (1 - MEMORY ** (step + 1))
        if not math.isfinite(smoothed) or smoothed > RUINED * min(
            (row["smoothed"] for row in rows), default=math.inf
        ):
            break
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / steps)
        rows.append({"rate": rate, "loss": loss, "smoothed": smoothed})
    if not rows:
        raise InputError("the loss is no number from the first batch on: look at images and labels")
    least = min(rows, key=lambda row: row["smoothed"])["rate"]
    return RangeTest(rows, least, least / 10)


class BatchLosses(keras.callbacks.Callback):
    """Collects the loss of each batch, which Keras tells as the mean over the epoch so far."""

    def __init__(self, steps: int, batch_size: int, images: int) -> None:
        super().__init__()
        self.steps, self.batch_size, self.images = steps, batch_size, images
        self.found: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.seen, self.sum = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the loss; end where none is left to try, or training is ruined."""
        seen = min(self.images, (batch + 1) * self.batch_size)
        total = seen * float((logs or {})["loss"])
        self.found.append((total - self.sum) / (seen - self.seen))
        self.seen, self.sum = seen, total
        if len(self.found) >= self.steps or not math.isfinite(total):
            self.model.stop_training = True
