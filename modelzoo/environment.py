"""What the environment says of this machine: where things are kept, and whether there is a net."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

# The home and the cache of a user without a home folder, as services have: a place that is not
# there. One in the folder for temporary files would be anybody's to fill.
NO_HOME = "/nonexistent"
NOWHERE = Path(NO_HOME, "modelzoo")


def cache_folder() -> Path:
    """Where modelzoo keeps what it fetches: $MODELZOO_HOME, or the user's cache folder."""
    if home := os.environ.get("MODELZOO_HOME"):
        return in_home(home)
    try:
        folder = Path(platformdirs.user_cache_dir("modelzoo"))
    except RuntimeError:  # there is no home folder; older versions of platformdirs return "~/..."
        return NOWHERE
    return folder if folder.is_absolute() else NOWHERE


def name_home() -> None:
    """Give the process of a user without a home folder a name for it; Altair's import needs one."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = NO_HOME


def in_home(path: str | os.PathLike[str]) -> Path:
    """Return the path that `~/...` or `~name/...` stands for; as it is where there is no such."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


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
