"""A data set of TFDS, made on the spot, through the package itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_library_sets import CLASSES, SHAPE, at_home, check_numbers  # noqa: F401  (a fixture)

from modelzoo.data.datasets import load_dataset
from modelzoo.data.source import DatasetUnavailable


def test_the_real_tfds(tmp_path: Path) -> None:
    """A data set that is made on the spot, through the package itself."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")

    class NumberedPictures(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=CLASSES),
                "file": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager: Any) -> Any:
            return {"train": self._generate_examples(30), "test": self._generate_examples(9)}

        def _generate_examples(self, count: int) -> Any:
            for number in range(count):
                picture = np.full((20 + number, 30, 3), number, np.uint8)
                yield number, {"image": picture, "label": number % 3, "file": "x"}

    with pytest.raises(DatasetUnavailable, match="MODELZOO_OFFLINE is set"):
        load_dataset("tfds:numbered_pictures", image_shape=SHAPE)
    NumberedPictures(file_format="array_record").download_and_prepare()
    check_numbers(load_dataset("tfds:numbered_pictures", image_shape=SHAPE), 30, 9)
    kept = sorted(path.name for path in (tmp_path / "MODELZOO_HOME" / "labels").iterdir())
    assert kept == [f"numbered-pictures-1.0.0-{split}.npy" for split in ("test", "train")]
    check_numbers(load_dataset("tfds:numbered_pictures", image_shape=SHAPE), 30, 9)
    with pytest.raises(DatasetUnavailable, match="not found"):
        load_dataset("tfds:nothing_here", image_shape=SHAPE)
