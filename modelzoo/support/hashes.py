"""Whether a file is the one with a certain SHA-256, and the record of a hash beside its file."""

import hashlib
import stat
from pathlib import Path
from typing import Literal

from modelzoo.support.errors import InputError
from modelzoo.support.files import write_text

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
