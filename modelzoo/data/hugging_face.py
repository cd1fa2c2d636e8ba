"""Data sets of the Hugging Face Hub, through the package `datasets`: `hf:OWNER/NAME`.

Records lie in Arrow files that are mapped into memory and read at random; no code of a data set is
run, and nothing is unpickled: only the builders below are used.
"""

import os
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
from modelzoo.environment import is_offline
from modelzoo.errors import InputError, reason_of
from modelzoo.requirements import check_installed

BUILDERS = ("arrow", "cache", "imagefolder", "parquet")  # "cache": what was prepared before
NAME = re.compile(r"(?P<path>[\w.-]+(/[\w.-]+)?)(:(?P<config>[\w.-]+))?", re.ASCII)


def check_hugging_face_name(name: str) -> tuple[str, str | None]:
    """Return the path and the configuration in `hf:OWNER/NAME` or `hf:OWNER/NAME:CONFIGURATION`.

    `hf:FOLDER`, with a slash at its beginning, is a folder of Parquet files or of pictures.

    Raises:
        InputError: it is no such name, or the package is not installed. Nothing is imported.
    """
    rest = name.removeprefix("hf:")
    found = NAME.fullmatch(rest)
    if not (found or rest.startswith(("/", "./", "../"))) or ".." in rest.split("/")[1:]:
        raise InputError(
            f"{name:.100}: should be hf:OWNER/NAME, as on https://huggingface.co/datasets, with "
            ":CONFIGURATION where there are several"
        )
    check_installed(f"the data set {name}", "datasets")
    return (found["path"], found["config"]) if found else (rest, None)


def load_hugging_face(name: str, image_shape: ImageShape | None, **image_options: Any) -> Dataset:
    """Load a data set of the Hub, or of a folder, whose pictures are read as they are needed.

    Args:
        name: `hf:OWNER/NAME`.
        image_shape: height, width and channels that every picture is brought to.
        image_options: `fit` and `ink` of `read_image`.

    Raises:
        DatasetUnavailable: there is none, or it cannot be fetched.
        InputError: it is not one for the classification of pictures, or has nothing to test on.
    """
    path, configuration = check_hugging_face_name(name)
    shape = needed_shape(name, image_shape)
    datasets = _import()
    try:
        builder = datasets.load_dataset_builder(path, configuration)
        module = type(builder).__module__.removeprefix("datasets.packaged_modules.").split(".")[0]
        if module not in BUILDERS:
            raise InputError(f"{name} is kept as {module}; only {', '.join(BUILDERS)} are read")
        builder.download_and_prepare()
        splits = builder.as_dataset()
    except InputError:
        raise
    except Exception as error:  # of the Hub, of HTTP, of Arrow: each has its own kinds
        offline = "; MODELZOO_OFFLINE is set" if is_offline() else ""
        raise DatasetUnavailable(f"{name} can't be loaded: {reason_of(error)}{offline}") from error
    own = _own_folders(path)
    features = next(iter(splits.values())).features
    label = the_only(name, "classes (ClassLabel)", features, datasets.ClassLabel, "label")
    image = the_only(name, "pictures (Image)", features, datasets.Image, "image")

    def labels_of(split: str) -> np.ndarray:
        column = splits[split].with_format("numpy", columns=[label])[:][label]
        return np.asarray(column, np.int64)

    def images_of(split: str, count: int) -> LibraryImages:
        records = splits[split].select_columns([image])
        records = records.cast_column(image, datasets.Image(decode=False))

        def fetch(positions: list[int]) -> Sequence[bytes | Path]:
            return [_content(each, own) for each in records[positions][image]]

        return LibraryImages(f"{name} {split}", count, fetch, shape, **image_options)

    test_split, y_test = choose_test_split(name, splits, labels_of)
    y_train = labels_of("train")
    return make_dataset(
        name,
        images_of("train", len(y_train)),
        y_train,
        images_of(test_split, len(y_test)),
        y_test,
        features[label].names,
        test_split,
    )


def _import() -> Any:
    """Import the package; offline, tell it so before and after."""
    if is_offline():
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    if is_offline():  # it may have been imported before
        import huggingface_hub

        huggingface_hub.constants.HF_HUB_OFFLINE = True
        datasets.config.HF_HUB_OFFLINE = datasets.config.HF_DATASETS_OFFLINE = True
    return datasets


def _own_folders(path: str) -> list[Path]:
    """Return where the files of a data set lie: in its folder, or in the library's caches."""
    import datasets
    import huggingface_hub

    caches = [datasets.config.HF_DATASETS_CACHE, huggingface_hub.constants.HF_HUB_CACHE]
    folder = [path] if path.startswith(("/", ".")) else []
    return [Path(each).resolve() for each in (*caches, *folder)]


def _content(value: dict[str, Any], own: Sequence[Path]) -> bytes | Path:
    """Return what is in a picture's file; a folder's pictures are named, not carried.

    Raises:
        InputError: the record names a file that is not the data set's: any on this machine.
    """
    if value["bytes"] is not None:
        return value["bytes"]
    path = Path(value["path"] or "")
    if not any(path.resolve().is_relative_to(folder) for folder in own):
        raise InputError(f"a record names the file {path}, which is none of the data set's")
    return path
