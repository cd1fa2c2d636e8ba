"""Have a weight file: shipped, fetched before, or fetched now; always the one with this hash."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelzoo.environment import is_offline, mirror_prefix
from modelzoo.errors import InputError
from modelzoo.progress import Progress
from modelzoo.terminal import say
from modelzoo.weights.cache import (
    Decision,
    cached_path,
    decide,
    packaged_path,
    read_record,
    record_path,
    sha256_of,
    state_of,
    write_record,
)
from modelzoo.weights.registry import Source, WeightsFile, parse_source
from modelzoo.weights.transfer import Failure, Limits, transfer

LIMITS = Limits()
STALE = 24 * 3600.0  # seconds after which a temporary file belongs to no process any more


@dataclass(frozen=True)
class Fetched:
    """A file that is here, and that has been hashed just now.

    Attributes:
        source: "package", "cache", or where it has just come from.
        verified: whether its hash was published, and not only written down at the first fetch.
    """

    path: Path
    sha256: str
    source: str
    verified: bool


class NotFetched(InputError):  # noqa: N818, the name states the condition
    """A file is not on this machine and can't be fetched; `reason` is one line without the rest."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def fetch(
    file: WeightsFile, *, allow_unverified: bool = False, limits: Limits | None = None
) -> Fetched:
    """Return a file of weights, fetching it if it is not here or damaged.

    Args:
        file: from `PublishedWeights.file_of` or `file_at`.
        allow_unverified: take a file whose SHA-256 nobody has published, and write down its hash.
        limits: how long and how often to try.

    Raises:
        NotFetched: it is not to be had; the message says what each source answered, and how to
            fetch it by hand.
    """
    found = _look(file, allow_unverified)
    if isinstance(found, Fetched):
        return found
    path = cached_path(file)
    with _only_one_process(path, file.label):
        found = _look(file, allow_unverified)  # another process may have been quicker
        if isinstance(found, Fetched):
            return found
        _remove_stale(path)
        if found.action == "adopt":
            return _adopt(file, path)
        return _fetch(file, path, found, limits or LIMITS)


def _look(file: WeightsFile, allow_unverified: bool) -> Fetched | Decision:
    """Return the file if it is here, or what is to be done; raise an InputError if nothing can."""
    path, shipped = cached_path(file), packaged_path(file)
    # A published hash is the one that counts, whatever was written down.
    recorded = read_record(path) if file.sha256 is None else None
    expected = file.sha256 or recorded
    packaged = state_of(shipped, expected, file.bytes)
    decision = decide(
        file,
        packaged=packaged,
        cached="missing" if packaged == "good" else state_of(path, expected, file.bytes),
        recorded=recorded,
        offline=is_offline(),
        allow_unverified=allow_unverified,
        mirror=mirror_prefix(),
    )
    if decision.action == "refuse":
        message = f"{file.label}: {decision.reason}{_by_hand(file)}"
        raise NotFetched(message, decision.reason.partition("\n")[0])
    verified = file.sha256 is not None
    if decision.action == "packaged" and shipped is not None:
        return Fetched(shipped, str(expected), "package", verified)
    if decision.action == "cached":
        return Fetched(path, str(expected), "cache", verified)
    return decision


def _fetch(file: WeightsFile, path: Path, decision: Decision, limits: Limits) -> Fetched:
    """Try each source in turn; the first whose bytes are right fills `path`."""
    from rich.progress import DownloadColumn

    expected = file.sha256 or read_record(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    answers: list[str] = []
    try:
        with Progress(file.bytes, unit=DownloadColumn()) as progress:
            if "damaged" in decision.reason:
                progress.say(f"{file.label}: {decision.reason}; fetching it again")
            for source in decision.sources:
                try:
                    digest = _from_source(source, file, part, expected, limits, progress)
                except Failure as failure:
                    answers.append(f"{source}: {failure}")
                    progress.say(f"{file.label}: {answers[-1]}")
                    continue
                _place(part, path, digest)
                return Fetched(path, digest, str(source), file.sha256 is not None)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    tried = "\n".join(f"  {answer}" for answer in answers)
    message = f"{file.label} could not be fetched:\n{tried}{_by_hand(file, expected)}"
    raise NotFetched(message, "; ".join(answers))


def _from_source(
    source: Source,
    file: WeightsFile,
    part: Path,
    expected: str | None,
    limits: Limits,
    progress: Progress,
) -> str:
    """Fill `part` from one source, with retries; return its SHA-256, which is the expected one."""
    offset = attempt = 0
    size = f"{file.bytes:,} bytes " if file.bytes else ""
    progress.say(f"{file.label}: fetching {size}from {source}")
    progress.begin()

    def advance(done: int) -> None:
        share = f" ({done / file.bytes:.0%})" if file.bytes else ""
        progress.show(done, lambda: f"{file.label}: {done:,} bytes{share}")

    while True:
        attempt += 1
        try:
            transfer(
                source,
                part,
                offset=offset,
                size=file.bytes,
                max_bytes=file.max_bytes,
                limits=limits,
                advance=advance,
            )
            return _checked(part, file, expected, resumed=offset > 0)
        except Failure as failure:
            wait = next_wait(failure, attempt, limits)
            if wait is None:
                raise Failure(f"{failure}{_after(attempt, failure, limits)}") from None
            progress.say(f"{file.label}: {source}: {failure}; again in {wait:g} s")
            # Only a hash can tell whether two halves belong together.
            resumable = source.kind == "url" and expected is not None and not failure.restart
            offset = part.stat().st_size if resumable and part.exists() else 0
        time.sleep(wait)


def next_wait(failure: Failure, attempt: int, limits: Limits) -> float | None:
    """Return how many seconds to wait before the next attempt at this source; None: give it up."""
    if not failure.retry or attempt >= limits.attempts or failure.wait > limits.longest_wait:
        return None
    return max(failure.wait, min(limits.backoff * 2 ** (attempt - 1), limits.longest_wait))


def _after(attempt: int, failure: Failure, limits: Limits) -> str:
    if failure.wait > limits.longest_wait:
        return f", and asks to wait {failure.wait:,.0f} s"
    return f" ({attempt} attempts)" if attempt > 1 else ""


def _checked(part: Path, file: WeightsFile, expected: str | None, resumed: bool) -> str:
    size = part.stat().st_size
    if file.bytes is not None and size != file.bytes:
        raise Failure(f"sent {size:,} bytes, but the file has {file.bytes:,}", retry=True)
    digest = sha256_of(part)
    if expected is None:
        if problem := problem_of(part, file):
            raise Failure(problem)
    elif digest != expected:
        reason = f"other bytes: their SHA-256 is {digest}"
        raise Failure(reason, retry=resumed, restart=True)
    return digest


def _place(part: Path, path: Path, digest: str) -> None:
    """Move a checked file into place. Its record comes first: no file is ever without one."""
    try:
        with part.open("rb") as written:
            os.fsync(written.fileno())
        write_record(path, digest)
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def _adopt(file: WeightsFile, path: Path) -> Fetched:
    """Take the unverified file that a person has put into the cache by hand."""
    if problem := problem_of(path, file):
        raise InputError(f"{path}: is {problem}; delete it and fetch it again")
    digest = sha256_of(path)
    write_record(path, digest)
    return Fetched(path, digest, "cache", False)


def problem_of(path: Path, file: WeightsFile) -> str | None:
    """Say why bytes that no hash describes can't be the whole file, as far as its format tells."""
    if not file.file.endswith(".pth"):
        return hdf5_problem(path)
    return None if zipfile.is_zipfile(path) else "not a whole file of PyTorch 1.6 or later"


def hdf5_problem(path: Path) -> str | None:
    """Say why a file that no hash describes can't be a whole HDF5 file, by its first bytes."""
    with path.open("rb") as opened:
        start = opened.read(52)
    if len(start) < 52 or start[:8] != b"\x89HDF\r\n\x1a\n":
        return "not an HDF5 file"
    # The superblock says where the file ends: at another byte in each of its versions 0, 1 and 2.
    at = {0: 40, 1: 44}.get(start[8], 28)
    sizes = start[13] if start[8] < 2 else start[9]  # bytes of an address
    if sizes == 8 and path.stat().st_size < int.from_bytes(start[at : at + 8], "little"):
        return "only the beginning of an HDF5 file"
    return None


def _by_hand(file: WeightsFile, recorded: str | None = None) -> str:
    """Return how a person can do what could not be done, as lines below a message."""
    addresses = [each.address for each in map(parse_source, file.sources) if each.value]
    if not addresses:
        return ""
    path = cached_path(file)
    size = f"{file.bytes:,} bytes, " if file.bytes else ""
    lines = [f"By hand: put {' or '.join(addresses)}", f"at {path}"]
    if file.sha256:
        lines.append(f"{size}SHA-256 {file.sha256}")
    elif recorded:
        lines.append(
            f"SHA-256 {recorded}, as it was when first fetched "
            f"({record_path(path).name}; delete that to accept another)"
        )
    return "\n" + "\n".join(lines)


@contextlib.contextmanager
def _only_one_process(path: Path, label: str) -> Iterator[None]:
    """Within this, no other process fetches to `path`. The lock goes with its process."""
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"{label}: waiting for another process that fetches it", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise InputError(
            f"{path.parent}: cannot be written: {error.strerror or error}; "
            "MODELZOO_HOME names another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _remove_stale(path: Path) -> None:
    """Delete what processes that were killed have left: for this file any, for others old ones."""
    for part in path.parents[1].glob("*/.*.part"):
        with contextlib.suppress(OSError):
            mine = part.parent == path.parent and part.name.startswith(f".{path.name}.")
            if mine or time.time() - part.stat().st_mtime > STALE:
                part.unlink()
