"""Files that are fetched: where each may come from, and what proves that it is the right one."""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from modelzoo.support.environment import in_home
from modelzoo.support.errors import InputError

LARGEST_FILE = 2 * 2**30  # of a file of undeclared size
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")  # the only ones that may answer without TLS
TORCH_SUFFIXES = (".pth", ".pt")  # of PyTorch's state dicts; all other weights are HDF5
OWN_FOLDER = "-own/"  # in the cache; the name of a network cannot begin so


@dataclass(frozen=True)
class WeightsFile:
    """A file to have: what to call it, where it may come from, and what proves that it is the one.

    Attributes:
        label: "lenet5/mnist", or the address that somebody gave.
        file: the same path below the cache's `folder`, the package's weights and a mirror.
        sha256: None if it is not published.
        folder: below the cache folder: "weights", or "datasets" for the files of a data set.
    """

    label: str
    file: str
    sources: tuple[str, ...]
    sha256: str | None = None
    bytes: int | None = None
    max_bytes: int = LARGEST_FILE
    folder: str = "weights"

    @property
    def is_own(self) -> bool:
        """Whether a person gave its address, and no configuration describes it."""
        return self.file.startswith(OWN_FOLDER)


class Source(NamedTuple):
    """A place that a file may come from."""

    kind: Literal["package", "url", "gdrive", "file"]
    value: str = ""

    def __str__(self) -> str:
        if self.kind == "url":
            return without_password(self.value)
        return f"{self.kind}:{self.value}" if self.value else self.kind

    @property
    def address(self) -> str:
        """What a person opens in a browser."""
        if self.kind == "gdrive":
            return f"https://drive.google.com/file/d/{self.value}/view"
        return without_password(self.value)


def parse_source(text: str) -> Source:
    """Read a source as it stands in a YAML, on the command line or in MODELZOO_MIRROR.

    Raises:
        InputError: it is none, or an address that could be changed on its way.
    """
    if text == "package":
        return Source("package")
    kind, colon, value = text.partition(":")
    if kind == "gdrive" and re.fullmatch(r"[\w-]{10,100}", value, re.ASCII):
        return Source("gdrive", value)
    if kind == "file" and value and "\0" not in value:
        from urllib.request import url2pathname  # brings HTTP, which most commands do without

        path = url2pathname(value[2:]) if value.startswith("///") else value  # file:///home/...
        return Source("file", str(in_home(path)))
    if colon and kind.lower() in ("http", "https"):
        check_url(text)
        return Source("url", text)
    raise InputError(
        f"{text!r:.200} is no source of weights; there are: package, https://..., gdrive:ID, "
        "file:PATH"
    )


def check_url(url: str) -> None:
    """Raise an InputError unless the address is https, or http on this very machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    # Libraries disagree on which host http://one\\@two/ names; no address needs such characters.
    if not host or not re.fullmatch(r"[\x21-\x7e]+", url) or set(url) & set('\\"<>^`{|}'):
        raise InputError(f"{url!r:.200} is not an address")
    local = parts.scheme == "http" and host in LOCAL_HOSTS
    if parts.scheme != "https" and not local:
        raise InputError(f"{without_password(url):.200}: only https:// addresses are fetched")


def redirect_problem(url: str, location: str) -> str | None:
    """Say why a redirect must not be followed: it leads to another scheme than https."""
    target = urljoin(url, location)
    shown = without_password(target)[:200]
    try:
        check_url(target)
    except InputError:
        return f"redirects to {shown}, which is not https"
    weaker = urlsplit(url).scheme == "https" != urlsplit(target).scheme
    return f"redirects from https to {shown}" if weaker else None


def without_password(url: str) -> str:
    """Return an address without the user and password that may stand in it."""
    return re.sub(r"(?<=://)[^/?#]*@", "", url, count=1)


def file_at(source: str, sha256: str | None) -> WeightsFile:
    """Return a person's own file, given by its address.

    Raises:
        InputError: the address or the SHA-256 cannot be one.
    """
    parsed = parse_source(source)
    if parsed.kind == "package":
        raise InputError("package: names no custom file")
    if sha256 is not None:
        sha256 = check_sha256(sha256)
    place = hashlib.sha256(source.encode()).hexdigest()[:16]
    last = unquote(urlsplit(parsed.value).path).replace("\\", "/").rpartition("/")[2]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", re.sub(r"(\.weights)?\.(h5|pth?)\Z", "", last))[:60]
    known = f"-{sha256[:8]}" if sha256 else ""
    suffix = ".weights.h5" if last.endswith(".weights.h5") else ".h5"
    suffix = ".pth" if last.endswith(TORCH_SUFFIXES) else suffix
    return WeightsFile(
        label=str(parsed),
        file=f"{OWN_FOLDER}{stem or 'weights'}-{place}{known}{suffix}",
        sources=(source,),
        sha256=sha256,
    )


def check_sha256(text: str) -> str:
    """Return a SHA-256 in lower case, or raise an InputError."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise InputError(f"--sha256 {text!r:.80}: should be 64 hexadecimal digits")
    return text.lower()
