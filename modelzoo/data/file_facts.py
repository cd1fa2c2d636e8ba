"""What is in an image file, and what is wrong with it, found by decoding it once."""

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from modelzoo.data.images import formats_for, open_picture
from modelzoo.support.errors import InputError, reason_of

SMALL = (64, 64)  # a JPEG is decoded no larger than it must be
LARGEST = 2**30  # bytes
SLACK = 64  # bytes that libjpeg may take ahead of what it decodes
NATURES = (  # how other files begin that carry the name of an image
    (rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body)", "an HTML page: a failed download"),
    (rb"\s*<(\?xml[^>]*>.*<)?svg", "an SVG drawing, which is not read"),
    (rb"....ftyp(hei[cxms]|hevc|mif1|msf1)", "a HEIC photo: take pillow-heif, or save it as JPEG"),
    (rb"....ftypavi[fs]", "an AVIF image, which is not read: save it as PNG"),
    (rb"%PDF", "a PDF, which is not read"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file that it stands for"),
    (rb"\xff\x4f\xff\x51|....jP  ", "a JPEG 2000 image, which is not read"),
    (rb"8BPS", "a Photoshop file, which is not read"),
)  # fmt: skip


@dataclass(frozen=True)
class ImageFacts:
    """What is known of an image file."""

    sha256: str = ""
    size: tuple[int, int] = (0, 0)  # width, height
    mode: str = ""  # as Pillow calls it: L, RGB, RGBA, P, CMYK, ...
    problem: str = ""  # why it cannot be used
    oddity: str = ""  # what does no harm, but stands out


def image_facts(path: Path) -> ImageFacts:
    """Return what a file holds, decoded to its end."""
    try:
        if (size := path.stat().st_size) > LARGEST:
            return ImageFacts(problem=f"has {size:,} bytes, more than are read")
        content = path.read_bytes()
    except OSError as error:
        return ImageFacts(problem=f"cannot be read: {reason_of(error)}")
    sha256 = hashlib.sha256(content).hexdigest()
    if not content.strip(b"\0"):
        return ImageFacts(sha256, problem="is empty" if not content else "holds nothing but zeros")
    try:
        picture = open_picture(content, SMALL)
        with Image.open(io.BytesIO(content), formats=formats_for(content, path.name)) as opened:
            mode, kind = opened.mode, opened.format
    except InputError as error:
        said = str(error).splitlines()[0].removeprefix("the file ")
        return ImageFacts(
            sha256, problem=f"is {nature}" if (nature := nature_of(content)) else said
        )
    facts = ImageFacts(sha256, picture.size, mode)
    if kind != "JPEG" or (end := _end_of_scan(content)) is None:
        return facts
    if _ends_before(content, end - SLACK):
        problem = "has extraneous bytes before its end: it was damaged or changed"
        return ImageFacts(sha256, picture.size, mode, problem)
    behind = content[end + 2 :].strip(b"\0")
    if behind and b"\xff\xd8\xff" not in behind:  # a phone puts a second image there
        return ImageFacts(sha256, picture.size, mode, oddity=f"{len(behind):,} bytes after its end")
    return facts


def nature_of(content: bytes) -> str:
    """Return what a file is that is no image, as far as its beginning tells."""
    head = content[:1024]
    found = (name for begin, name in NATURES if re.match(begin, head, re.DOTALL | re.IGNORECASE))
    return next(found, "")


def _end_of_scan(content: bytes) -> int | None:
    """Return where a JPEG of one scan ends; None if there are several, or no end."""
    at = 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    found = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])").search(content, at + 2)
    return found.end() - 2 if found and found[1] == b"\xd9" else None


def _ends_before(content: bytes, end: int) -> bool:
    """Whether a JPEG's last row is decoded from its first `end` bytes: what follows is not needed.

    libjpeg only warns of such bytes, and Pillow keeps that to itself. A black last row is not seen.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as opened:
            opened.draft("", SMALL)
            opened.load_prepare()
            codec, extents, _, arguments = opened.tile[0]
            opened.tile = []
            decoder = Image._getdecoder(opened.mode, codec, arguments, opened.decoderconfig)
            decoder.setimage(opened.im, extents)
            decoder.decode(content[:end])
            return bool(np.asarray(opened)[-1].any())
    except (AttributeError, TypeError, ValueError, OSError):  # another Pillow keeps it elsewhere
        return False
