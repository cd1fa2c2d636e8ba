"""Data sets of TensorFlow Datasets: `tfds:NAME`.

Records lie in ArrayRecord files, which can be read at random. The labels lie in the records, too:
they are read once, in one pass, and kept in the cache.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.data.source import DatasetUnavailable
from modelzoo.environment import cache_folder, is_offline
from modelzoo.errors import InputError, reason_of
from modelzoo.files import replacing

RECORDS = 1024  # read at a time for their labels


class TfdsSet:
    """A `LibrarySet`: NAME[/CONFIGURATION][:VERSION], as TFDS writes it."""

    NAME = re.compile(r"[a-z0-9_]+(/[\w.-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)
    SHOULD_BE = (
        "tfds:NAME, as on https://www.tensorflow.org/datasets, or tfds:NAME/CONFIGURATION:1.2.3"
    )
    PACKAGES = ("tensorflow_datasets", "array_record")

    def __init__(self, name: str) -> None:
        import tensorflow_datasets as tfds

        self.builder = tfds.builder(name, file_format="array_record")
        folder = self.builder.data_path
        if not folder.exists():
            if is_offline():
                raise DatasetUnavailable(
                    f"tfds:{name} is not in {folder}, and MODELZOO_OFFLINE is set"
                )
            self.builder.download_and_prepare()
        self.features = self.builder.info.features
        self.splits = list(self.builder.info.splits)
        self.kinds = tfds.features.ClassLabel, tfds.features.Image
        decoders = {
            key: tfds.decode.SkipDecoding()
            for key, feature in self.features.items()
            if not isinstance(feature, tfds.features.ClassLabel)
        }
        self._records = {}
        for split in self.splits:
            try:
                source = self.builder.as_data_source(split=split, decoders=decoders)
            except Exception as error:
                why = reason_of(error)
                raise InputError(f"has a split {split} that can't be read: {why}") from error
            self._records[split] = source

    def labels(self, split: str, label: str) -> np.ndarray:
        """Return the labels of a split, from the cache if they were read before."""
        records = self._records[split]
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.builder.info.full_name}-{split}")
        path = cache_folder() / "labels" / f"{name}.npy"
        try:
            kept = np.load(path, allow_pickle=False)
            if kept.shape == (len(records),) and kept.dtype == np.int64:
                return kept
        except (OSError, ValueError, EOFError):  # not there, or damaged
            pass
        labels = np.empty(len(records), np.int64)
        for start in range(0, len(records), RECORDS):
            positions = list(range(start, min(start + RECORDS, len(records))))
            labels[positions] = [record[label] for record in records.__getitems__(positions)]
        with replacing(path) as temporary:
            np.save(temporary, labels)
        return labels

    def pictures(self, split: str, image: str) -> Callable[[list[int]], Sequence[Any]]:
        """Return what gives the content of the picture files at some positions."""
        records = self._records[split]
        return lambda positions: [bytes(each[image]) for each in records.__getitems__(positions)]

    def content(self, picture: Any) -> bytes | Path:
        """Return `picture`, which is the content of a file already."""
        return picture
