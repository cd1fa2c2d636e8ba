"""One attempt to bring a file here from one source: by pooch, by gdown or from a folder.

Servers are not trusted: what they send is bounded in size and time, goes into a temporary file and
is told apart from a web page; where they redirect to is checked.
"""

from __future__ import annotations

import email.utils
import http
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from modelzoo.errors import InputError
from modelzoo.weights.registry import Source, check_url, without_password

RETRIED = {408, 425, 429, 500, 502, 503, 504}  # answers that may be another one in a moment


@dataclass(frozen=True)
class Limits:
    """How long and how often to try. Seconds, unless it says otherwise.

    Attributes:
        connect, read: until a server takes the connection; between two of its bytes.
        stall: until the next `chunk` bytes have come, however slowly.
        attempts: at one source.
        backoff: the wait before the second attempt; it doubles.
        longest_wait: a server that asks to wait longer (Retry-After) is left.
        redirects: how many to follow.
        chunk: bytes.
    """

    connect: float = 10.0
    read: float = 30.0
    stall: float = 60.0
    attempts: int = 3
    backoff: float = 1.0
    longest_wait: float = 60.0
    redirects: int = 5
    chunk: int = 2**15


class Failure(Exception):  # noqa: N818, a source's answer, not an error of the program
    """A source does not give the file.

    Attributes:
        retry: whether the same source may do better in a moment.
        wait: how many seconds it asks to wait before.
        restart: what has come so far is of no use.
    """

    def __init__(
        self, reason: str, *, retry: bool = False, wait: float = 0.0, restart: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry, self.wait, self.restart = retry, wait, restart


class Sink:
    """The temporary file of one attempt: appends what comes, and refuses what can't be right."""

    def __init__(
        self, path: Path, offset: int, max_bytes: int, advance: Callable[[int], None]
    ) -> None:
        self.offset = offset  # what an earlier attempt left, to go on behind
        self.size = offset
        self.last_progress = time.monotonic()
        self.disk_error: OSError | None = None
        self._max_bytes = max_bytes
        self._advance = advance
        self._lock = threading.Lock()
        self._file = path.open("r+b" if offset else "wb")
        self._file.seek(offset)

    def restart(self) -> None:
        """Drop what an earlier attempt left: the server sends everything again."""
        self._file.seek(0)
        self._file.truncate()
        self.offset = self.size = 0

    def write(self, chunk: bytes) -> int:
        """Append, or raise a Failure; an error of the disk is kept apart from the network's."""
        with self._lock:
            if self._file.closed:
                raise Failure("was given up")
            if self.size == 0 and _is_web_page(chunk):
                raise Failure(f"a web page instead of the file{_title(chunk)}")
            if self.size + len(chunk) > self._max_bytes:
                raise Failure(f"more than the {self._max_bytes:,} bytes that the file has")
            try:
                self._file.write(chunk)
            except OSError as error:
                self.disk_error = error
                raise Failure("the disk") from error
            self.size += len(chunk)
            self.last_progress = time.monotonic()
        self._advance(self.size)
        return len(chunk)

    def flush(self) -> None:
        """Do nothing: pooch and gdown ask for it after each chunk, closing is enough."""

    def close(self) -> None:
        """Write nothing any more, even if a thread that was given up still tries."""
        with self._lock:
            try:
                self._file.close()
            except OSError as error:
                self.disk_error = error


def transfer(
    source: Source,
    path: Path,
    *,
    offset: int = 0,
    size: int | None = None,
    max_bytes: int,
    limits: Limits,
    advance: Callable[[int], None] = lambda size: None,
) -> None:
    """Bring a file from a source to `path`; what has come stays there if it fails.

    Args:
        source: a URL, a file on Google Drive or one in a folder.
        path: the temporary file.
        offset: how many bytes of `path` are there already; only a URL can go on behind them.
        size: how many bytes the whole has, if known.
        max_bytes: how many it may have otherwise.
        limits: how long to wait for the source.
        advance: called with the number of bytes so far.

    Raises:
        Failure: the source does not give the file.
        InputError: `path` cannot be written.
    """
    try:
        sink = Sink(path, offset, size or max_bytes, advance)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be written: {error.strerror}") from None
    works: dict[str, Callable[[], None]] = {
        "url": lambda: _over_http(source.value, sink, size, limits),
        "gdrive": lambda: _from_drive(source.value, sink),
        "file": lambda: _from_folder(Path(source.value), sink, limits),
    }
    try:
        _watch(works[source.kind], sink, limits)
    finally:
        sink.close()
        if sink.disk_error is not None:
            reason = sink.disk_error.strerror
            raise InputError(f"{path.parent}: cannot be written: {reason}") from None


def _watch(work: Callable[[], None], sink: Sink, limits: Limits) -> None:
    """Do the work in a thread, and leave it when nothing has come for too long.

    Timeouts of sockets do not see a server that sends a byte now and then, a name server that does
    not answer, or a library that sets none.
    """
    problems: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # handed to the thread that waits
            problems.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(min(0.5, limits.stall / 10))
        if thread.is_alive() and time.monotonic() - sink.last_progress > limits.stall:
            raise Failure(
                f"stalled after {sink.size:,} bytes: too little came in {limits.stall:g} s",
                retry=True,
            )
    if problems:
        raise _explained(problems[0], sink, limits)


def _over_http(url: str, sink: Sink, size: int | None, limits: Limits) -> None:
    import pooch

    answers: list[Any] = []

    def inspect(answer: Any, **_: Any) -> None:  # of every redirect, too, before it is followed
        answers.append(answer)
        if answer.is_redirect:
            answer.close()  # or requests would read its body, however long, into memory
            check_redirect(answer.url, answer.headers["Location"], len(answers), limits.redirects)
        else:
            _check_answer(answer, sink, size)

    headers = {"Accept-Encoding": "identity"}  # so that sizes are those of the file
    if sink.offset:
        headers["Range"] = f"bytes={sink.offset}-"
    download = pooch.HTTPDownloader(
        timeout=(limits.connect, limits.read),
        chunk_size=limits.chunk,
        headers=headers,
        hooks={"response": inspect},
    )
    try:
        download(url, sink, None)
    finally:
        for answer in answers:
            answer.close()


def check_redirect(url: str, location: str, count: int, most: int) -> None:
    """Raise a Failure if a redirect must not be followed: to another scheme, or once too often."""
    target = urljoin(url, location)
    shown = without_password(target)[:200]
    if count > most:
        raise Failure(f"redirects more than {most} times")
    try:
        check_url(target)
    except InputError:
        raise Failure(f"redirects to {shown}, which is not https") from None
    if urlsplit(url).scheme == "https" != urlsplit(target).scheme:
        raise Failure(f"redirects from https to {shown}")


def _check_answer(answer: Any, sink: Sink, size: int | None) -> None:
    """Look at status and headers before anything of the body is taken."""
    status = answer.status_code
    if status not in (200, 206):
        known = status in {each.value for each in http.HTTPStatus}
        reason = f"HTTP {status} {http.HTTPStatus(status).phrase if known else ''}".strip()
        wait = wait_asked(answer.headers.get("Retry-After", ""), time.time())
        restart = status == 416 and sink.offset > 0  # the Range that we asked for
        raise Failure(reason, retry=status in RETRIED or restart, wait=wait, restart=restart)
    if answer.headers.get("Content-Type", "").strip().lower().startswith("text/html"):
        start = next(answer.iter_content(2048), b"")
        raise Failure(f"a web page instead of the file{_title(start)}")
    if status == 206:
        begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if not sink.offset or begins is None or int(begins[1]) != sink.offset:
            raise Failure("another part than asked for", retry=bool(sink.offset), restart=True)
    elif sink.offset:
        sink.restart()  # it does not know Range
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):  # a few of its bytes could stand for all of memory
        raise Failure(f"sends it encoded ({encoding!r:.40}), which was not asked for")
    length = answer.headers.get("Content-Length", "")
    if not length.isdecimal():
        return
    total = sink.offset + int(length)
    if size is not None and total != size:
        raise Failure(f"offers {total:,} bytes, but the file has {size:,}")


def wait_asked(header: str, now: float) -> float:
    """Return the seconds that a Retry-After header asks for: a number, or a date; 0 if neither."""
    header = header.strip()
    if header.isdecimal() and header.isascii():
        return float(header[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _from_drive(identifier: str, sink: Sink) -> None:
    import gdown

    # Without cookies: it would keep a jar of them in the home folder.
    gdown.download(id=identifier, output=sink, quiet=True, use_cookies=False)
    if not sink.size:
        raise Failure("gdown brought nothing")


def _from_folder(path: Path, sink: Sink, limits: Limits) -> None:
    try:
        if not path.is_file():  # a pipe would never end
            raise Failure("no such file" if not path.exists() else "not a file")
        with path.open("rb") as opened:
            shutil.copyfileobj(opened, sink, limits.chunk)
    except OSError as error:
        raise Failure(f"cannot be read: {error.strerror}") from error


def _explained(error: BaseException, sink: Sink, limits: Limits) -> BaseException:
    """Return what a library raised as a Failure, in words that a person can use."""
    if isinstance(error, Failure) or not isinstance(error, Exception):
        return error
    import requests

    kinds = requests.exceptions
    if isinstance(error, kinds.SSLError):
        detail = re.search(r"\] ([^(']*[^(' ])", str(error))
        return Failure(f"its certificate is not accepted: {detail[1] if detail else 'TLS failed'}")
    if isinstance(error, kinds.ConnectTimeout):
        return Failure(f"takes no connection within {limits.connect:g} s", retry=True)
    timed_out = isinstance(error, kinds.Timeout) or "timed out" in str(error).lower()
    if timed_out and isinstance(error, kinds.RequestException):
        return Failure(f"silent for {limits.read:g} s after {sink.size:,} bytes", retry=True)
    if isinstance(error, kinds.ChunkedEncodingError) or (
        isinstance(error, kinds.ConnectionError) and sink.size
    ):
        return Failure(f"the connection broke after {sink.size:,} bytes", retry=True)
    if isinstance(error, kinds.ConnectionError):
        return Failure("no connection", retry=True)
    text = " ".join(str(error).split())[:300] or type(error).__name__
    return Failure(f"{type(error).__name__}: {text}")


def _is_web_page(start: bytes) -> bool:
    text = start[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--"))


def _title(start: bytes) -> str:
    title = re.search(rb"<title[^>]*>(.*?)</title", start[:4096], re.IGNORECASE | re.DOTALL)
    text = " ".join(title[1].decode("utf-8", "replace").split())[:80] if title else ""
    return f" ({text!r})" if text else ""
