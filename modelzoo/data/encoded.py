"""Pictures that lie encoded, as JPEG or PNG, in files or in records, and are read as needed."""

import functools
import os
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
        self._image_shape = check_image_options(image_shape, fit, ink)
        super().__init__(count, self._image_shape)
        self._fit, self._ink = fit, ink

    @abstractmethod
    def _sources(self, positions: np.ndarray) -> Sequence[Any]:
        """Return where `_read_one` finds the pictures at these positions: files, or bytes."""

    def _read_one(self, position: int, source: Any) -> np.ndarray:
        return read_image(source, self._image_shape, fit=self._fit, ink=self._ink).pixels

    def _read(self, positions: np.ndarray) -> np.ndarray:
        batch = np.empty((len(positions), *self._image_shape), np.uint8)
        run = map if len(positions) < 4 else _readers().map  # a few are not worth waking threads
        # An error ends this at once: the first is raised, and the pictures behind it are not read.
        for row, pixels in enumerate(run(self._read_one, positions, self._sources(positions))):
            batch[row] = pixels
        return batch


@functools.cache
def _readers() -> ThreadPoolExecutor:
    """The threads that read pictures, for all sources; a source itself holds none."""
    return ThreadPoolExecutor(READERS, thread_name_prefix="read-pictures")


if hasattr(os, "register_at_fork"):  # a forked process inherits the pool, but not its threads
    os.register_at_fork(after_in_child=_readers.cache_clear)
