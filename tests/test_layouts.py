"""Folders of images as people have them: what is found is a table, what is bad is one list."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelzoo import cli
from modelzoo.data.checking import bad_images, check_images, usable
from modelzoo.data.datasets import load_dataset
from modelzoo.data.file_facts import image_facts
from modelzoo.data.folders import find_images
from modelzoo.support.errors import InputError


def picture(seed: int = 0, size: tuple[int, int] = (20, 20), mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(seed).integers(1, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def content_of(image: Image.Image, kind: str = "JPEG") -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


def fill(root: Path, names: str, kind: str = "PNG") -> Path:
    """Write an image for each name; "a/{0-3}.png" stands for four."""
    seed = 0
    for name in names.split():
        found = re.search(r"\{(\d+)-(\d+)\}", name)
        numbers = range(int(found[1]), int(found[2]) + 1) if found else [0]
        for number in numbers:
            path = root / (name.replace(found[0], str(number)) if found else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content_of(picture(seed := seed + 1), kind))
    return root


def table(rows: list[str]) -> str:
    return "\n".join(rows) + "\n"


# Names of images, tables beside them, images of cat and dog in each split, and what is reported.
LAYOUTS: dict[str, tuple[str, dict[str, str], dict[str, list[int]], str]] = {
    "splits": (
        "train/cat/{1-3}.png train/dog/{1-4}.png test/cat/{1-2}.png test/dog/1.png",
        {}, {"train": [3, 4], "test": [2, 1]}, "",
    ),
    "classes": (
        "cat/{1-10}.png dog/{1-20}.png",
        {}, {"train": [8, 16], "test": [2, 4]}, "6, a fifth",
    ),
    "in a folder": (
        "Pets/cat/{1-5}.png Pets/dog/{1-5}.png",
        {}, {"train": [4, 4], "test": [1, 1]}, "",
    ),
    "names in a folder": (
        "Pets/cat.{1-5}.png Pets/dog.{1-5}.png",
        {}, {"train": [4, 4], "test": [1, 1]}, "",
    ),
    "three": (
        "train/cat/{1-3}.png train/dog/{1-3}.png valid/cat/1.png valid/dog/1.png test/cat/1.png",
        {}, {"train": [3, 3], "validation": [1, 1], "test": [1, 0]}, "Its own 2 validation images",
    ),
    "val only": (
        "train/cat/{1-3}.png train/dog/{1-3}.png val/cat/1.png val/dog/{1-2}.png",
        {}, {"train": [3, 3], "test": [1, 2]}, "The test images are those for validation.",
    ),
    "sets": (
        "training_set/training_set/cat/{1-3}.png training_set/training_set/dog/1.png "
        "test_set/test_set/cat/1.png test_set/test_set/dog/1.png",
        {}, {"train": [3, 1], "test": [1, 1]}, "",
    ),
    "names": ("cat.{0-4}.jpg dog.{0-9}.jpg", {}, {"train": [4, 8], "test": [1, 2]}, "3, a fifth"),
    "other names": ("cat_{10-14}.jpg dog{1-5}.jpg", {}, {"train": [4, 4], "test": [1, 1]}, ""),
    "kaggle": (
        "train/cat.{0-4}.jpg train/dog.{0-4}.jpg test1/{1-9}.jpg",
        {}, {"train": [4, 4], "test": [1, 1]}, "Not used: test1, 9 images without classes.",
    ),
    "labels.csv": (
        "{1-5}.png {6-10}.png",
        {"labels.csv": table([
            "file,label", *(f"{n}.png,{'cat' if n < 6 else 'dog'}" for n in range(1, 11))
        ])},
        {"train": [4, 4], "test": [1, 1]}, "The classes are those in",
    ),
    "no endings": (
        "images/a{1-3}.png images/b{1-3}.png",
        {"labels.csv": table([
            "id,split,breed",
            *(f"a{n},{'test' if n == 3 else 'train'},cat" for n in (1, 2, 3)),
            *(f"b{n},{'test' if n == 3 else 'train'},dog" for n in (1, 2, 3)),
        ])},
        {"train": [2, 2], "test": [1, 1]}, "The classes are those in",
    ),
    "tables": (
        "train_images/a{1-4}.png test_images/a{1-2}.png",
        {
            "train.csv": table(["image,label", *(f"a{n}.png,{'cat' if n < 3 else 'dog'}"
                                                 for n in range(1, 5))]),
            "test.csv": table(["image,label", "test_images/a1.png,cat", "test_images/a2.png,dog"]),
        },
        {"train": [2, 2], "test": [1, 1]}, "The classes are those in",
    ),
    "metadata": (
        "cat/a{1-5}.png dog/b{1-5}.png",
        {"meta.csv": table(["file,width,height", "a1.png,20,20", "b1.png,20,20"])},
        {"train": [4, 4], "test": [1, 1]}, "Not used: meta.csv",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_layout_is_found_and_shown(tmp_path, case):
    names, tables, counts, note = LAYOUTS[case]
    fill(tmp_path, names)
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
    said: list[str] = []
    data = load_dataset(f"folder:{tmp_path}", image_shape=(20, 20, 3), notify=said.append)
    assert data.class_names == ("cat", "dog") and note in data.note
    found = find_images(tmp_path)
    assert {split: list(row.values()) for split, row in found.counts().items()} == counts
    assert len(said) == 1 and said[0] == "\n".join(found.table())
    head, cat, dog, both = said[0].splitlines()
    assert head.split() == ["CLASS", *map(str.upper, counts)]
    for line, name, at in zip((cat, dog), ("cat", "dog"), (0, 1), strict=True):
        assert line.split() == [name, *(str(row[at]) for row in counts.values())]
    assert both.split() == ["all", *(str(sum(row)) for row in counts.values())]


def test_images_and_labels_of_a_layout_belong_together(tmp_path):
    """The class that a name says is that of the pixels, in every split."""
    for name, colour in {"cat": (250, 0, 0), "dog": (0, 0, 250)}.items():
        for number in range(10):
            Image.new("RGB", (20, 20), colour).save(tmp_path / f"{name}.{number}.png")
    data = load_dataset(str(tmp_path), image_shape=(20, 20, 3))
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        reds, blues = (images[labels == label].mean((0, 1, 2)) for label in (0, 1))
        assert reds.tolist() == [250, 0, 0] and blues.tolist() == [0, 0, 250]
    again = load_dataset(str(tmp_path), image_shape=(20, 20, 3))
    assert np.array_equal(data.x_test[:], again.x_test[:]) and len(data.y_test) == 4


def test_validation_images_of_the_folder_are_those_of_the_data_set(tmp_path):
    fill(tmp_path, "train/a/{1-9}.png train/b/{1-9}.png val/a/{1-2}.png val/b/1.png test/a/1.png")
    data = load_dataset(str(tmp_path), image_shape=(20, 20, 3))
    assert data.validation is not None and data.y_train[data.validation].tolist() == [0, 0, 1]
    own = data.x_train[data.validation][0]
    assert np.array_equal(own, np.asarray(picture(19)))  # the first of val
    assert len(data.y_train) == 21 and "Its own 3 validation images" in data.note


WRONG = {
    "no classes": ("abc.png xyz.png", "neither folders nor names tell"),
    "one class": ("img_{1-9}.png", "neither folders nor names tell"),
    "both": ("val/a/1.png validation/a/1.png train/a/1.png", "are both validation"),
    "foreign": ("train/a/1.png train/b/1.png test/c/1.png", "test/c: the class c is not in"),
    "no train": ("test/a/1.png val/a/1.png", "train: there is no such folder"),
    "few": ("a/1.png b/1.png", "too few to hold some back"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_layout_that_is_none_is_one_error(tmp_path, case):
    names, said = WRONG[case]
    fill(tmp_path, names)
    with pytest.raises(InputError, match=said) as caught:
        find_images(tmp_path)
    assert str(tmp_path) in str(caught.value) and len(str(caught.value).splitlines()) <= 5


def test_a_table_that_names_other_files_is_one_error(tmp_path):
    fill(tmp_path, "a{1-4}.png")
    rows = ["file,label", "a1.png,x", "a2.png,y", "a9.png,x"]
    (tmp_path / "labels.csv").write_text(table(rows))
    with pytest.raises(InputError, match=r"labels\.csv, line 4: names no image.*'a9\.png,x'"):
        find_images(tmp_path)


def test_many_classes_are_shortened(tmp_path):
    fill(tmp_path, " ".join(f"train/c{n:02}/1.png test/c{n:02}/1.png" for n in range(30)))
    lines = find_images(tmp_path).table()
    assert len(lines) == 23 and lines[-2].split() == ["10", "more", "10", "10"]


# Bad images


JPEG = content_of(picture(size=(60, 40)))
PLAIN = content_of(Image.new("RGB", (60, 40), "white"))
PROBLEMS = {
    "empty.jpg": (b"", "is empty"),
    "zeros.jpg": (bytes(99), "nothing but zeros"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "truncated"),
    "cut.png": (content_of(picture(), "PNG")[:500], "truncated|damaged"),
    "page.png": (b"\n<!DOCTYPE html>\n<html>404", "an HTML page"),
    "photo.HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC photo"),
    "drawing.png": (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "an SVG drawing"),
    "text.gif": (b"hello", "not an image"),
    "extra.jpg": (JPEG[:-2] + bytes(500) + JPEG[-2:], "extraneous bytes"),
    "white.jpg": (PLAIN[:-2] + b"junk" * 50 + PLAIN[-2:], "extraneous bytes"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_bad_image_has_a_reason(tmp_path, name):
    content, problem = PROBLEMS[name]
    (tmp_path / name).write_bytes(content)
    assert re.search(problem, image_facts(tmp_path / name).problem)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(60, 40), (8, 8), (17, 33)])
def test_good_images_have_none(tmp_path, mode, size):
    image = picture(3, size, mode)
    for number, options in enumerate(
        ({}, {"progressive": True}, {"quality": 20}, {"subsampling": 0})
    ):
        path = tmp_path / f"{number}.jpg"
        image.save(path, **options)
        facts = image_facts(path)
        assert (facts.problem, facts.oddity, facts.size, facts.mode) == ("", "", size, mode)
        path.write_bytes(path.read_bytes() + b"more")
        oddity = "" if "progressive" in options else "4 bytes after its end"  # of several scans
        assert image_facts(path).oddity == oddity


@pytest.fixture
def bad(tmp_path, home):
    """Two classes of twelve images, and two more that cannot be used in each split."""
    root = fill(
        tmp_path / "set", "train/a/{1-12}.png train/b/{1-12}.png test/a/{1-3}.png test/b/1.png"
    )
    (root / "train" / "a" / "empty.png").write_bytes(b"")
    (root / "train" / "b" / "photo.HEIC").write_bytes(PROBLEMS["photo.HEIC"][0])
    (root / "test" / "a" / "cut.jpg").write_bytes(PROBLEMS["cut.jpg"][0])
    return root


def test_all_bad_images_are_listed_at_once(bad):
    with pytest.raises(InputError) as caught:
        usable(find_images(bad), skip=False)
    message = str(caught.value)
    for name in (
        "train/a/empty.png: is empty",
        "train/b/photo.HEIC: is a HEIC photo",
        "test/a/cut.jpg",
    ):
        assert name in message
    assert "3 of 31 images cannot be used" in message and "--skip-bad-images" in message
    left = usable(find_images(bad), skip=True)
    assert len(left.splits["train"]) == 24 and len(left.splits["test"]) == 4
    assert [name for name, _ in left.left_out] == [
        "train/a/empty.png",
        "train/b/photo.HEIC",
        "test/a/cut.jpg",
    ]


def test_what_was_checked_is_remembered_until_a_file_changes(bad, monkeypatch):
    first = bad_images(find_images(bad))
    monkeypatch.setattr(
        "modelzoo.data.checking.image_facts", lambda path: pytest.fail("read again")
    )
    assert bad_images(find_images(bad)) == first and len(first) == 3
    monkeypatch.undo()
    (bad / "train" / "a" / "empty.png").write_bytes(content_of(picture(), "PNG"))
    assert len(bad_images(find_images(bad))) == 2


def test_check_reports_what_is_odd(tmp_path, home, capsys):
    root = fill(tmp_path, "train/a/{1-40}.png train/b/{1-3}.png test/a/{1-2}.png test/b/1.png")
    (root / "test" / "a" / "again.png").write_bytes((root / "train" / "a" / "7.png").read_bytes())
    (root / "train" / "b" / "same.png").write_bytes((root / "train" / "a" / "8.png").read_bytes())
    picture(size=(300, 20)).save(root / "train" / "a" / "wide.png")
    picture(mode="L").save(root / "test" / "b" / "grey.png")
    assert cli.main(["check", str(root)]) == 0
    out = capsys.readouterr().out
    for line in (
        "a         41     3", "bad images: none",
        "imbalance: 41 training images of 'a', but 4 of 'b'",
        "the same file in two splits: 1", "  test/a/again.png = train/a/7.png",
        "the same file in two classes: 1", "  train/a/8.png = train/b/same.png",
        "sizes: 2; most often 20x20 (49); 20 to 300 wide, 20 to 20 high",
        "  train/a/wide.png: 300x20", "modes: RGB (49), L (1)", "  test/b/grey.png: L",
    ):  # fmt: skip
        assert line in out, out
    (root / "train" / "a" / "1.png").write_bytes(b"")
    assert cli.main(["check", f"folder:{root}", "--json"]) == 1
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert facts["bad"] == {"train/a/1.png": "is empty"} and facts["images"]["test"] == {
        "a": 3,
        "b": 2,
    }
    assert "1 of 50 images cannot be used" in captured.err
    assert len(check_images(find_images(root))) == 50


def test_a_training_refuses_bad_images_or_leaves_them_out(bad, tmp_path, capsys, monkeypatch):
    """Before a framework starts. The list goes into the run; evaluating leaves the same out."""
    train = [
        "train",
        "--model",
        "lenet5",
        "--dataset",
        str(bad),
        "--epochs",
        "1",
        "--device",
        "cpu",
    ]
    out = tmp_path / "run"
    monkeypatch.setattr("modelzoo.training.trainer.start_framework", lambda *_, **__: 1 / 0)
    assert cli.main([*train, "--out", str(out)]) == 2
    monkeypatch.undo()
    said = capsys.readouterr().err
    assert "3 of 31 images cannot be used" in said and "Traceback" not in said and not out.exists()
    assert cli.main([*train, "--out", str(out), "--skip-bad-images", "--json"]) == 0
    said = capsys.readouterr().err
    assert "3 of 31 images are left out" in said and "CLASS  TRAIN  TEST" in said
    rows = (out / "skipped-images.csv").read_text().splitlines()
    assert rows[0] == "image,problem" and rows[1] == "train/a/empty.png,is empty" and len(rows) == 4
    assert cli.main(["evaluate", "--model", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 4
