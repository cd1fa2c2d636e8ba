"""Read arrays out of a MATLAB 5 file that is not trusted, as EMNIST and SVHN come in.

An element is a type, a size and its bytes; a matrix is an element of elements: flags, dimensions, a
name, and numbers or the fields of a structure. Format: "MAT-File Format", MathWorks.
"""

import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from modelzoo.support.errors import InputError

SIGNATURE = b"MATLAB 5.0 MAT-file"
HEADER = 128  # bytes, whose last two are the order of bytes
NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
MATRIX, COMPRESSED = 14, 15
STRUCTURE, NUMERIC = 2, range(6, 16)  # classes of a matrix
DEEPEST = 4  # structures within each other; EMNIST has 2


def read_matlab(content: bytes, most: int) -> dict[str, Any]:
    """Return the arrays of a file by their names, and structures as a dictionary of arrays each.

    Arrays share the memory of the content. Other things, such as texts and cells, are left out.

    Raises:
        InputError: it is damaged, or would grow to more than `most` bytes; its text has no path.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if order is None:
        raise InputError("is damaged: it does not tell the order of its bytes")
    found: dict[str, Any] = {}
    for kind, data in _elements(memoryview(content)[HEADER:], order):
        if kind == COMPRESSED:
            kind, data = _decompressed(data, order, most)
            most -= len(data)
        if kind == MATRIX:
            name, value = _matrix(data, order)
            if value is not None:
                found[name] = value
    return found


def _decompressed(data: memoryview, order: str, most: int) -> tuple[int, memoryview]:
    """Return type and content of a packed element, whose first bytes tell how large that is."""
    try:
        tag = zlib.decompressobj().decompress(data[:1024], 8).ljust(8, b"\0")
        kind, size = (int(each) for each in np.frombuffer(tag, f"{order}u4"))
        if size > most:
            raise InputError(
                f"would grow to more than {most:,} bytes: it may be made to fill the memory"
            )
        return kind, memoryview(zlib.decompressobj().decompress(data, 8 + size))[8:]
    except zlib.error as error:
        raise InputError(f"is damaged: {error}") from None


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield type and content of each element; a small one holds its content in its tag."""
    at = 0
    while at + 8 <= len(data):
        kind, size = (int(each) for each in np.frombuffer(data, f"{order}u4", 2, at))
        begin, step = at + 8, 8
        if kind >> 16:
            kind, size, begin, step = kind & 0xFFFF, kind >> 16, at + 4, 4
            at += 8
        else:  # padded to a multiple of 8, but for what is compressed
            at = begin + (size if kind == COMPRESSED else -(-size // step) * step)
        if begin + size > len(data) or (step == 4 and size > 4):
            raise InputError(f"is damaged or cut off: an element of {size:,} bytes is not there")
        yield kind, data[begin : begin + size]


def _matrix(data: memoryview, order: str, depth: int = 0) -> tuple[str, Any]:
    """Return name and value of a matrix; None for what is no array of numbers."""
    parts = _elements(data, order)
    (_, flags), (_, sides), (_, name) = (next(parts, (0, data[:0])) for _ in range(3))
    if len(flags) != 8 or len(sides) % 4 or not 8 <= len(sides) <= 16:
        raise InputError("is damaged: a matrix does not tell its shape")
    said = int(np.frombuffer(flags, f"{order}u4", 1)[0])
    shape = tuple(np.frombuffer(sides, f"{order}i4").tolist())
    if said & 0xFF == STRUCTURE and depth < DEEPEST:
        return bytes(name).decode("latin-1"), _structure(parts, order, depth)
    if said & 0xFF not in NUMERIC or said & 0x0800:  # complex
        return bytes(name).decode("latin-1"), None
    kind, numbers = next(parts, (0, data[:0]))
    if min(shape) < 0 or kind not in NUMBERS:
        raise InputError("is damaged: a matrix has no numbers")
    dtype = np.dtype(order + NUMBERS[kind])
    if math.prod(shape) * dtype.itemsize != len(numbers):
        raise InputError(f"is damaged: a matrix of {shape} has {len(numbers):,} bytes")
    array = np.frombuffer(numbers, dtype).reshape(shape, order="F")
    return bytes(name).decode("latin-1"), array


def _structure(parts: Iterator[tuple[int, memoryview]], order: str, depth: int) -> dict[str, Any]:
    """Return the fields of a structure, each by its name."""
    (_, length), (_, names) = (next(parts, (0, memoryview(b""))) for _ in range(2))
    width = int.from_bytes(bytes(length), "little" if order == "<" else "big")
    if not 1 <= width <= 64 or len(names) % width:
        raise InputError("is damaged: a structure does not name its fields")
    keys = [bytes(names[at : at + width]).split(b"\0")[0] for at in range(0, len(names), width)]
    fields: dict[str, Any] = {}
    for key in keys:
        kind, data = next(parts, (0, memoryview(b"")))
        if kind == MATRIX and len(data):
            fields[key.decode("latin-1")] = _matrix(data, order, depth + 1)[1]
    return fields
