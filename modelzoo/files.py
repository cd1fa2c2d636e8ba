"""Write files so that a reader finds the old one or the new one, never half of one."""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from modelzoo.errors import InputError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; move it into place when the block ends well.

    The temporary name keeps the suffixes, since libraries choose their format by them.

    Raises:
        InputError: the folder cannot be written to, or the disk is full. `path` is as it was.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path.parent}: cannot be a folder: {reason}") from error
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as a RuntimeError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, OSError) or "errno" in reason or "write" in reason:
            raise InputError(f"{path}: cannot be written: {reason.splitlines()[0]}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give a temporary folder inside `folder`; move what it holds there when the block ends well.

    For results of several files, and for folders. Otherwise nothing is left, nor is `folder` if it
    was made for this.

    Raises:
        InputError: the folder cannot be written to, the disk is full, or a name is taken.
    """
    if "\0" in str(folder):
        raise InputError(f"{folder}: no folder can have this name")
    made = [each for each in (folder, *folder.parents) if not is_there(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as temporary:
            yield Path(temporary)
            for path in Path(temporary).iterdir():
                if is_there(folder / path.name):
                    raise InputError(f"{folder / path.name}: is there already")
                path.replace(folder / path.name)
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


def is_there(path: Path) -> bool:
    """Whether a file or folder can be seen; False also for a name that no file can have."""
    try:
        path.stat()
    except (OSError, ValueError):  # ValueError: a zero byte
        return False
    return True
