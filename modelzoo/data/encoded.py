"""Pictures that lie encoded, as JPEG or PNG, in files or in records, and are read as needed."""

import functools
import os
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from modelzoo.data.images import Fit, Ink, check_image_options, read_image
from modelzoo.data.source import ImageShape, LazyImages
from modelzoo.machine import usable_cores

READERS = min(32, usable_cores())  # threads; Pillow decodes outside Python's lock


class EncodedImages(LazyImages):
    """Pictures each of which is read, checked and fitted when it is indexed, by several threads.

    Args:
        count: how many there are.
        image_shape: height, width and channels that every picture is brought to.
        fit, ink: as in `read_image`.
    """

    def __init__(
        self, count: int, image_shape: ImageShape, *, fit: Fit = "cover", ink: Ink = "as_is"
    ) -> None:
        super().__init__(count, check_image_options(image_shape, fit, ink))
        self._fit, self._ink = fit, ink

    @abstractmethod
    def _sources(self, positions: np.ndarray) -> Sequence[Path | bytes]:
        """Return the files of the pictures at these positions, or what is in them."""

    def _read(self, positions: np.ndarray) -> np.ndarray:
        batch = np.empty((len(positions), *self.shape[1:]), np.uint8)
        sources = self._sources(positions)

        def read_into(row: int) -> None:
            image_shape = (*self.shape[1:],)
            read = read_image(sources[row], image_shape, fit=self._fit, ink=self._ink)
            batch[row] = read.pixels

        rows = range(len(positions))
        if len(rows) < 4:  # not worth waking threads
            for row in rows:
                read_into(row)
            return batch
        for _ in _readers().map(read_into, rows):  # raises the first error, cancels the rest
            pass
        return batch


@functools.cache
def _readers() -> ThreadPoolExecutor:
    """The threads that read pictures, for all sources; a source itself holds none."""
    return ThreadPoolExecutor(READERS, thread_name_prefix="read-pictures")


if hasattr(os, "register_at_fork"):  # a forked process inherits the pool, but not its threads
    os.register_at_fork(after_in_child=_readers.cache_clear)
