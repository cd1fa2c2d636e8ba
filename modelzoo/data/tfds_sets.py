"""Data sets of TensorFlow Datasets: `tfds:NAME`.

Records lie in ArrayRecord files, which can be read at random. The labels lie in the records, too:
they are read once, in one pass, and kept in the cache.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.data.library_sets import (
    LibraryImages,
    choose_test_split,
    make_dataset,
    needed_shape,
    the_only,
)
from modelzoo.data.source import Dataset, DatasetUnavailable, ImageShape
from modelzoo.environment import cache_folder, is_offline
from modelzoo.errors import InputError, reason_of
from modelzoo.files import replacing
from modelzoo.requirements import check_installed

NAME = re.compile(r"[a-z0-9_]+(/[\w.-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)
RECORDS = 1024  # read at a time for their labels


def check_tfds_name(name: str) -> str:
    """Return NAME[/CONFIGURATION][:VERSION] of `tfds:NAME`, as TFDS writes it.

    Raises:
        InputError: it is no such name, or the package is not installed. Nothing is imported.
    """
    rest = name.removeprefix("tfds:")
    if not NAME.fullmatch(rest):
        raise InputError(
            f"{name:.100}: should be tfds:NAME, as on https://www.tensorflow.org/datasets, or "
            "tfds:NAME/CONFIGURATION:1.2.3"
        )
    check_installed(f"the data set {name}", "tensorflow_datasets", "array_record")
    return rest


def load_tfds(name: str, image_shape: ImageShape | None, **image_options: Any) -> Dataset:
    """Load a data set of TFDS whose pictures are read as they are needed.

    Args:
        name: `tfds:NAME`; it is fetched and prepared if that was not done before.
        image_shape: height, width and channels that every picture is brought to.
        image_options: `fit` and `ink` of `read_image`.

    Raises:
        DatasetUnavailable: there is none, or it cannot be fetched.
        InputError: it is not one for the classification of pictures, or has nothing to test on.
    """
    rest = check_tfds_name(name)
    shape = needed_shape(name, image_shape)
    import tensorflow_datasets as tfds

    builder = _prepared_builder(tfds, name, rest)
    features = builder.info.features
    label = the_only(name, "classes (ClassLabel)", features, tfds.features.ClassLabel, "label")
    image = the_only(name, "pictures (Image)", features, tfds.features.Image, "image")
    others = {key: tfds.decode.SkipDecoding() for key in features if key != label}

    def source_of(split: str) -> Any:
        try:
            return builder.as_data_source(split=split, decoders=others)
        except Exception as error:
            raise InputError(f"{name}: {split} can't be read: {reason_of(error)}") from error

    sources = {split: source_of(split) for split in builder.info.splits}

    def labels_of(split: str) -> np.ndarray:
        return _labels(sources[split], label, f"{builder.info.full_name}-{split}")

    def images_of(split: str) -> LibraryImages:
        source = sources[split]

        def fetch(positions: list[int]) -> Sequence[bytes | Path]:
            return [bytes(record[image]) for record in source.__getitems__(positions)]

        return LibraryImages(f"{name} {split}", len(source), fetch, shape, **image_options)

    test_split, y_test = choose_test_split(name, sources, labels_of)
    return make_dataset(
        name,
        images_of("train"),
        labels_of("train"),
        images_of(test_split),
        y_test,
        features[label].names,
        test_split,
    )


def _prepared_builder(tfds: Any, name: str, rest: str) -> Any:
    try:
        builder = tfds.builder(rest, file_format="array_record")
        if not builder.data_path.exists():
            if is_offline():
                raise DatasetUnavailable(
                    f"{name} is not in {builder.data_path}, and MODELZOO_OFFLINE is set"
                )
            builder.download_and_prepare()
    except InputError:
        raise
    except Exception as error:  # of its registry, of HTTP, of a builder
        raise DatasetUnavailable(f"{name} can't be loaded: {reason_of(error)}") from error
    return builder


def _labels(source: Any, label: str, full_name: str) -> np.ndarray:
    """Return the labels of a split, from the cache if they were read before."""
    path = cache_folder() / "labels" / f"{re.sub(r'[^A-Za-z0-9.]+', '-', full_name)}.npy"
    try:
        kept = np.load(path, allow_pickle=False)
        if kept.shape == (len(source),) and kept.dtype == np.int64:
            return kept
    except (OSError, ValueError, EOFError):  # not there, or damaged
        pass
    labels = np.empty(len(source), np.int64)
    for start in range(0, len(source), RECORDS):
        positions = list(range(start, min(start + RECORDS, len(source))))
        labels[positions] = [record[label] for record in source.__getitems__(positions)]
    with replacing(path) as temporary:
        np.save(temporary, labels)
    return labels
