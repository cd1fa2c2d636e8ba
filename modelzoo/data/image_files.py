"""The files of images with the numbers of their classes, a million of them in little memory."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelzoo.data.images import read_lazily
from modelzoo.data.source import ImageShape, LazyImages


@dataclass
class ImageFiles:
    """Image files with the numbers of their classes.

    Names are kept as bytes: the 1.2 million of ImageNet take 30 MB.
    """

    folders: list[Path]
    folder: np.ndarray  # the position in `folders` of each file
    names: np.ndarray  # bytes
    labels: np.ndarray  # int64

    @classmethod
    def of(cls, groups: Iterable[tuple[int, Path, Sequence[str]]]) -> ImageFiles:
        """Make them of groups: a class, a folder, and the names in it."""
        groups = list(groups)
        counts = [len(names) for _, _, names in groups]
        names = itertools.chain.from_iterable(names for _, _, names in groups)
        return cls(
            [folder for _, folder, _ in groups],
            np.repeat(np.arange(len(groups)), counts),
            np.array([os.fsencode(name) for name in names]),
            np.repeat(np.array([label for label, _, _ in groups], np.int64), counts),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def paths(self, positions: np.ndarray) -> list[Path]:
        """Return the files at some positions."""
        return [
            self.folders[self.folder[each]] / os.fsdecode(self.names[each]) for each in positions
        ]

    def take(self, positions: np.ndarray) -> ImageFiles:
        """Return those at some positions."""
        chosen = (each[positions] for each in (self.folder, self.names, self.labels))
        return ImageFiles(self.folders, *chosen)

    def read(self, shape: ImageShape, read: Callable[[Path], np.ndarray]) -> LazyImages:
        """Return the images, read when they are asked for."""
        return read_lazily(len(self), shape, self.paths, read)

    def followed_by(self, other: ImageFiles) -> ImageFiles:
        """Return these and others behind them."""
        return ImageFiles(
            [*self.folders, *other.folders],
            np.concatenate([self.folder, other.folder + len(self.folders)]),
            np.concatenate([self.names, other.names]),
            np.concatenate([self.labels, other.labels]),
        )
