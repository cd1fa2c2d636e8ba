"""Find a file of weights or data: shipped, in the cache or fetched, and always the right one.

pooch fetches over HTTP and gdown from Google Drive, into a temporary file that is compared with its
SHA-256 and moved into place. Servers are not trusted: what they send is bounded, and where they
redirect to is checked.
"""

import contextlib
import inspect
import io
import re
import shutil
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from modelzoo.config import Config
from modelzoo.config.published import (
    SUFFIXES,
    PublishedWeights,
    Source,
    WeightsFile,
    check_sha256,
    file_at,
    parse_source,
    redirect_problem,
)
from modelzoo.support import files
from modelzoo.support.environment import cache_folder, is_offline, mirror_prefix
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.terminal import ProgressBar, say

PACKAGED = Path(__file__).parent / "files"
RETRIED = {408, 425, 429, 500, 502, 503, 504}  # answers that may be another one in a moment
CHUNK = 2**15  # bytes
LEFT_OVER = 600.0  # seconds after which what nothing is written to belongs to no process
WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")


@dataclass(frozen=True)
class Limits:
    """How long and how often to try."""

    silence: float = 30.0  # seconds until a server takes the connection, and between two bytes
    attempts: int = 3  # at one source
    backoff: float = 1.0  # seconds before the second attempt; it doubles


LIMITS = Limits()


@dataclass(frozen=True)
class Fetched:
    """A file that is here, and that has been hashed just now."""

    path: Path
    sha256: str
    source: str  # "package", "cache", or where it has just come from
    verified: bool  # whether its hash was published, and not only pinned at the first fetch


class NotFetched(InputError):  # noqa: N818, the name states the condition
    """A file is not on this machine and can't be fetched; `reason` is one line without the rest."""

    def __init__(self, file: WeightsFile, said: str, reason: str = "") -> None:
        super().__init__(f"{file.label}: {said}{_by_hand(file)}")
        self.reason = reason or said.partition("\n")[0]


class Failure(Exception):  # noqa: N818, a source's answer, not an error of the program
    """A source does not give the file; `retry` if it may in a moment."""

    def __init__(self, reason: str, *, retry: bool = False) -> None:
        super().__init__(reason)
        self.retry = retry


def cached_path(file: WeightsFile) -> Path:
    """Where the fetched file lies, or will."""
    return cache_folder() / file.folder / file.file


def packaged_path(file: WeightsFile) -> Path | None:
    """Where the file lies in the package, if it is shipped there."""
    return PACKAGED / file.file if "package" in file.sources else None


def named_weights(config: Config, weights: str | Path | None) -> PublishedWeights | None:
    """Return the published weights of that name; None if it is that of a file or an address."""
    return next((entry for entry in config.weights if entry.name == weights), None)


def find_weights(
    config: Config,
    weights: str | Path,
    *,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Path:
    """Return the path of weights, a name, file, run's folder or address; fetch them if need be."""
    if published := named_weights(config, weights):
        if sha256 is not None:
            raise InputError(
                f"{config.name}/{published.name}: its SHA-256 stands in the configuration; "
                "--sha256 is for a custom file"
            )
        return fetch(published.file_of(config.name), allow_unverified=allow_unverified).path
    from modelzoo.weights.hdf5 import check_signature  # brings NumPy

    if isinstance(weights, str) and (
        "://" in weights[2:] or weights.startswith(("gdrive:", "file:"))
    ):
        path = fetch(file_at(weights, sha256), allow_unverified=allow_unverified).path
        sha256 = None  # it has been checked
    elif files.is_there(Path(weights) / "best.weights.h5"):
        path = Path(weights) / "best.weights.h5"
    else:
        path = Path(weights)
        if not files.is_there(path) and not path.name.endswith(SUFFIXES):
            raise no_weights(config, str(weights))
    check_signature(path)  # cheap, so asked before a framework starts
    if sha256 is not None and files.state_of(path, check_sha256(sha256)) != "good":
        raise InputError(f"{path}: is another file than the one with the SHA-256 {sha256}")
    return path


def no_weights(config: Config, name: str) -> InputError:
    """Return the error for weights that a network does not publish, with those that it does."""
    names = [entry.name for entry in config.weights]
    known = f"published: {', '.join(names)}" if names else "none are published for it yet"
    return InputError(f"{config.name} has no weights {name!r}; {known}")


def fetch(
    file: WeightsFile, *, allow_unverified: bool = False, limits: Limits | None = None
) -> Fetched:
    """Return a file, fetching it if it is not here or damaged, or raise NotFetched.

    With `allow_unverified`, one whose SHA-256 is not published; its hash is written down.
    """
    found = _look(file, allow_unverified)
    if isinstance(found, str):
        sources = _sources(file, found)
        with _lock(cached_path(file), file.label):
            found = _look(file, allow_unverified)  # another process may have been quicker
            if isinstance(found, str):
                return _fetch(file, sources, found, limits or LIMITS)
    return found


def _look(file: WeightsFile, allow_unverified: bool) -> Fetched | str:
    """Return the file if it is on this machine and whole, or why it has to be fetched."""
    path, damage = cached_path(file), ""
    expected = file.sha256 or files.read_record(path)  # a published hash is the one that counts
    if expected is None and not allow_unverified:
        own, published = "give its SHA-256 with --sha256", "its SHA-256 is not published"
        raise NotFetched(
            file,
            f"{own if file.is_own else published}: nothing else proves that it is the right file.\n"
            "--allow-unverified (in Python: allow_unverified=True) takes it, and pins its hash",
        )
    for place, here in (("package", packaged_path(file)), ("cache", path)):
        state = files.state_of(here, expected, file.bytes)
        if state == "unknown":  # a person has put it there
            try:
                expected, state = _first_hash(path), "good"
                files.write_record(path, expected)
            except Failure:
                state = "damaged"
        if state == "good" and here is not None:
            return Fetched(here, str(expected), place, file.sha256 is not None)
        if state == "damaged":
            where = "in the package" if place == "package" else "on this machine"
            damage = damage or f"the file {where} is damaged"
    return damage or "it is not on this machine"


def _sources(file: WeightsFile, reason: str) -> list[Source]:
    """Return where to fetch a file from, in order: a mirror first."""
    sources = [parse_source(text) for text in file.sources if text != "package"]
    if (mirror := mirror_prefix()) and not file.is_own:
        try:
            sources.insert(0, parse_source(f"{mirror}/{file.file}"))
        except InputError as error:
            raise InputError(f"MODELZOO_MIRROR: {error}") from None
    if not sources:
        raise NotFetched(file, f"{reason}, and it comes only with the package: install it again")
    allowed = [each for each in sources if each.kind == "file" or not is_offline()]
    if not allowed:
        raise NotFetched(file, f"{reason}, and MODELZOO_OFFLINE forbids to fetch it")
    return allowed


def _fetch(file: WeightsFile, sources: list[Source], reason: str, limits: Limits) -> Fetched:
    """Try each source in turn; the first whose bytes are right fills the place in the cache."""
    from rich.progress import DownloadColumn

    path = cached_path(file)
    for left in path.parent.glob(f".*.{path.name}"):  # by a process that was killed
        with contextlib.suppress(FileNotFoundError):
            # Another machine that shares the folder may not see our lock, nor we its own.
            if time.time() - left.stat().st_mtime > LEFT_OVER:
                left.unlink()
    expected = file.sha256 or files.read_record(path)
    answers: list[str] = []
    with ProgressBar(file.bytes, unit=DownloadColumn()) as progress:
        if "damaged" in reason:
            progress.say(f"{file.label}: {reason}; fetching it again")
        for source in sources:
            try:
                return _from_source(source, file, expected, limits, progress)
            except Failure as failure:
                answers.append(f"{source}: {failure}")
                progress.say(f"{file.label}: {answers[-1]}")
    tried = "".join(f"\n  {answer}" for answer in answers)
    raise NotFetched(file, f"could not be fetched:{tried}", "; ".join(answers))


def _from_source(
    source: Source, file: WeightsFile, expected: str | None, limits: Limits, progress: ProgressBar
) -> Fetched:
    """Fetch a file from one source, asked again where that may help, or raise a Failure."""
    path = cached_path(file)
    size = f"{file.bytes:,} bytes " if file.bytes else ""
    progress.say(f"{file.label}: fetching {size}from {source}")
    attempt, wait = 1, limits.backoff
    while True:
        try:
            with files.replacing(path) as temporary:
                Download(source, file, limits, progress).fill(temporary)
                digest = files.sha256_of(temporary) if expected else _first_hash(temporary)
                if expected and digest != expected:
                    raise Failure(f"other bytes: their SHA-256 is {digest}")
                files.write_record(path, digest)  # before the file: none is ever without one
            return Fetched(path, digest, str(source), file.sha256 is not None)
        except Failure as failure:
            if not failure.retry or attempt == limits.attempts:
                attempts = f" ({attempt} attempts)" if attempt > 1 else ""
                raise Failure(f"{failure}{attempts}") from None
            progress.say(f"{file.label}: {source}: {failure}; again in {wait:g} s")
        time.sleep(wait)
        attempt, wait = attempt + 1, 2 * wait


def _first_hash(path: Path) -> str:
    """Return the SHA-256 of a file whose hash is not published, if it holds weights."""
    from modelzoo.weights.stored import check_whole

    try:
        check_whole(path)
    except InputError as error:
        raise Failure(reason_of(error).removeprefix(f"{path}: ")) from None
    return files.sha256_of(path)


@dataclass(eq=False)
class Download(io.RawIOBase):
    """What pooch or gdown writes a file to that comes from one source."""

    source: Source
    file: WeightsFile
    limits: Limits
    progress: ProgressBar
    size: int = 0  # bytes that have come
    output: BinaryIO = field(init=False)

    def fill(self, path: Path) -> None:
        """Write the file to a new path, or raise a Failure, or the disk's OSError."""
        self.progress.begin()
        with path.open("xb") as self.output:
            ways = {"url": self._over_http, "gdrive": self._from_drive, "file": self._from_folder}
            try:
                ways[self.source.kind]()
            except Exception as error:
                raise _explained(error, self) from None
        if self.file.bytes not in (None, self.size):
            reason = f"sent {self.size:,} bytes, but the file has {self.file.bytes:,}"
            raise Failure(reason, retry=self.source.kind == "url")

    def write(self, chunk: Any) -> int:
        """Append what pooch or gdown has received, unless it can't be right."""
        if self.size == 0 and chunk.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(WEB_PAGE):
            raise Failure("a web page instead of the file")
        self.size += self.output.write(chunk)
        if self.size > self.file.max_bytes:
            raise Failure(f"more than the {self.file.max_bytes:,} bytes that the file has")
        share = f" ({self.size / self.file.bytes:.0%})" if self.file.bytes else ""
        self.progress.show(self.size, lambda: f"{self.file.label}: {self.size:,} bytes{share}")
        return len(chunk)

    def _over_http(self) -> None:
        import pooch

        def look(answer: Any, **_: Any) -> None:  # at redirects, too, before they are followed
            if answer.is_redirect:
                answer.close()  # or requests would read its body, however long, into memory
                if problem := redirect_problem(answer.url, answer.headers["Location"]):
                    raise Failure(problem)
            elif (status := answer.status_code) != 200:
                raise Failure(f"HTTP {status} {answer.reason}".strip(), retry=status in RETRIED)

        headers = {"Accept-Encoding": "identity"}  # so that sizes are those of the file
        options = {"timeout": self.limits.silence, "headers": headers, "hooks": {"response": look}}
        pooch.HTTPDownloader(chunk_size=CHUNK, **options)(self.source.value, self, None)

    def _from_drive(self) -> None:
        import gdown

        options: dict[str, Any] = {"use_cookies": False}  # it would keep them in the home folder
        if "timeout" in inspect.signature(gdown.download).parameters:  # later versions have it
            options["timeout"] = self.limits.silence
        gdown.download(id=self.source.value, output=self, quiet=True, **options)

    def _from_folder(self) -> None:
        path = Path(self.source.value)
        try:
            if not path.is_file():  # a pipe would never end
                raise Failure("not a file" if path.exists() else "no such file")
            opened = path.open("rb")
        except OSError as error:
            raise Failure(f"cannot be read: {error.strerror}") from error
        with opened:
            shutil.copyfileobj(opened, self, CHUNK)


def _explained(error: Exception, download: Download) -> Exception:
    """Return what a library raised as a Failure, in words that a person can use."""
    from requests import exceptions

    if isinstance(error, (Failure, OSError)) and not isinstance(error, exceptions.RequestException):
        return error
    size, text = download.size, " ".join(str(error).split())
    if isinstance(error, exceptions.SSLError):
        detail = re.search(r"\] ([^(']*[^(' ])", text)
        return Failure(f"its certificate is not accepted: {detail[1] if detail else 'TLS failed'}")
    if isinstance(error, exceptions.RequestException) and "timed out" in text.lower():
        return Failure(f"silent for {download.limits.silence:g} s after {size:,} bytes", retry=True)
    if isinstance(error, exceptions.ConnectionError) and not size:
        return Failure("no connection", retry=True)
    if isinstance(error, (exceptions.ConnectionError, exceptions.ChunkedEncodingError)):
        return Failure(f"the connection broke after {size:,} bytes", retry=True)
    return Failure(f"{type(error).__name__}: {text[:300]}")


def _by_hand(file: WeightsFile) -> str:
    """Return how a person can do what could not be done, as lines below a message."""
    addresses = [each.address for each in map(parse_source, file.sources) if each.value]
    if not addresses:
        return ""
    path = cached_path(file)
    lines = ["", f"By hand: put {' or '.join(addresses)}", f"at {path}"]
    if file.sha256:
        size = f"{file.bytes:,} bytes, " if file.bytes else ""
        lines.append(f"{size}SHA-256 {file.sha256}")
    elif recorded := files.read_record(path):
        beside = f"{files.record_path(path).name}; delete that to accept another"
        lines.append(f"SHA-256 {recorded}, as it was when first fetched ({beside})")
    return "\n".join(lines)


def _lock(path: Path, label: str) -> AbstractContextManager[Any]:
    """Return a context in which no other process fetches to `path`; it ends with its process."""
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
        try:
            return lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"{label}: waiting for another process that fetches it", file=sys.stderr)
            return lock.acquire()
    except OSError as error:
        reason = f"{reason_of(error)}; MODELZOO_HOME names another folder"
        raise InputError(f"{path.parent}: cannot be written: {reason}") from None
