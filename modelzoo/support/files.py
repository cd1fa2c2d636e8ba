"""Write files so that a reader finds the old one or the new one, never half of one."""

import contextlib
import csv
import hashlib
import io
import os
import re
import shlex
import stat
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from modelzoo.support.errors import InputError

IN_USE = (5, 32, 33)  # what Windows says of a file that another program has open
PATIENCE = 5.0  # seconds for it to be closed; virus scanners take less


class InUseError(InputError):
    """Another program has the file open, and keeps it from being replaced."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; move it into place when the block ends well.

    The temporary name keeps the suffixes, since libraries choose their format by them. The content
    is on the disk before its name is, and the name before this returns: after a power cut, too, a
    reader finds the old file or the new one.

    Raises:
        InputError: the folder cannot be written to, or the disk is full. `path` is as it was.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be a folder: {error.strerror}") from error
    try:
        yield temporary
        with temporary.open("rb+") as written:  # Windows brings no file to the disk that is read
            os.fsync(written.fileno())
        move(temporary, path)
        sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as a RuntimeError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, OSError) or "errno" in reason or "write" in reason:
            of_the_system = re.search(
                "error message = '([^']+)'", reason
            )  # within h5py's own words
            reason = of_the_system[1] if of_the_system else reason.splitlines()[0]
            raise InputError(f"{path}: cannot be written: {reason}") from None
        raise
    finally:
        with contextlib.suppress(OSError):  # a read-only disk says so even if it is not there
            temporary.unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Put a file in the place of another, which Windows refuses while a program has it open."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            path.replace(target)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in IN_USE:
                raise
            if time.monotonic() > end:
                raise InUseError(
                    f"{target}: cannot be replaced: another program, such as Excel, has it open"
                ) from None
        time.sleep(0.1)


def remove_leftovers(folder: Path) -> None:
    """Remove what `replacing` left when its process was killed; the folder must be locked."""
    with contextlib.suppress(OSError):
        for path in folder.glob(".*"):
            if re.match(r"\.[0-9a-f]{8}\.", path.name):
                path.unlink()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can do that."""
    with contextlib.suppress(OSError):  # Windows opens no folder, and does it by itself
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give a temporary folder inside `folder`; move what it holds there when the block ends well.

    For results of several files, and for folders. Otherwise nothing is left, nor is `folder` if it
    was made for this.
    """
    made = [each for each in (folder, *folder.parents) if not is_there(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as temporary:
            yield Path(temporary)
            for path in Path(temporary).iterdir():
                if is_there(folder / path.name):
                    raise InputError(f"{folder / path.name}: already exists")
                move(path, folder / path.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # not empty: it holds what was wanted
            for each in made:
                each.rmdir()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def as_typed(path: Path | str) -> str:
    """Return a path as it has to be typed on a command line: quoted, if there is need."""
    return shlex.quote(str(path)) if os.name == "posix" else f'"{path}"'


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table, whole or not at all; a row's missing values stay empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def ordinary(path: Path) -> Path:
    """Return `path`, or raise an InputError if it is a pipe or a device, which may never end."""
    if is_there(path) and not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: is not an ordinary file")
    return path


def is_there(path: Path) -> bool:
    """Whether a file or folder can be seen; False also for a name that no file can have."""
    return os.path.exists(path)  # noqa: PTH110 - which raises where a folder above is closed


# unknown: it is there, but there is no hash to hold it to
State = Literal["good", "damaged", "unknown", "missing"]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def state_of(path: Path | None, sha256: str | None, size: int | None = None) -> State:
    """Say whether a file is the one with this SHA-256 and size; every byte of it is read."""
    try:
        if path is None:
            return "missing"
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or (size is not None and found.st_size != size):
            return "damaged"
        if sha256 is None:
            return "unknown"
        return "good" if sha256_of(path) == sha256 else "damaged"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "damaged"  # unreadable


def record_path(path: Path) -> Path:
    """Where the hash of a fetched file is written down, as `sha256sum --check` reads it."""
    return path.with_name(f"{path.name}.sha256")


def read_record(path: Path) -> str | None:
    """Return what was written down as the SHA-256 of a file; no file has a damaged one."""
    try:
        return record_path(path).read_text("utf-8", "replace").partition(" ")[0] or "nothing"
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{record_path(path)}: cannot be read: {error.strerror}") from None


def write_record(path: Path, sha256: str) -> None:
    """Write down the SHA-256 of a file, whole or not at all."""
    write_text(record_path(path), f"{sha256}  {path.name}\n")
