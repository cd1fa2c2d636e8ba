"""Folders of images are read a batch at a time, in a fixed order, or refused with a reason."""

import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelzoo.data.datasets import check_dataset_name, load_dataset
from modelzoo.data.folders import find_images
from modelzoo.data.image_files import ImageFiles
from modelzoo.data.pipeline import NumpyBatches
from modelzoo.data.source import BatchSource, Dataset
from modelzoo.support.errors import InputError

SHAPE = (8, 8, 3)
COLOURS = {"ant": (200, 10, 10), "bee": (10, 200, 10), "cow": (10, 10, 200)}


def load_folder(root: Path, shape: tuple[int, int, int]) -> Dataset:
    return find_images(root).as_dataset(shape)


def draw(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def root(tmp_path):
    """Three classes, five training and two test images each, of several kinds and sizes."""
    for name, colour in COLOURS.items():
        for number in range(5):
            suffix = ("png", "bmp", "gif", "PNG", "jpg")[number]
            draw(tmp_path / "train" / name / f"{number}.{suffix}", colour, (9 + number, 12))
        for number in range(2):
            draw(tmp_path / "test" / name / f"{number}.webp", colour)
    return tmp_path


def test_a_folder_becomes_a_data_set(root):
    data = load_dataset(f"folder:{root}", image_shape=SHAPE, fit="contain", ink="as_is")
    assert data.name == f"folder:{root}"
    assert data.class_names == ("ant", "bee", "cow") and data.image_shape == SHAPE
    assert data.y_train.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert data.x_train.shape == (15, *SHAPE) and len(data.x_test) == 6
    assert data.x_train.dtype == np.uint8
    batch = data.x_train[[14, 0, 7, 3]]
    assert batch.shape == (4, *SHAPE) and batch.dtype == np.uint8
    expected = [COLOURS[name] for name in ("cow", "ant", "bee", "ant")]
    assert np.abs(batch.mean((1, 2)) - expected).max() <= 3
    assert data.x_train[0].shape == SHAPE and data.x_train[3:3].shape == (0, *SHAPE)
    assert np.array_equal(data.x_train[:], np.stack(list(data.x_train)))


def test_hidden_files_and_others_are_passed_over(root):
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "._0.png"):
        (root / "train" / "ant" / name).write_bytes(b"x")
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "train" / "ant" / "pipe.png")
    (root / "train" / ".ipynb_checkpoints").mkdir()
    (root / "train" / "readme.md").write_text("hello")
    assert len(load_folder(root, SHAPE).x_train) == 15


def test_names_that_are_not_ascii_are_found(root):
    draw(root / "train" / "ant" / "zähne 図.png", (1, 2, 3))
    source = load_folder(root, SHAPE).x_train
    assert source[5].mean((0, 1)).tolist() == [1, 2, 3]


def test_an_unreadable_picture_is_named_when_it_is_read(root):
    broken = root / "train" / "bee" / "2.gif"
    broken.write_bytes(b"GIF89a but no more")
    source = load_folder(root, SHAPE).x_train
    assert len(source[:5]) == 5
    for index in (7, slice(5, 10)):
        with pytest.raises(InputError, match=r"bee.2\.gif"):
            source[index]


BLACK = (0, 0, 0)


def without_classes(split: Path) -> None:
    shutil.rmtree(split)
    split.mkdir()


@pytest.mark.parametrize(
    ("spoil", "wrong", "message"),
    [
        (lambda root: (root / "train").rename(root / "other"), "train", "no such folder"),
        (lambda root: draw(root / "test" / "dog" / "0.png", BLACK), "test/dog", "is not in"),
        (lambda root: (root / "train" / "dog").mkdir(), "train/dog", "no image in it"),
        (lambda root: without_classes(root / "train"), "train", "no folders in it"),
        (
            lambda root: draw(root / "train" / "dog" / "in" / "0.png", BLACK),
            "train/dog",
            "in folders within it are not looked for",
        ),
    ],
    ids=["no-train", "foreign-class", "empty-class", "no-classes", "deeper"],
)
def test_a_wrong_layout_is_one_clear_error(root, spoil, wrong, message):
    spoil(root)
    with pytest.raises(InputError, match=message) as caught:
        load_folder(root, SHAPE)
    assert str(root / wrong) in str(caught.value) and len(str(caught.value).splitlines()) <= 5


def test_wrong_options_are_refused(root):
    with pytest.raises(InputError, match="no such folder"):
        check_dataset_name(f"folder:{root / 'nowhere'}")
    check_dataset_name(f"folder:{root}")
    with pytest.raises(InputError, match="needs an image_shape"):
        load_dataset(f"folder:{root}")


def test_a_class_may_be_missing_from_the_test_set(root):
    for path in (root / "test" / "bee").iterdir():
        path.unlink()
    (root / "test" / "bee").rmdir()
    assert load_folder(root, SHAPE).y_test.tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("what", ["picture", "class", "train"])
def test_links_that_lead_out_are_refused(root, what, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    draw(outside / "secret" / "0.png", (0, 0, 0))
    inner = root / "train" / "ant" / "again.png"
    try:
        inner.symlink_to(root / "train" / "bee" / "0.png")
    except OSError:
        pytest.skip("no symbolic links here")
    assert len(load_folder(root, SHAPE).x_train) == 16
    link, target = root / "train" / "ant" / "out.png", outside / "secret" / "0.png"
    if what == "class":
        link, target = root / "train" / "dog", outside / "secret"
    elif what == "train":
        (root / "train").rename(root / "kept")
        link, target = root / "train", outside
    link.symlink_to(target)
    with pytest.raises(InputError, match="leads out of") as caught:
        load_folder(root, SHAPE)
    assert str(link) in str(caught.value)


def test_a_million_names_stay_small(tmp_path):
    """Names are stored as bytes: 200,000 of ImageNet's length take less than 8 MB."""
    count = 200_000
    tracemalloc.start()
    files = ImageFiles.of([(0, tmp_path, [f"n01440764_{number}.JPEG" for number in range(count)])])
    read: list[Path] = []
    source = files.read(SHAPE, lambda path: read.append(path) or np.zeros(SHAPE))
    del files
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 8_000_000
    assert source[[count - 1, 0]].shape == (2, *SHAPE)
    assert [path.name for path in read] == [f"n01440764_{count - 1}.JPEG", "n01440764_0.JPEG"]


def test_what_fits_is_read_once(root, monkeypatch):
    """The bytes of a file are decoded in the first epoch, and all of them are right later."""
    first, second = (load_folder(root, SHAPE).x_train for _ in range(2))
    order = np.random.default_rng(0).permutation(len(first))
    parts = [first[each] for each in np.array_split(order, 3)]
    for path in root.rglob("*.*"):
        if path.is_file():
            path.write_bytes(b"")
    assert np.array_equal(first[order], np.concatenate(parts))
    with pytest.raises(InputError, match="is empty"):
        second[:1]


def test_reading_keeps_no_picture(root, monkeypatch):
    monkeypatch.setattr("modelzoo.data.source.KEPT_SHARE", 0)
    for number in range(40):
        draw(root / "train" / "ant" / f"more{number}.bmp", (number, 0, 0), (200, 200))
    source = load_folder(root, (64, 64, 3)).x_train
    source[:]
    tracemalloc.start()
    for _ in range(5):
        source[:]
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 300_000  # one batch of these is 675,840 bytes


def test_files_read_ahead_are_those_of_the_epoch(root):
    """JAX and PyTorch: the next epoch's batches came in the order of the last."""
    data = load_folder(root, SHAPE)
    order, seeds = np.arange(len(data.x_train)), np.zeros((4, 0, 2), np.uint32)
    made = BatchSource(data.x_train, data.y_train, order, seeds, 4, 0, lambda *batch: batch[:2])
    batches = NumpyBatches(made)
    early = batches[0][0]  # as Keras does, before the epoch begins
    for epoch in (1, 2):
        order[:] = np.random.default_rng(epoch).permutation(order)
        for step in range(batches.num_batches):
            images, labels = batches[step]
            chosen = order[4 * step : 4 * step + 4]
            assert np.array_equal(images, data.x_train[chosen])
            assert np.array_equal(labels, data.y_train[chosen])
    assert early.shape == (4, *SHAPE) and batches.num_batches == -(-len(order) // 4)
