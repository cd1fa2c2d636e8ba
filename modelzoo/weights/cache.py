"""Where weight files lie, what state they are in, and what is to be done about it."""

import hashlib
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelzoo.environment import cache_folder
from modelzoo.errors import InputError
from modelzoo.files import write_text
from modelzoo.weights.registry import Source, WeightsFile, parse_source

PACKAGED = Path(__file__).parent / "files"
# unknown: it is there, but there is no hash to hold it to
State = Literal["good", "damaged", "unknown", "missing"]


def weights_folder() -> Path:
    """Where fetched weights are kept; a copy of it on a web server is a mirror."""
    return cache_folder() / "weights"


def cached_path(file: WeightsFile) -> Path:
    """Where the fetched file lies, or will."""
    return cache_folder() / file.folder / file.file


def packaged_path(file: WeightsFile) -> Path | None:
    """Where the file lies in the package, if it is shipped there."""
    return PACKAGED / file.file if "package" in file.sources else None


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
        return "damaged"  # nobody can read it


def record_path(path: Path) -> Path:
    """Where the hash of a fetched file is written down, as `sha256sum --check` reads it."""
    return path.with_name(f"{path.name}.sha256")


def read_record(path: Path) -> str | None:
    """Return the SHA-256 that was written down when a file was fetched.

    Raises:
        InputError: the record is damaged; going on without it would trust any file.
    """
    record = record_path(path)
    try:
        text = record.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{record}: cannot be read: {error.strerror}") from None
    match = re.match(r"([0-9a-f]{64})  ", text)
    if match is None:
        raise InputError(
            f"{record}: holds no SHA-256; delete it together with {path.name} to fetch that again"
        )
    return match[1]


def write_record(path: Path, sha256: str) -> None:
    """Write down the SHA-256 of a fetched file, whole or not at all."""
    write_text(record_path(path), f"{sha256}  {path.name}\n")


@dataclass(frozen=True)
class Decision:
    """What to do to have a file: see `decide`."""

    action: Literal["packaged", "cached", "adopt", "fetch", "refuse"]
    reason: str = ""
    sources: tuple[Source, ...] = ()


def decide(
    file: WeightsFile,
    *,
    packaged: State,
    cached: State,
    recorded: str | None,
    offline: bool,
    allow_unverified: bool,
    mirror: str = "",
) -> Decision:
    """Decide what to do to have a file. Reads and changes nothing.

    Args:
        file: what to have.
        packaged: the state of the shipped file.
        cached: the state of the fetched file.
        recorded: the SHA-256 that was written down when the file was first fetched.
        offline: no socket may be opened.
        allow_unverified: the person takes the risk of a file whose hash nobody has published.
        mirror: the address above `<model>/<file>` to try before the file's own sources.
    """
    if packaged == "good":
        return Decision("packaged")
    if cached == "good":
        return Decision("cached")
    if file.sha256 is None and recorded is None and not allow_unverified:
        return Decision(
            "refuse",
            (
                "give its SHA-256 with --sha256"
                if file.is_own
                else "nobody has published its SHA-256"
            )
            + ": nothing else proves that it is the right file.\n--allow-unverified (in Python: "
            "allow_unverified=True) takes it, and holds it to the hash that it has then",
        )
    if cached == "unknown":
        return Decision("adopt")
    reason = (
        "it is not on this machine"
        if cached == "missing"
        else "the file on this machine is damaged"
    )
    if packaged == "damaged":
        reason = "the file in the package is damaged"
    parsed = [parse_source(text) for text in file.sources]
    if mirror and not file.is_own:
        try:
            parsed.insert(0, parse_source(f"{mirror}/{file.file}"))
        except InputError as error:
            raise InputError(f"MODELZOO_MIRROR: {error}") from None
    sources = tuple(each for each in parsed if each.kind != "package")
    if not sources:
        return Decision("refuse", f"{reason}, and it comes only with the package: install it again")
    if offline:
        sources = tuple(each for each in sources if each.kind == "file")
    if not sources:
        return Decision("refuse", f"{reason}, and MODELZOO_OFFLINE forbids to fetch it")
    return Decision("fetch", reason, sources)


@dataclass(frozen=True)
class Checked:
    """The outcome for one file of `modelzoo verify`."""

    label: str
    path: Path
    place: Literal["package", "cache"]
    state: State

    @property
    def is_wrong(self) -> bool:
        """Whether the file is not what it should be, or is gone from the package."""
        return self.state == "damaged" or (self.place == "package" and self.state == "missing")


def check_files(files: Sequence[WeightsFile], others: bool = True) -> Iterator[Checked]:
    """Hash the shipped and the fetched ones of these files again, and what else was fetched.

    Args:
        files: the published ones.
        others: also the files in the cache that belong to none of them, by their records.
    """
    seen = set()
    for file in files:
        packaged, cached = packaged_path(file), cached_path(file)
        if packaged is not None:
            state = state_of(packaged, file.sha256, file.bytes)
            yield Checked(file.label, packaged, "package", state)
        seen.add(cached)
        if cached.exists():
            expected = file.sha256 or _recorded(cached)
            yield Checked(file.label, cached, "cache", _held(cached, expected, file.bytes))
    if others:
        fetched = (path for kind in ("h5", "pth") for path in weights_folder().glob(f"*/*.{kind}"))
        for path in sorted(fetched):
            if path not in seen and not path.name.startswith("."):
                label = f"{path.parent.name}/{path.name}"
                yield Checked(label, path, "cache", _held(path, _recorded(path)))


def _recorded(path: Path) -> str | None:
    try:
        return read_record(path)
    except InputError:
        return ""  # no file has this hash: a damaged record is reported as damage


def _held(path: Path, sha256: str | None, size: int | None = None) -> State:
    return "damaged" if sha256 == "" else state_of(path, sha256, size)
