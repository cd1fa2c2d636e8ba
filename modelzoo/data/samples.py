"""The images that come with the package, named `sample:CLASS`: digits on paper, and scenes."""

from collections.abc import Iterable
from pathlib import Path

from modelzoo.support.errors import InputError, suggest

FOLDER = Path(__file__).parent / "files" / "samples"


def samples_of(classes: Iterable[str]) -> list[str]:
    """Return the samples that show one of these classes, such as "sample:7".

    Raises:
        InputError: there is none.
    """
    names = _names()
    found = [f"sample:{name}" for name in names if name in set(classes)]
    if not found:
        raise InputError(f"no sample shows one of this network's classes{suggest('', names)}")
    return found


def find_sample(path: Path) -> Path:
    """Return the file that `sample:NAME` stands for; another path as it is.

    Raises:
        InputError: there is no such sample.
    """
    prefix, _, name = str(path).partition(":")
    if prefix != "sample":
        return path
    if name not in _names():
        raise InputError(f"{path}: there is no such sample{suggest(name, _names())}")
    return FOLDER / f"{name}.jpg"


def _names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.jpg"))
