"""Folders, zips and tars of the files of a data set, joined into its arrays.

What belongs to one split is joined. Nothing is extracted to the disk, and no more memory is taken
than a file may fill.
"""

import gzip
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from modelzoo.data.formats import FORMATS, MOST, SMALL, SPLITS, TURNED, Piece, grown, split_of
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.files import ordinary

HEAD = 2**16  # bytes in which a file is recognised: a header of 784 columns, and a row
BOMB = "it may be made to fill the memory\nIf you trust it, unpack it first."
MOST_FILES = 10_000
DEEPEST = 5  # folders below the one that is named
SIDEWAYS = re.compile(r"(?<![a-z])emnist")  # EMNIST has rows as columns, as MATLAB keeps them
DAMAGE = (
    OSError, EOFError, ValueError, KeyError, IndexError, RuntimeError, OverflowError, TypeError,
    NotImplementedError, zlib.error, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip
KINDS = (
    "IDX, .csv with a label and pixels in a row, CIFAR's archives, .mat of EMNIST and SVHN, .npz"
)


class _Stream:
    """What was read of a stream already, then its rest, and no more than `most` bytes in all."""

    def __init__(self, head: bytes, stream: IO[bytes] | gzip.GzipFile, most: int) -> None:
        self.head, self.stream, self.left = head, stream, most

    def read(self, size: int) -> bytes:
        """Return up to so many bytes."""
        begin, self.head = self.head[:size], self.head[size:]
        found = begin if len(begin) == size else begin + self.stream.read(size - len(begin))
        self.left -= len(found)
        if self.left < 0:
            raise InputError(f"would grow to more than it should: {BOMB}")
        return found


def _opened(
    name: str, raw: IO[bytes] | gzip.GzipFile, size: int, others: str, depth: int = 0
) -> Iterator[Piece]:
    """Yield the pieces in a file of so many bytes, or in those of a tar."""
    if others and re.search(others, name.lower()):
        return
    head = raw.read(HEAD)
    name = name.removesuffix(".gz")
    if head.startswith(b"\x1f\x8b"):
        packed: Any = _Stream(head, raw, size + HEAD)
        raw = gzip.GzipFile(fileobj=packed)
        head, most = raw.read(HEAD), min(MOST, grown(size))
    else:
        most = max(SMALL, size)
    stream = _Stream(head, raw, most)
    if head[257:262] == b"ustar" and not depth:
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:  # as they come: going back would decompress everything again
                _check_member(name, member.name, member.size, most)
                if (file := archive.extractfile(member)) is not None:
                    yield from _opened(member.name, file, member.size, others, depth + 1)
        return
    for kind in FORMATS:
        if kind.fits(name.lower(), head):
            try:
                wanted = kind.size(head) or most
                if wanted > most:
                    raise InputError(f"says that it has {wanted:,} bytes")
                yield from kind.read(name, stream.read(wanted + 1))
            except DAMAGE as error:
                said = str(error) if isinstance(error, InputError) else reason_of(error)
                raise InputError(
                    f"{name!r:.120} ({kind.name}): {said.partition('; use')[0]}"
                ) from None
            return


def _check_member(archive: str, name: str, size: int, most: int) -> None:
    """Refuse a member that leads out of its archive, or is larger than it can be."""
    if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or name[1:2] == ":":
        raise InputError(f"{name!r:.120} leads out of the archive: it is not read")
    if size > most:
        raise InputError(f"{name!r:.120} would grow to {size:,} bytes: {BOMB}")


def _in_file(path: Path, name: str, others: str) -> Iterator[Piece]:
    with ordinary(path).open("rb") as raw:
        is_zip = raw.read(4) == b"PK\x03\x04" and path.suffix != ".npz"
        raw.seek(0)
        if not is_zip:
            yield from _opened(name, raw, path.stat().st_size, others)
            return
        with zipfile.ZipFile(raw) as archive:
            for entry in archive.infolist()[:MOST_FILES]:
                _check_member(
                    path.name, entry.filename, entry.file_size, grown(entry.compress_size)
                )
                with archive.open(entry) as file:
                    yield from _opened(entry.filename, file, entry.file_size, others, 1)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield files of a folder, DEEPEST folders down, MOST_FILES at most; no hidden ones."""
    left = MOST_FILES
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each[0] != ".")
        if len(Path(root).parts) - len(folder.parts) >= DEEPEST or left <= 0:
            folders.clear()
        visible = sorted(name for name in names if name[0] != ".")
        yield from (Path(root, name) for name in visible[:left])
        left -= len(visible)


def _stem(name: str) -> str:
    """Return what the names of the files of one data set have in common."""
    words = "|".join(words.pattern for words in SPLITS.values())
    return re.sub(rf"{words}|images|labels|idx\d|\.gz|[^a-z0-9]", "", name.lower())


def files_of(path: Path) -> list[Path]:
    """Return the files of a data set: those in a folder, or a file and those that belong to it."""
    if path.is_dir():
        return sorted(files_below(path))
    if not split_of(path.name):
        return [path]
    others = (each for each in path.parent.iterdir() if each.is_file() and split_of(each.name))
    return sorted({path, *(each for each in others if _stem(each.name) == _stem(path.name))})


def read_files(files: Sequence[Path], others: str = "") -> tuple[dict[str, Any], list[str]]:
    """Return the arrays of a data set in its files.

    They are as `as_dataset` takes them; beside them stands what was done to them. `others` is a
    pattern of names of files that belong to other data sets.

    Raises:
        InputError: a file is damaged, would fill the memory, or does more than hold data; or files
            do not belong together.
    """
    pieces: list[Piece] = []
    top = Path(os.path.commonpath([file.parent for file in files] or [Path()]))
    for file in files:
        try:
            room = grown(file.stat().st_size)  # for all that an archive holds
            for piece in _in_file(file, file.relative_to(top).as_posix(), others):
                pieces.append(_upright(piece, file))
                arrays = (each for each in (piece.images, piece.labels) if each is not None)
                room -= sum(array.nbytes for array in arrays)
                if room < 0:
                    raise InputError(f"would grow to more than it should: {BOMB}")
        except DAMAGE as error:
            said = str(error) if isinstance(error, InputError) else reason_of(error)
            raise InputError(f"{file} can't be read: {said}") from None
    return _joined(_without_copies(pieces))


def _upright(piece: Piece, path: Path) -> Piece:
    name = f"{path.parent.name}/{path.name}/{piece.file}".lower()
    if piece.images is None or piece.note or piece.images.ndim < 3 or not SIDEWAYS.search(name):
        return piece
    return replace(piece, images=piece.images.swapaxes(1, 2), note=TURNED)


def _without_copies(pieces: list[Piece]) -> list[Piece]:
    """Leave out a file that is there twice, as unpacked and in its archive."""
    kept: dict[Any, Piece] = {}
    for piece in pieces:
        base = piece.file.rpartition("/")[2].lower().removesuffix(".bin").removesuffix(".txt")
        what = piece.images is None, piece.labels is None, bool(piece.class_names)
        key = re.sub(r"[^a-z0-9]", "", base), piece.split, what
        first = kept.setdefault(key, piece)
        for one, other in ((first.images, piece.images), (first.labels, piece.labels)):
            if one is not None and other is not None and not np.array_equal(one, other):
                raise InputError(
                    f"{first.file!r} is there twice, with other content\nName one folder."
                )
    return list(kept.values())


def _joined(pieces: list[Piece]) -> tuple[dict[str, Any], list[str]]:
    notes = list(dict.fromkeys(piece.note for piece in pieces if piece.note))
    names = [piece for piece in pieces if piece.class_names]
    arrays: dict[str, Any] = {}
    if names:
        arrays["class_names"] = np.array(names[0].class_names)
    splits = {piece.split for piece in pieces if piece.images is not None}
    for split, key in (("train", "train"), ("validation", "val"), ("test", "test")):
        # A file whose name tells nothing holds what there is to train on.
        wanted = {split} if split != "train" or "train" in splits else {split, ""}
        own = sorted((each for each in pieces if each.split in wanted), key=lambda each: each.file)
        for letter, what in (("x", "images"), ("y", "labels")):
            found = [
                (each.file, getattr(each, what)) for each in own if getattr(each, what) is not None
            ]
            if len({re.sub(r"\d", "", file.rpartition("/")[2]) for file, _ in found}) > 1:
                files = ", ".join(file for file, _ in found[:4])
                raise InputError(
                    f"holds the {what} of several data sets: {files}\nName one of them."
                )
            if found:
                parts = [array for _, array in found]
                arrays[f"{letter}_{key}"] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if not {"x_train", "x_test"} & set(arrays):
        raise InputError(f"holds nothing that is read: {KINDS}; or a folder of images")
    return arrays, notes
