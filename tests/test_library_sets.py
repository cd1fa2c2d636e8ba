"""Data sets of TFDS and Hugging Face: with the real packages where they are, else stand-ins."""

import importlib.util
import io
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelzoo.data.datasets import check_dataset_name, load_dataset, takes_image_options
from modelzoo.data.source import DatasetUnavailable
from modelzoo.support.errors import InputError

SHAPE = (8, 8, 3)
CLASSES = ["ant", "bee", "cow"]


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """No network, and every cache in a folder of the test."""
    for name in ("HF_HOME", "TFDS_DATA_DIR", "MODELZOO_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("MODELZOO_OFFLINE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")


def png(number: int) -> bytes:
    """Return an image that carries its number in every pixel."""
    file = io.BytesIO()
    Image.new("RGB", (20 + number, 30), (number, number, number)).save(file, "PNG")
    return file.getvalue()


class Column(list):
    """The records of a stand-in for a split: what of Hugging Face's `Dataset` is used."""

    def __init__(self, columns: dict[str, list[Any]], features: dict[str, Any]) -> None:
        super().__init__(range(len(next(iter(columns.values())))))
        self.columns, self.features = columns, features

    def with_format(self, name: str, columns: list[str]) -> "Column":
        assert name == "numpy"
        return self.select_columns(columns)

    def select_columns(self, names: list[str]) -> "Column":
        return Column({name: self.columns[name] for name in names}, self.features)

    def cast_column(self, name: str, feature: Any) -> "Column":
        assert feature.decode is False
        return self

    def __getitem__(self, positions: Any) -> Any:
        if positions == slice(None):  # of labels; images would fill the memory
            return {key: np.array(self.columns[key]) for key in self.columns if key == "label"}
        assert isinstance(positions, list)  # a batch of records at once
        return {k: [values[each] for each in positions] for k, values in self.columns.items()}


def stand_in_for_datasets(
    monkeypatch: pytest.MonkeyPatch, splits: dict[str, dict[str, list[Any]]], kept_as: str
) -> None:
    """Install a module `datasets` that knows one data set, owner/name."""

    class ClassLabel:
        names = CLASSES

    class Picture:
        def __init__(self, decode: bool = True) -> None:
            self.decode = decode

    class Builder:
        __module__ = f"datasets.packaged_modules.{kept_as}.{kept_as}"

        def download_and_prepare(self) -> None: ...

        def as_dataset(self) -> dict[str, Column]:
            kinds = {"image": Picture(), "label": ClassLabel()}
            first = next(iter(splits.values()))
            features = {k: kinds.get(k) for k in first}
            return {name: Column(columns, features) for name, columns in splits.items()}

    def load_dataset_builder(path: str, configuration: str | None) -> Builder:
        if (path, configuration) != ("owner/name", None):
            raise FileNotFoundError(f"{path} doesn't exist on the Hub\nand more")
        return Builder()

    folder = Path(os.environ["HF_HOME"])
    module = types.ModuleType("datasets")
    module.__spec__ = importlib.util.spec_from_loader("datasets", None)
    module.ClassLabel, module.Image = ClassLabel, Picture
    module.config = types.SimpleNamespace(HF_DATASETS_CACHE=str(folder / "datasets"))
    module.load_dataset_builder = load_dataset_builder
    hub = types.ModuleType("huggingface_hub")
    hub.constants = types.SimpleNamespace(HF_HUB_CACHE=str(folder / "hub"))
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)


def records(count: int, labelled: bool = True) -> dict[str, list[Any]]:
    return {
        "image": [{"bytes": png(number), "path": None} for number in range(count)],
        "label": [number % 3 if labelled else -1 for number in range(count)],
    }


THREE = records(3)


def check_numbers(data: Any, train: int, test: int) -> None:
    """Every image is there, with its label, and is read at random."""
    assert (len(data.x_train), len(data.x_test)) == (train, test)
    assert data.class_names == tuple(CLASSES) and data.image_shape == SHAPE
    positions = np.array([5, 0, 11, 3, 7])
    batch = data.x_train[positions]
    assert batch.dtype == np.uint8 and batch.shape == (5, *SHAPE)
    numbers = batch[:, 0, 0, 0].astype(int)
    assert np.array_equal(numbers % 3, data.y_train[positions])
    everything = data.x_train[:][:, 0, 0, 0]
    assert sorted(everything.tolist()) == list(range(train))


@pytest.mark.parametrize("labelled", [True, False])
def test_a_data_set_of_hugging_face(monkeypatch, labelled):
    splits = {"train": records(12), "test": records(4, labelled), "validation": records(6)}
    stand_in_for_datasets(monkeypatch, splits, "parquet")
    check_dataset_name("hf:owner/name")
    assert takes_image_options("hf:owner/name") and not takes_image_options("mnist")
    data = load_dataset("hf:owner/name", image_shape=SHAPE, fit="cover", ink="as_is")
    check_numbers(data, 12, 4 if labelled else 6)
    assert data.note == ("" if labelled else "The test images are its split validation.")


@pytest.mark.parametrize(
    ("splits", "kept_as", "message"),
    [
        ({"train": THREE}, "parquet", "no labelled split to test on.* it has train"),
        ({"train": THREE, "test": records(3, False)}, "parquet", "no labelled split"),
        ({"test": THREE}, "parquet", "no split train; it has test"),
        ({"train": records(3, False), "test": THREE}, "parquet", r"y_train runs -1\.\.-1"),
        ({"train": {"image": [b""]}}, "parquet", r"classes \(ClassLabel\), and has no"),
        ({"train": {"label": [0]}}, "parquet", r"images \(Image\), and has none"),
        ({"train": THREE, "test": THREE}, "pandas", "kept as pandas; only arrow"),
    ],
)
def test_what_cannot_be_trained_on_is_told(monkeypatch, splits, kept_as, message):
    stand_in_for_datasets(monkeypatch, splits, kept_as)
    with pytest.raises(InputError, match=message):
        load_dataset("hf:owner/name", image_shape=SHAPE)


def test_a_broken_picture_is_named(monkeypatch):
    splits = {"train": records(9), "test": records(3)}
    splits["train"]["image"][6] = {"bytes": png(6)[:40], "path": None}
    stand_in_for_datasets(monkeypatch, splits, "parquet")
    data = load_dataset("hf:owner/name", image_shape=SHAPE)
    with pytest.raises(InputError, match="hf:owner/name train, image 6: the file is"):
        data.x_train[:]


def test_a_record_opens_no_file_outside_of_its_data_set(monkeypatch, tmp_path):
    """It may name one in place of carrying it: any image on this machine, or `..` to it."""
    inside, outside = tmp_path / "HF_HOME" / "hub" / "1.png", tmp_path / "private.png"
    inside.parent.mkdir(parents=True)
    for path in (inside, outside):
        path.write_bytes(png(1))
    (inside.parent / "link.png").symlink_to(outside)
    splits = {"train": records(9), "test": records(3)}
    named = [inside, outside, inside.parent / "../../private.png", inside.parent / "link.png", "x"]
    for number, path in enumerate(named):
        splits["train"]["image"][number] = {"bytes": None, "path": str(path)}
    stand_in_for_datasets(monkeypatch, splits, "parquet")
    monkeypatch.chdir(tmp_path)
    Path("x").write_bytes(png(1))
    data = load_dataset("hf:owner/name", image_shape=SHAPE)
    assert data.x_train[0][0, 0, 0] == 1
    for number in range(1, len(named)):
        with pytest.raises(InputError, match=f"image {number}: a record names the file"):
            data.x_train[number : number + 1]


def test_a_data_set_that_is_not_there(monkeypatch):
    stand_in_for_datasets(monkeypatch, {"train": records(3)}, "parquet")
    with pytest.raises(DatasetUnavailable, match="on the Hub; MODELZOO_OFFLINE is set") as caught:
        load_dataset("hf:owner/other", image_shape=SHAPE)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="needs an image_shape"):
        load_dataset("hf:owner/name")


@pytest.mark.parametrize(
    "name",
    ["hf:", "hf:a/b/c", "hf:a b", "hf:../x/..", "tfds:", "tfds:huggingface:x", "tfds:A/../b"],
)
def test_names_that_cannot_be(name):
    """A path or an address would reach a library that may follow it."""
    with pytest.raises(InputError, match="should be"):
        check_dataset_name(name)


@pytest.mark.parametrize(
    ("name", "package", "requirement"),
    [
        ("hf:a/b", "datasets", "datasets>=4.0"),
        ("tfds:cifar10", "tensorflow_datasets", "tensorflow-datasets>=4.9.9"),
    ],
)
def test_a_missing_package_is_told(monkeypatch, name, package, requirement):
    original = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda each: None if each == package else original(each)
    )
    with pytest.raises(InputError, match=f'pip install "{requirement}"'):
        check_dataset_name(name)


def test_the_real_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)}
    )
    for split, count in (("train", 30), ("validation", 9)):
        made = datasets.Dataset.from_dict(records(count), features=features)
        made.to_parquet(tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet")
    data = load_dataset(f"hf:{tmp_path / 'set'}", image_shape=SHAPE)
    check_numbers(data, 30, 9)
    with pytest.raises(DatasetUnavailable, match="MODELZOO_OFFLINE is set"):
        load_dataset("hf:nobody/nothing", image_shape=SHAPE)
