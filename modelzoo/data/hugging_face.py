"""Data sets of the Hugging Face Hub, through the package `datasets`: `hf:OWNER/NAME`.

Records lie in Arrow files that are mapped into memory and read at random; no code of a data set is
run, and nothing is unpickled: only the builders below are used.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.environment import is_offline
from modelzoo.errors import InputError

BUILDERS = ("arrow", "cache", "imagefolder", "parquet")  # "cache": what was prepared before


class HuggingFaceSet:
    """A `LibrarySet`: OWNER/NAME or OWNER/NAME:CONFIGURATION, as on the Hub.

    A path, with a slash at its beginning, is a folder of Parquet files or of pictures.
    """

    NAME = re.compile(
        r"(?!.*/\.\.(/|\Z))"  # no way up within a path
        r"((?P<path>[\w.-]+(/[\w.-]+)?)(:(?P<config>[\w.-]+))?|\.{0,2}/.*)",
        re.ASCII | re.DOTALL,
    )
    SHOULD_BE = (
        "hf:OWNER/NAME, as on https://huggingface.co/datasets, with "
        ":CONFIGURATION where there are several"
    )
    PACKAGES = ("datasets",)

    def __init__(self, name: str) -> None:
        datasets, hub = _import()
        found = self.NAME.fullmatch(name)
        path, configuration = (found["path"] or name, found["config"]) if found else (name, None)
        builder = datasets.load_dataset_builder(path, configuration)
        module = type(builder).__module__.removeprefix("datasets.packaged_modules.").split(".")[0]
        if module not in BUILDERS:
            raise InputError(f"is kept as {module}; only {', '.join(BUILDERS)} are read")
        builder.download_and_prepare()
        self._records = builder.as_dataset()
        self.splits = list(self._records)
        self.features = next(iter(self._records.values())).features
        self.kinds = datasets.ClassLabel, datasets.Image
        # Where its files may lie: in its folder, or in the library's caches.
        own = [datasets.config.HF_DATASETS_CACHE, hub.constants.HF_HUB_CACHE]
        own += [path] if path.startswith(("/", ".")) else []
        self._own_folders = [Path(each).resolve() for each in own]

    def labels(self, split: str, label: str) -> np.ndarray:
        """Return the labels of a split."""
        column = self._records[split].with_format("numpy", columns=[label])[:][label]
        return np.asarray(column, np.int64)

    def pictures(self, split: str, image: str) -> Callable[[list[int]], Sequence[Any]]:
        """Return what gives the pictures at some positions, each as {"bytes": …, "path": …}."""
        records = self._records[split].select_columns([image])
        records = records.cast_column(image, self.kinds[1](decode=False))
        return lambda positions: records[positions][image]

    def content(self, picture: Any) -> bytes | Path:
        """Return what is in a picture's file; a folder's pictures are named, not carried.

        Raises:
            InputError: the record names a file that is not the data set's: any on this machine.
        """
        if picture["bytes"] is not None:
            return picture["bytes"]
        path = Path(picture["path"] or "")
        if not any(path.resolve().is_relative_to(folder) for folder in self._own_folders):
            raise InputError(f"a record names the file {path}, which is none of the data set's")
        return path


def _import() -> tuple[Any, Any]:
    """Import `datasets` and `huggingface_hub`; offline, tell them so before and after."""
    if is_offline():
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets
    import huggingface_hub

    if is_offline():  # they may have been imported before
        huggingface_hub.constants.HF_HUB_OFFLINE = True
        datasets.config.HF_HUB_OFFLINE = datasets.config.HF_DATASETS_OFFLINE = True
    return datasets, huggingface_hub
