"""Published weights: the `weights:` list of a YAML, and where its files may come from."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

import msgspec
from msgspec import Meta

from modelzoo.config.reading import Place, convert
from modelzoo.support.environment import in_home
from modelzoo.support.errors import InputError

LARGEST_FILE = 2 * 2**30  # of a file of undeclared size
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")  # the only ones that may answer without TLS
SUFFIXES = (".weights.h5", ".h5", ".hdf5", ".keras", ".safetensors", ".pth", ".pt")  # of weights
HUGGING_FACE = "https://huggingface.co"
# hf://OWNER/REPO@REVISION/FILE; no part of it begins with a dot, so that none leads elsewhere
PART = r"\w[\w.-]*"
HUB = re.compile(rf"hf://({PART}/{PART})(?:@({PART}))?/({PART}(?:/{PART})*)", re.ASCII)
COMMIT = r"[0-9a-f]{40}"
OWN_FOLDER = "-own/"  # in the cache; the name of a network cannot begin so
NAME = r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z"  # neither dots nor slashes: it becomes a file's name

Hash = Annotated[
    str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hexadecimal digits in lower case")
]
Text = Annotated[str, Meta(min_length=1)]
Size = Annotated[int, Meta(ge=1, le=2**40)]
Share = Annotated[float, Meta(ge=0, le=1)]
Output = Annotated[float, Meta(ge=-1e9, le=1e9)]  # neither NaN nor infinite


@dataclass(frozen=True)
class WeightsFile:
    """A file to have: what it is called, where it may come from, and what proves that it is it."""

    label: str  # "lenet5/mnist", or the address that was given
    file: str  # its path below `folder`, the package's weights and a mirror
    sources: tuple[str, ...]
    sha256: str | None = None  # None if it is not published
    bytes: int | None = None
    max_bytes: int = LARGEST_FILE
    folder: str = "weights"  # below the cache folder; "datasets" for those of a data set

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
    """Read a source as it stands in a YAML, on the command line or in MODELZOO_MIRROR."""
    if text == "package":
        return Source("package")
    if found := HUB.fullmatch(text):
        repository, revision, file = found.groups()
        return Source("url", f"{HUGGING_FACE}/{repository}/resolve/{revision or 'main'}/{file}")
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
        f"{text!r:.200} is no source: they are package, https://..., gdrive:ID, file:PATH, "
        "hf://OWNER/REPO@REVISION/FILE"
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
    """Return a person's own file, given by its address."""
    parsed = parse_source(source)
    if sha256 is not None:
        sha256 = check_sha256(sha256)
    place = hashlib.sha256(source.encode()).hexdigest()[:16]
    last = unquote(urlsplit(parsed.value).path).replace("\\", "/").rpartition("/")[2]
    suffix = next((each for each in SUFFIXES if last.endswith(each)), ".h5")
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", last.removesuffix(suffix))[:60]
    known = f"-{sha256[:8]}" if sha256 else ""
    return WeightsFile(
        label=str(parsed),
        file=f"{OWN_FOLDER}{stem or 'weights'}-{place}{known}{suffix}",
        sources=(source,),
        sha256=sha256,
    )


def check_sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise InputError(f"--sha256 {text!r:.80}: should be 64 hexadecimal digits")
    return text.lower()


class Scores(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured, and on what: `evaluate --check` measures it again.

    Args:
        dataset: by its name.
        split: of the data set.
        accuracy: share of images whose class is the first.
        loss: null where it is not published.
        top5_accuracy: share of images whose class is among the first five.
    """

    dataset: Annotated[str, Meta(pattern=r"\A[a-z0-9_]{1,64}\Z")]
    split: Literal["train", "validation", "test"] = "test"
    accuracy: Share
    loss: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    top5_accuracy: Share | None = None

    def __str__(self) -> str:
        """Return them in words: "accuracy 0.9953, loss 0.0154 on mnist (test)"."""
        numbers = {"top-5": self.top5_accuracy, "loss": self.loss}
        said = [f"{name} {number:.4f}" for name, number in numbers.items() if number is not None]
        words = ", ".join([f"accuracy {self.accuracy:.4f}", *said])
        return f"{words} on {self.dataset} ({self.split})"


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Probabilities for images that are made from a seed, a row an image."""

    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    outputs: Annotated[list[Annotated[list[Output], Meta(min_length=1)]], Meta(min_length=1)]
    tolerance: Annotated[float, Meta(gt=0, le=0.01)] = 1e-4


class PublishedWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `weights:`.

    Args:
        name: after the network's name and a slash.
        sources: `package`, `https://…`, `hf://…`, `gdrive:ID` or `file:PATH`, in this order.
        scores: what was measured with them.
        recipe: how they were trained.
        licence: of the file.
        sha256: of the file; with `bytes` mandatory, unless `unverified`.
        bytes: size of the file.
        unverified: has no published hash, so that `--allow-unverified` is needed.
        max_bytes: where an unverified download is cut off.
        format: `torch` for a state dict, which is converted at every load.
        golden: outputs for images that are made from a seed.
        parameters: in the file.
        note: for the model card.
    """

    name: Annotated[str, Meta(pattern=NAME, description="letters, digits, '_' and '-', at most 64")]
    sources: Annotated[list[str], Meta(min_length=1)]
    sha256: Hash | None = None
    bytes: Size | None = None
    unverified: bool = False
    max_bytes: Size | None = None
    parameters: Size | None = None
    scores: Scores
    format: Literal["keras", "torch"] = "keras"
    recipe: Text
    licence: Text
    note: str = ""
    golden: Golden | None = None

    def __post_init__(self) -> None:
        for source in self.sources:
            parse_source(source)
            hub = HUB.fullmatch(source)
            if hub and not re.fullmatch(COMMIT, hub[2] or ""):
                raise ValueError(f"{source}: name the commit: hf://OWNER/REPO@40 digits/FILE")
        if self.golden and len({len(row) for row in self.golden.outputs}) > 1:
            raise ValueError("golden.outputs: should be rows of one length")
        if self.unverified and (self.sha256 or self.bytes):
            raise ValueError("with sha256 and bytes it is not unverified; leave that key out")
        if self.unverified and "package" in self.sources:
            raise ValueError("package: a file that we ship has a hash")
        if not self.unverified and not (self.sha256 and self.bytes):
            raise ValueError("sha256 or bytes is missing: only an `unverified: true` may lack both")
        if self.max_bytes and not self.unverified:
            raise ValueError("max_bytes: `bytes` says it already")

    def file_of(self, model: str) -> "WeightsFile":
        """Return the file that this entry describes, as the network `model` publishes it."""
        # The hash in its name keeps the files of two releases apart in one cache; the hash of the
        # sources, unverified files from the file of the same name in another YAML.
        mark = self.sha256 or hashlib.sha256("\n".join(self.sources).encode()).hexdigest()
        suffix = ".pth" if self.format == "torch" else ".weights.h5" if self.sha256 else ".h5"
        name = f"{self.name}-{mark[:8]}{suffix}"
        return WeightsFile(
            label=f"{model}/{self.name}",
            file=f"{model}/{name}",
            sources=tuple(self.sources),
            sha256=self.sha256,
            bytes=self.bytes,
            max_bytes=self.bytes or self.max_bytes or LARGEST_FILE,
        )


def parse_weights(values: Any, place: Place, folder: Path | None = None) -> list[PublishedWeights]:
    """Check the `weights:` list of a configuration; `file:` sources are relative to `folder`."""
    entries = convert([] if values is None else values, list[PublishedWeights], place, "weights")
    names = [entry.name for entry in entries]
    for index, entry in enumerate(entries):
        key = f"weights.{index}"
        if entry.name in names[:index]:
            raise InputError(f"{place(key)}: {key}.name: {entry.name!r} is there twice")
        if folder:
            parsed = [(text, parse_source(text)) for text in entry.sources]
            sources = [
                f"file:{folder / s.value}" if s.kind == "file" else text for text, s in parsed
            ]
            entries[index] = msgspec.structs.replace(entry, sources=sources)
    return entries
