"""What one pass over a split is made of, and its batches for JAX and PyTorch."""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from modelzoo.data.source import ImageSource

READ_AHEAD = 2  # batches of files: one is being read while another is waited for


@dataclass(frozen=True)
class BatchSource:
    """One pass over a split, or, in training, one after the other."""

    images: ImageSource  # of the whole data set, uint8
    labels: np.ndarray  # their class numbers
    order: np.ndarray  # positions of the images; a training epoch shuffles it in place
    seeds: np.ndarray  # of each batch's augmentation, (batches, states, 2); in place, too
    batch_size: int  # the last may be smaller
    first_step: int  # batches before it were trained on already, and are not made
    finish: Callable[[Any, Any, Any], tuple[Any, Any]]  # from images, labels, seeds to a batch

    @property
    def steps(self) -> int:
        """Batches in a whole pass."""
        return -(-len(self.order) // self.batch_size)

    @property
    def in_memory(self) -> bool:
        """Whether a batch is gathered from an array, not read from files."""
        return isinstance(self.images, np.ndarray)

    def chosen(self, step: Any, order: Any = None) -> Any:
        """Return the positions of the images of batch number `step`."""
        order = self.order if order is None else order
        return order[step * self.batch_size : (step + 1) * self.batch_size]


class NumpyBatches(keras.utils.PyDataset):
    """The batches of a pass, gathered by NumPy."""

    def __init__(self, batches: BatchSource) -> None:
        super().__init__(workers=0)
        self.batches = batches
        self._ahead: dict[int, Future[np.ndarray]] = {}  # by step: files that are being read

    @property
    def num_batches(self) -> int:
        """Batches from the first step on."""
        return self.batches.steps - self.batches.first_step

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return batch number `index` from the first step on."""
        batches, step = self.batches, self.batches.first_step + index
        labels = batches.labels[batches.chosen(step)]
        return batches.finish(self._images(step), labels, batches.seeds[step])

    def _images(self, step: int) -> np.ndarray:
        """Return the images of a batch; files of those that follow are read in the meantime."""
        batches = self.batches
        if batches.in_memory:
            return batches.images[batches.chosen(step)]
        if step not in self._ahead or step == batches.first_step:
            self._ahead.clear()  # of another epoch, in another order
        for each in range(step, min(step + 1 + READ_AHEAD, batches.steps)):
            if each not in self._ahead:
                chosen = batches.chosen(each).copy()  # the next epoch shuffles in place
                self._ahead[each] = _readers().submit(batches.images.__getitem__, chosen)
        return self._ahead.pop(step).result()


@functools.cache
def _readers() -> ThreadPoolExecutor:
    """The threads that read batches ahead."""
    return ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="read-batches")
