"""What the environment says of this machine: where things are kept, and whether there is a net."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from modelzoo.support.errors import InputError

owns_process = False  # set by a command that is alone in its process, and may change what all share


def cache_folder() -> Path:
    """Where modelzoo keeps what it fetches: $MODELZOO_HOME, or the user's cache folder."""
    if home := os.environ.get("MODELZOO_HOME"):
        return in_home(home)
    try:
        return Path(platformdirs.user_cache_dir("modelzoo")).expanduser()
    except RuntimeError:
        raise InputError("there is no home folder: set HOME, or MODELZOO_HOME") from None


def in_home(path: str | os.PathLike[str]) -> Path:
    """Return the path that `~/...` or `~name/...` stands for; as it is where there is no such."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - which raises


def is_offline() -> bool:
    """Whether MODELZOO_OFFLINE forbids the network."""
    return os.environ.get("MODELZOO_OFFLINE", "").lower() not in ("", "0", "false", "no")


@contextlib.contextmanager
def without_network() -> Iterator[None]:
    """Forbid the network within a block, for what is good to have but not worth a download."""
    before = os.environ.get("MODELZOO_OFFLINE")
    os.environ["MODELZOO_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["MODELZOO_OFFLINE"]
        else:
            os.environ["MODELZOO_OFFLINE"] = before


def mirror_prefix() -> str:
    """What MODELZOO_MIRROR says to try first: the address above `<model>/<file>`, or nothing."""
    return os.environ.get("MODELZOO_MIRROR", "").strip().rstrip("/")
