"""What the environment says of this machine: where things are kept, and whether there is a net."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Where modelzoo keeps what it fetches: $MODELZOO_HOME, or the user's cache folder."""
    home = os.environ.get("MODELZOO_HOME")
    return Path(home).expanduser() if home else Path(platformdirs.user_cache_dir("modelzoo"))


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
