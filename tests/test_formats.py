"""Data sets as they are distributed are read by their content, and nothing in them is executed."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardening import distributed as made
from modelzoo import cli
from modelzoo.data.datasets import (
    FETCHED,
    check_dataset_name,
    dataset_names,
    load_dataset,
    published_files,
)
from modelzoo.data.known_sets import CIFAR10, KNOWN_SETS
from modelzoo.data.source import Dataset
from modelzoo.support.errors import InputError

GREY, COLOUR = made.arrays(), made.arrays(32, 3)
IDX = made.idx_files(GREY)
LETTERS = [chr(ord("A") + number) for number in range(10)]
NAMES = [name.encode() for name in CIFAR10]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty data folder, and no other, below the current one."""
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(data: Dataset, expected: dict[str, np.ndarray]) -> None:
    for key, array in expected.items():
        found = getattr(data, key)
        found = found[..., 0] if key[0] == "x" and array.ndim == 3 else found
        assert np.array_equal(found, array), key
    assert data.x_train.dtype == np.uint8 and data.x_train.flags.c_contiguous


def gzipped(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


TABLES = {
    "mnist_train.csv": made.table(GREY["x_train"], GREY["y_train"]),
    "mnist_test.csv": made.table(GREY["x_test"], GREY["y_test"], header=False),
}
# What lies in the folder, and the path that names it.
CASES: dict[str, tuple[dict[str, bytes], str, dict[str, np.ndarray]]] = {
    "idx": (IDX, "x", GREY),
    "idx gzipped": (gzipped(IDX), "x", GREY),
    "idx named by a file": (IDX, "x/train-images-idx3-ubyte", GREY),
    "idx both": (IDX | gzipped(IDX), "x", GREY),
    "idx in folders": ({f"raw/{name}": content for name, content in IDX.items()}, "x", GREY),
    "idx in a zip": ({"a.zip": made.zipped(gzipped(IDX))}, "x/a.zip", GREY),
    "tables": (TABLES, "x/mnist_train.csv", GREY),
    "tables in a zip": ({"archive.zip": made.zipped(TABLES)}, "x/archive.zip", GREY),
    "cifar10 binary": ({"c.tar.gz": made.tar(made.cifar_binary(COLOUR))}, "x/c.tar.gz", COLOUR),
    "cifar10 unpacked": (made.cifar_binary(COLOUR), "x", COLOUR),
    "cifar100 binary": (
        {"c.tar": made.tar(made.cifar_binary(COLOUR, fine=True), "w")},
        "x",
        COLOUR,
    ),
    "cifar10 python": ({"c.tar.gz": made.tar(made.cifar_python(COLOUR, NAMES))}, "x", COLOUR),
    "cifar10 python 4": (made.cifar_python(COLOUR, NAMES, protocol=4), "x", COLOUR),
    "cifar100 python": (made.cifar_python(COLOUR, NAMES, fine=True, protocol=3), "x", COLOUR),
    "emnist": ({"a.mat": made.matlab(made.emnist(GREY))}, "x/a.mat", GREY),
    "emnist plain": ({"a.mat": made.matlab(made.emnist(GREY, 1), compress=False)}, "x/a.mat", GREY),
    "svhn": (
        {
            f"{split}_32x32.mat": made.matlab(made.svhn(COLOUR[f"x_{split}"], COLOUR[f"y_{split}"]))
            for split in ("train", "test")
        },
        "x/train_32x32.mat",
        COLOUR,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_or_folder_is_a_data_set(folder, case):
    files, path, expected = CASES[case]
    made.write(folder / "x", files)
    check_dataset_name(path)
    data = load_dataset(path)
    check(data, expected)
    assert data.name == path and load_dataset(f"folder:{path}").name == f"folder:{path}"
    names = LETTERS if "emnist" in case else CIFAR10 if "python" in case else "0123456789"
    assert data.class_names == tuple(names)


def test_images_on_their_side_are_turned(folder):
    """EMNIST has rows as columns; labels from 1 to 26 are letters."""
    data = GREY | {key: GREY[key] + 1 for key in ("y_train", "y_test")}
    data["y_test"] = np.where(np.arange(20) == 3, 26, data["y_test"]).astype(np.uint8)
    sideways = {
        key: array.swapaxes(1, 2) if key[0] == "x" else array for key, array in data.items()
    }
    files = made.idx_files(sideways, "emnist-letters-")
    made.write(folder / "data", {"emnist-letters.zip": made.zipped(gzipped(files))})
    found = load_dataset("emnist_letters")
    assert np.array_equal(found.x_train[..., 0], GREY["x_train"])
    assert found.y_train.tolist() == GREY["y_train"].tolist() and found.y_test[3] == 25
    assert found.class_names[:3] == ("A", "B", "C") and "turned upright" in found.note


def test_one_set_is_taken_out_of_an_archive_of_several(folder):
    sets = {}
    for name in ("balanced", "letters"):
        sets |= gzipped(made.idx_files(GREY, f"gzip/emnist-{name}-"))
    made.write(folder / "data", {"emnist_balanced/gzip.zip": made.zipped(sets)})
    assert load_dataset("emnist_balanced").x_train.shape == (40, 28, 28, 1)
    with pytest.raises(InputError, match="several data sets: gzip/emnist-balanced-train"):
        load_dataset("data/emnist_balanced/gzip.zip")


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("mnist", {"MNIST/raw/" + name: content for name, content in IDX.items()}),
        ("mnist", TABLES),
        ("kmnist", {"kmnist/" + name: content for name, content in gzipped(IDX).items()}),
        ("cifar10", {"cifar-10-python.tar.gz": made.tar(made.cifar_python(COLOUR, NAMES))}),
        ("cifar10", {"cifar-10-batches-bin/" + n: c for n, c in made.cifar_binary(COLOUR).items()}),
    ],
    ids=["torchvision", "tables", "idx", "python", "binary"],
)
def test_the_data_folder_holds_any_of_them(folder, name, files):
    others = {"mnist5k.csv": b"", "cifar-100-python.tar.gz": b"", "fashion-mnist/x": b""}
    made.write(folder / "data", files | others)
    data = load_dataset(name)
    check(data, COLOUR if name == "cifar10" else GREY)
    assert data.class_names == KNOWN_SETS[name].class_names
    assert "40 training and 20 test images, not the" in data.note


def test_a_set_without_test_images_is_split(folder):
    """The same fifth of each class each time; Kaggle's test.csv, without labels, is passed over."""
    tables = {"train.csv": TABLES["mnist_train.csv"], "test.csv": made.table(GREY["x_test"], None)}
    made.write(folder / "x", tables)
    data = load_dataset("x/train.csv")
    assert np.bincount(data.y_train).tolist() == [3] * 7 + [3] * 3 or len(data.y_train) == 32
    assert len(data.y_test) == 8 and "test.csv has no labels" in data.note
    assert "8, a fifth of each class drawn by the seed 0, are held back" in data.note
    assert np.array_equal(data.x_test, load_dataset("x").x_test)


def test_a_file_in_the_current_folder_needs_no_slash(folder):
    made.write(folder, TABLES)
    made.write(folder / "mine", IDX)
    check(load_dataset("mnist_train.csv"), GREY)
    check(load_dataset("mine"), GREY)
    made.write(folder / "data", {"mine.csv": TABLES["mnist_train.csv"]})
    assert "mine" in dataset_names() and len(load_dataset("mine").y_test) == 8


# What arrays are brought to


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


CONVERTED: dict[str, tuple[dict[str, Any], str]] = {
    "0..1": ({key: (GREY[key] / 255).astype("f4") for key in ("x_train", "x_test")}, "times 255"),
    "floats": (
        {key: GREY[key].astype("f8") for key in ("x_train", "x_test")},
        "from 0 to 255: uint8",
    ),
    "int64": (
        {key: GREY[key].astype("i8") for key in ("x_train", "x_test")},
        "int64 from 0 to 255",
    ),
    "rows": ({key: flat(GREY[key]) for key in ("x_train", "x_test")}, "square images"),
    "one-hot": ({"y_train": np.eye(10)[GREY["y_train"]]}, "(train): one-hot labels"),
    "float labels": ({"y_test": GREY["y_test"].astype("f4")}, ""),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_arrays_are_converted_and_that_is_reported(folder, case):
    changes, note = CONVERTED[case]
    np.savez(folder / "mine.npz", **(GREY | changes))
    data = load_dataset("mine.npz")
    check(data, GREY)
    assert note in data.note


def test_channels_first_become_channels_last(folder):
    first = {key: COLOUR[key].transpose(0, 3, 1, 2) for key in ("x_train", "x_test")}
    np.savez(folder / "mine.npz", **(COLOUR | first))
    data = load_dataset("mine.npz")
    check(data, COLOUR)
    assert "Converted (train, test): channels first" in data.note


def test_other_names_and_validation_images_are_known(folder):
    """As MedMNIST has them: the validation images stay those of the publisher."""
    names = {"train_images": "x_train", "train_labels": "y_train", "test_images": "x_test"}
    arrays = {name: GREY[key] for name, key in names.items()} | {"test_labels": GREY["y_test"]}
    np.savez(
        folder / "a.npz", **arrays, val_images=GREY["x_test"][:5], val_labels=GREY["y_test"][:5]
    )
    data = load_dataset("a.npz")
    assert len(data.y_train) == 45 and data.validation is not None
    assert np.array_equal(data.x_train[data.validation][..., 0], GREY["x_test"][:5])
    assert "Its own 5 validation images" in data.note


UNCLEAR = {
    "negative": (GREY["x_train"] / 127.5 - 1, "from -1 to 1"),
    "fractions": (GREY["x_train"] * 0.9, "not uint8"),
    "nan": (np.full((40, 28, 28), np.nan), "nan"),
    "large": (GREY["x_train"].astype("i4") + 1, "from 1 to 256"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_not_clear_is_refused(folder, case):
    images, said = UNCLEAR[case]
    np.savez(folder / "mine.npz", **(GREY | {"x_train": images}))
    with pytest.raises(InputError, match=said):
        load_dataset("mine.npz")


# Damaged files, and such as mean harm


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


MAT = made.matlab(made.emnist(GREY))
DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "idx": ("train-images-idx3-ubyte", cut(IDX["train-images-idx3-ubyte"]), "should have 31,376"),
    "idx header": ("train-images-idx3-ubyte", b"\0\0\x08\x03\0\0\0\x09\0", "within its header"),
    "gzip": ("t.gz", cut(gzip.compress(IDX["train-images-idx3-ubyte"])), "end-of-stream"),
    "table": ("train.csv", TABLES["mnist_train.csv"].replace(b",7", b",x", 1), "could not convert"),
    "ragged": ("train.csv", TABLES["mnist_train.csv"][:-9], "columns changed from 785"),
    "no rows": ("train.csv", TABLES["mnist_train.csv"].split(b"\n")[0], "has no rows"),
    "records": ("data_batch_1.bin", bytes(3072), "no whole number"),
    "tar": ("c.tar.gz", cut(made.tar(made.cifar_binary(COLOUR))), "c.tar.gz"),
    "batch": ("data_batch_1", cut(made.cifar_python(COLOUR, NAMES)["c/data_batch_1"]), "CIFAR"),
    "mat": ("train_32x32.mat", cut(MAT), "cut off|damaged"),
    "mat header": ("train_32x32.mat", MAT[:126] + b"xx" + MAT[128:], "order of its bytes"),
    "zip": ("a.zip", cut(made.zipped(IDX)), "not a zip"),
    "other": ("train.xyz", b"something else", "nothing that is read"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_one_clear_error(folder, case):
    name, content, said = DAMAGED[case]
    made.write(folder / "x", {name: content})
    for path in (f"x/{name}", "x"):
        with pytest.raises(InputError, match=said) as caught:
            load_dataset(path)
        assert str(caught.value).startswith("x") and len(str(caught.value).splitlines()) <= 5


def bomb(header: bytes, size: int) -> bytes:
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb") as file:
        file.write(header)
        for _ in range(size // 10**7):
            file.write(bytes(10**7))
    return target.getvalue()


def tar_bomb() -> bytes:
    info = tarfile.TarInfo("c/train.bin")
    info.size = 10**9
    return bomb(info.tobuf(), 10**8)


def mat_bomb(said: int) -> bytes:
    """A packed array of 300 MB, whatever it says."""
    packer, zeros = zlib.compressobj(1), bytes(10**7)
    packed = packer.compress(struct.pack("<II", 14, said))
    packed += b"".join(packer.compress(zeros) for _ in range(30)) + packer.flush()
    return MAT[:128] + struct.pack("<II", 15, len(packed)) + packed


def other_way(name: str) -> dict[str, bytes]:
    return {name: made.cifar_binary(COLOUR)["c/test_batch.bin"]}


HARMFUL: dict[str, tuple[str, bytes, str]] = {
    "pickle": ("c.tar.gz", made.tar({"c/data_batch_1": pickle.dumps(Trap(), 2)}), "mkdir"),
    "reduced": ("data_batch_1", pickle.dumps({"data": Trap(), "labels": []}), "mkdir"),
    "tar out": ("c.tar.gz", made.tar(other_way("../../test.bin")), "leads out"),
    "tar root": ("c.tar", made.tar(other_way("/tmp/test.bin"), "w"), "leads out"),
    "zip out": ("a.zip", made.zipped(other_way("c/../../test.bin")), "leads out"),
    "gzip bomb": (
        "train-images-idx3-ubyte.gz",
        bomb(IDX["train-images-idx3-ubyte"][:16], 10**8),
        "and has more",
    ),
    "large idx": ("t.gz", bomb(b"\0\0\x08\x03" + b"\0\x01\0\0" * 3, 10**8), "says that it has"),
    "table bomb": ("train.csv.gz", bomb(TABLES["mnist_train.csv"], 10**8), "fill the memory"),
    "tar bomb": ("c.tar.gz", tar_bomb(), "fill the memory"),
    "zip bomb": ("a.zip", made.zipped({"train.bin": bytes(10**8)}), "fill the memory"),
    "many in a zip": (
        "a.zip",
        made.zipped({f"train{n}.bin": bytes(3073 * 5000) for n in range(3)}),
        "fill the memory",
    ),
    "mat bomb": ("a.mat", mat_bomb(3 * 10**8), "would grow to more than"),
    "mat that lies": ("a.mat", mat_bomb(64), "damaged: a matrix"),
}


@pytest.mark.parametrize("case", HARMFUL)
def test_what_means_harm_is_refused_in_little_memory(folder, case):
    name, content, said = HARMFUL[case]
    made.write(folder / "x", {name: content})
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=said):
            load_dataset(f"x/{name}")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 200_000_000 and not Path("ran").exists()
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [name]


def test_a_command_reports_it_in_one_message(folder, refuses):
    made.write(folder / "x", {"data_batch_1": pickle.dumps(Trap())})
    refuses("evaluate --model lenet5 --dataset x/data_batch_1", "data_batch_1", "mkdir")


def test_weights_are_scored_on_a_table(folder, capsys):
    """The command line takes a path for a data set, and prints what was converted."""
    made.write(folder, TABLES)
    assert cli.main(["evaluate", "--model", "lenet5", "--dataset", "mnist_test.csv"]) == 0
    assert "on mnist_test.csv (test, 20 images)" in capsys.readouterr().out


def test_every_fetched_set_has_hashes_and_a_licence():
    for name in FETCHED:
        known = KNOWN_SETS[name]
        files = published_files(known.files or name)
        assert files and known.addresses and known.licence and known.images
        assert all(len(sha256) == 64 and size > 0 for _, size, sha256 in files)
    assert len(KNOWN_SETS["emnist_balanced"].class_names) == 47
