"""Folders of images in the layouts that people have: to which split and class an image belongs."""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.data.containers import files_below
from modelzoo.data.image_files import ImageFiles
from modelzoo.data.images import SUFFIXES, read_image
from modelzoo.data.source import (
    TEST_SHARE,
    Dataset,
    ImageShape,
    own_validation,
    split_validation,
    without_test,
)
from modelzoo.support.environment import in_home
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.terminal import columns_of

LAYOUT = (
    "Read are PATH/train/CLASS/* and PATH/test/CLASS/*, PATH/CLASS/*, PATH/cat.0.jpg, and PATH/"
    "labels.csv with the names of files and their classes."
)
# What a split's folder may be called: train, training_set, train_images, test1, ...
SPLIT_NAMES = {
    "train": re.compile(r"train(ing)?"),
    "validation": re.compile(r"val(id(ation)?)?|dev"),
    "test": re.compile(r"test(ing)?"),
}
BEHIND = re.compile(r"[-_ ]?(set|images?|imgs|data|pictures|\d)\Z")
# A class, and a number apart from it: cat.0.jpg, great_dane_12.jpg, cat (3).jpg, cat12.jpg
NUMBERED = re.compile(r"(?P<name>.*?[^\W_])(?:[._\- ]+|(?<=[^\W\d_]))\(?\d+\)?\Z")
LABEL_COLUMNS = ("label", "class", "category", "target", "species", "breed")
SPLIT_COLUMNS = ("split", "set", "subset", "partition")
SHOWN = 20  # classes in a table


@dataclass
class ImageFolder:
    """What was found in a folder: the files of each split, and what there is to say of it."""

    root: Path
    class_names: tuple[str, ...]
    splits: dict[str, ImageFiles]  # "train", "test", and "validation" if it has its own
    notes: list[str] = field(default_factory=list)
    left_out: tuple[tuple[str, str], ...] = ()  # bad images, and what is wrong with them

    def __len__(self) -> int:
        return sum(map(len, self.splits.values()))

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the images of each class in each split."""
        rows = {
            split: np.bincount(files.labels, minlength=len(self.class_names)).tolist()
            for split, files in self.splits.items()
        }
        return {split: dict(zip(self.class_names, row, strict=True)) for split, row in rows.items()}

    def table(self) -> list[str]:
        """Return the lines of a table: a class, and its images in each split."""
        columns = [list(row.values()) for row in self.counts().values()]
        rows: list[tuple[Any, ...]] = list(zip(self.class_names, *columns, strict=True))
        if len(rows) > SHOWN:
            rest = (sum(column[SHOWN:]) for column in columns)
            rows = [*rows[:SHOWN], (f"{len(rows) - SHOWN} more", *rest)]
        rows = [("CLASS", *map(str.upper, self.splits)), *rows, ("all", *map(sum, columns))]
        cells = [[f"{each:,}" if isinstance(each, int) else each for each in row] for row in rows]
        widths = [max(map(columns_of, column)) for column in zip(*cells, strict=True)]
        lines = []
        for name, *numbers in cells:
            right = (f"  {each:>{width}}" for each, width in zip(numbers, widths[1:], strict=True))
            lines.append(name + " " * (widths[0] - columns_of(name)) + "".join(right))
        return lines

    def as_dataset(self, shape: ImageShape, **options: Any) -> Dataset:
        """Return the data set; `options` are those of `read_image`."""

        def read(path: Path) -> np.ndarray:
            return read_image(path, shape, **options).pixels

        train, test, positions = self.splits["train"], self.splits["test"], None
        if (own := self.splits.get("validation")) is not None:
            positions = np.arange(len(train), len(train) + len(own))
            train = train.followed_by(own)
        return Dataset(
            f"folder:{self.root}",
            train.read(shape, read),
            train.labels,
            test.read(shape, read),
            test.labels,
            self.class_names,
            " ".join(self.notes),
            positions,
            self.left_out,
        )


Classes = dict[str, list[tuple[Path, list[str]]]]  # by class, folders and the names in them


def is_image_folder(path: Path) -> bool:
    """Whether a folder holds an image, as far as one looks down."""
    return path.is_dir() and any(each.suffix.lower() in SUFFIXES for each in files_below(path))


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder `path`, or say that it is not there or holds no image."""
    root = in_home(path)
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder\n{LAYOUT}")
    return root


def find_images(path: str | os.PathLike[str]) -> ImageFolder:
    """Find the images of a folder, by split and class.

    Hidden files and files whose names do not end like an image's are passed over. A link that
    leads out of the folder is refused. Where there is no split, a fifth of each class is the test.

    Raises:
        InputError: the layout is none of LAYOUT, or a class is empty.
    """
    root = check_folder(path)
    while len(inner := _folders(root, root)) == 1 and not _images(root, root):
        is_class = not _folders(inner[0], root) and not _by_name(_images(inner[0], root))
        if is_class or _split_name(inner[0].name) or any(root.glob("*.csv")):
            break
        root = inner[0]  # what a zip leaves: a folder in a folder
    notes: list[str] = []
    found = _from_table(root, notes) or _from_folders(root, notes)
    return _with_splits(root, found, notes)


def _with_splits(root: Path, found: dict[str, Classes], notes: list[str]) -> ImageFolder:
    """Number the classes, and see to it that there are images to train on and to test on."""
    if "" in found:
        found.setdefault("train", found.pop(""))
    if not found.get("train"):
        raise InputError(f"{root / 'train'}: there is no such folder\n{LAYOUT}")
    names = tuple(sorted(found["train"]))
    splits = {}
    for split, classes in found.items():
        if foreign := sorted(set(classes) - set(names)):
            folder, _ = classes[foreign[0]][0]
            raise InputError(
                f"{folder}: the class {foreign[0]} is not in the training images\n"
                "A network can't know a class that it was never shown: add it or take it away."
            )
        splits[split] = ImageFiles.of(
            (label, folder, sorted(files))
            for label, name in enumerate(names)
            for folder, files in classes.get(name, ())
        )
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
        notes.append("The test images are those for validation.")
    elif "test" not in splits:
        train, test = split_validation(splits["train"].labels, TEST_SHARE)
        if not len(test):
            raise InputError(
                f"{root}: {len(train)} images are too few to hold some back for the test"
            )
        splits = {"train": splits["train"].take(train), "test": splits["train"].take(test)}
        notes.append(without_test(len(test)))
    elif "validation" in splits:
        notes.append(own_validation(len(splits["validation"])))
    order = ("train", "validation", "test")
    return ImageFolder(root, names, {each: splits[each] for each in order if each in splits}, notes)


def _from_folders(root: Path, notes: list[str]) -> dict[str, Classes]:
    """Return the classes of each split folder, or of the whole, whose split is then ""."""
    folders: dict[str, Path] = {}
    for folder in _folders(root, root):
        if split := _split_name(folder.name):
            if split in folders:
                raise InputError(
                    f"{root}: {folders[split].name} and {folder.name} are both {split}"
                )
            folders[split] = folder
    if not folders:
        return {"": _classes(root, root)}
    if others := [each.name for each in _folders(root, root) if each not in folders.values()]:
        notes.append(f"Not used: {', '.join(sorted(others)[:SHOWN])}.")
    found: dict[str, Classes] = {}
    for split, folder in folders.items():
        inner = _folders(folder, root)
        if len(inner) == 1 and not _images(folder, root) and _split_name(inner[0].name) == split:
            folder = inner[0]  # training_set/training_set/cats
        if split == "train" or _folders(folder, root):
            found[split] = _classes(folder, root)
            continue
        named = _by_name(_images(folder, root))
        if named and set(named) <= set(found.get("train", ())):
            found[split] = {name: [(folder, files)] for name, files in named.items()}
        else:
            count = len(_images(folder, root))
            notes.append(f"Not used: {folder.name}, {count:,} images without classes.")
    return found


def _classes(folder: Path, root: Path) -> Classes:
    """Return the classes of one split: its folders, or what the names of its files begin with."""
    folders = _folders(folder, root)
    if folders:
        found: Classes = {}
        for each in folders:
            if not (names := _images(each, root)):
                raise InputError(
                    f"{each}: there is no image in it\nLooked for {', '.join(sorted(SUFFIXES))}. "
                    "Images in folders within it are not looked for.\n"
                    "Put images in, or take the empty class away."
                )
            found[each.name] = [(each, names)]
        return found
    names = _images(folder, root)
    if not names:
        raise InputError(f"{folder}: there are no images and no folders in it\n{LAYOUT}")
    named = _by_name(names)
    if not named:
        raise InputError(
            f"{folder}: {len(names):,} images, and neither folders nor names tell their classes\n"
            f"{LAYOUT}"
        )
    return {name: [(folder, files)] for name, files in named.items()}


def _by_name(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the names by what they begin with, or nothing if that can be no class."""
    found: dict[str, list[str]] = {}
    for name in names:
        match = NUMBERED.fullmatch(os.path.splitext(name)[0])  # noqa: PTH122
        if match is None:
            return {}
        found.setdefault(match["name"], []).append(name)
    return found if 2 <= len(found) <= len(names) / 2 else {}


def _split_name(name: str) -> str:
    """Return the split that a folder or a column calls so, or nothing."""
    base = BEHIND.sub("", name.lower())
    return next((split for split, words in SPLIT_NAMES.items() if words.fullmatch(base)), "")


def _from_table(root: Path, notes: list[str]) -> dict[str, Classes]:
    """Return what tables of file names and classes beside the images say, if there are any."""
    found: dict[str, Classes] = {}
    tables = [path for path in sorted(root.glob("*.csv")) if "submission" not in path.name.lower()]
    if not tables:
        return found
    places: dict[str, list[Path]] = {}  # by name, with and without the folder and the ending
    for folder in (root, *_folders(root, root)):
        for name in _images(folder, root):
            for each in {name, os.path.splitext(name)[0]}:  # noqa: PTH122
                places.setdefault(each, []).append(folder / name)
                places[f"{folder.name}/{each}"] = [folder / name]
    for path in tables:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = [row for row in csv.reader(file) if row]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: can't be read as a table: {reason_of(error)}") from None
        if _add_table(path, rows, places, found):
            notes.append(f"The classes are those in {path.name}.")
        else:
            notes.append(f"Not used: {path.name}, which does not have one column of classes.")
    return found


def _add_table(
    path: Path,
    rows: list[list[str]],
    places: Mapping[str, Sequence[Path]],
    found: dict[str, Classes],
) -> bool:
    """Add the images that a table names; return whether it has a column of names and of classes."""
    split_here = _split_name(path.stem)

    def image_in(cell: str) -> Path | None:
        parts = cell.strip().replace("\\", "/").split("/")
        named = places.get("/".join(parts[-2:])) or places.get(parts[-1], ())
        if len(named) > 1:  # train.csv is of the images in train
            named = [each for each in named if _split_name(each.parent.name) == split_here]
        return named[0] if len(named) == 1 else None

    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    first = next((row for row in rows[1:] if len(row) == len(header)), [])
    columns = [at for at, cell in enumerate(first) if image_in(cell)]
    others = [at for at in range(len(header)) if at not in columns[:1]]
    labels = [at for at in others if header[at] in LABEL_COLUMNS]
    labels = labels or [at for at in others if header[at] not in SPLIT_COLUMNS]
    if not columns or len(labels) != 1:
        return False
    split_at = next((at for at, name in enumerate(header) if name in SPLIT_COLUMNS), None)
    groups: dict[tuple[str, str, Path], list[str]] = {}
    for number, row in enumerate(rows, 1):
        image = image_in(row[columns[0]]) if len(row) == len(header) else None
        if image is None or not row[labels[0]].strip():
            if number == 1:  # what the columns are called
                continue
            raise InputError(
                f"{path}, line {number}: names no image that is there, or no class: "
                f"{','.join(row)!r:.80}\n"
                "Every line names a file beside the table, or in a folder there, and its class."
            )
        told = (row[split_at],) if split_at is not None else (image.parent.name, path.stem)
        split = next(filter(None, map(_split_name, told)), "")
        groups.setdefault((split, row[labels[0]].strip(), image.parent), []).append(image.name)
    for (split, label, folder), names in groups.items():
        found.setdefault(split, {}).setdefault(label, []).append((folder, names))
    return True


def _folders(folder: Path, root: Path) -> list[Path]:
    """Return the visible folders in a folder, none of which may lead out of the root."""
    with os.scandir(folder) as entries:
        found = [Path(each.path) for each in entries if each.name[0] != "." and each.is_dir()]
    for each in (folder, *found):
        _refuse_links_out(each, root)
    return sorted(found)


def _images(folder: Path, root: Path) -> list[str]:
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                _refuse_links_out(Path(entry.path), root)
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file():  # noqa: PTH122
                names.append(entry.name)
    return sorted(names)


def _refuse_links_out(path: Path, root: Path) -> None:
    """Refuse a link that leads out of `root`: the data would change with what lies elsewhere."""
    if path != root and path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"{path} is a link that leads out of {root}\n"
            "Copy the images in, or name the folder that holds them all."
        )
