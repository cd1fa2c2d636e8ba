"""Read a pickle that is not trusted, without unpickling: plain values and NumPy's arrays.

The standard library takes a pickle apart into its instructions; the few that describe numbers,
texts, lists, dictionaries and arrays are followed here. Nothing that a pickle names is looked up,
imported or called: a name stands for a function of ours, or the pickle is refused.
"""

import mmap
import pickletools
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from modelzoo.support.errors import InputError

Calls = Mapping[str, Callable[..., Any] | None]  # None: a name that stands beside, never called
MAX_INSTRUCTIONS = 1_000_000  # CIFAR-100 has some 250,000
VALUES = {
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT",
}  # fmt: skip
MARK = object()
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": MARK}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
WRONG = (IndexError, KeyError, TypeError, AttributeError, ValueError, OverflowError, struct.error)


class Name(str):
    """What a pickle would look up: a module and something in it."""

    __slots__ = ()


@dataclass
class _Type:
    """A type of NumPy's numbers; its byte order is told after it."""

    code: str
    order: str = "="


def _type(code: str, *_: Any) -> _Type:
    if not re.fullmatch(r"[fiub][1248]|O[48]?", code):
        raise InputError(f"{code!r:.40} is no type of plain numbers")
    return _Type(code)


def _array(*_: Any) -> np.ndarray:
    return np.empty(0, "u1")  # its type, shape and numbers are told after it


def _from_buffer(numbers: bytes, kind: _Type, shape: tuple[int, ...], order: Any) -> np.ndarray:
    return np.frombuffer(numbers, kind.order + kind.code).reshape(shape, order=order)


# The names that a pickle of plain values and arrays needs, with NumPy 1 and 2.
PLAIN: Calls = {
    "_codecs encode": lambda text, code: text.encode(code if code == "latin1" else "ascii"),
    "collections OrderedDict": dict,
    "numpy dtype": _type,
    "numpy ndarray": None,
    "numpy.core.multiarray _reconstruct": _array,
    "numpy._core.multiarray _reconstruct": _array,
    "numpy.core.numeric _frombuffer": _from_buffer,
    "numpy._core.numeric _frombuffer": _from_buffer,
}


def read_pickle(
    content: bytes | mmap.mmap,
    calls: Calls = PLAIN,
    load: Callable[[Any], Any] | None = None,
    advice: str = "",
) -> Any:
    """Return what a pickle of protocol 2 to 5 describes; texts of Python 2 are read as latin-1.

    Args:
        content: the pickle, or a file that begins with it.
        calls: what stands for each name that it may look up.
        load: what stands for a persistent identifier.
        advice: what to do about a pickle with another name in it, a line.

    Raises:
        InputError: it is damaged, too long, or does more than describe; its text has no path.
    """
    reader = _Reader(calls, load, advice, 2 * len(content))
    file: Any = content  # a mapped file reads like an open one
    try:
        for number, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            if number > MAX_INSTRUCTIONS:
                raise InputError(f"has more than {MAX_INSTRUCTIONS:,} instructions")
            reader.follow(instruction.name, argument)
        (found,) = reader.stack
    except InputError:
        raise
    except WRONG:
        raise InputError("is damaged: its instructions do not fit together") from None
    return found


@dataclass
class _Reader:
    """A stack, as the machine has that pickles are written for, but only of plain values."""

    calls: Calls
    load: Callable[[Any], Any] | None
    advice: str
    left: int  # bytes that texts may still become, and arrays take
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def follow(self, instruction: str, argument: Any) -> None:
        stack = self.stack
        if instruction in ("PROTO", "STOP", "FRAME"):
            return
        if instruction in VALUES:
            stack.append(argument)
        elif instruction in CONSTANTS:
            stack.append(CONSTANTS[instruction])
        elif instruction in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if instruction == "EMPTY_DICT" else [])
        elif instruction == "TUPLE":
            stack.append(tuple(self._to_mark()))
        elif instruction in TUPLES:
            items = [stack.pop() for _ in range(TUPLES[instruction])]
            stack.append(tuple(reversed(items)))
        elif instruction in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif instruction == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif instruction in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif instruction == "GLOBAL":
            stack.append(self._name(argument))
        elif instruction == "STACK_GLOBAL":
            name = stack.pop()
            stack.append(self._name(f"{stack.pop()} {name}"))
        elif instruction == "BINPERSID" and self.load:
            stack.append(self.load(stack.pop()))
        elif instruction == "REDUCE":
            arguments = stack.pop()
            stack.append(self._called(stack.pop(), arguments))
        elif instruction in ("SETITEM", "SETITEMS"):
            many = instruction == "SETITEMS"
            items = self._to_mark() if many else [stack.pop(), stack.pop()][::-1]
            _fill(stack[-1], items)
        elif instruction in ("APPEND", "APPENDS"):
            items = self._to_mark() if instruction == "APPENDS" else [stack.pop()]
            if not isinstance(stack[-1], list):
                raise InputError("is damaged: it extends what is no list")
            stack[-1].extend(items)
        elif instruction == "BUILD" and isinstance(stack[-2], dict | _Type | np.ndarray):
            self._build(stack.pop(), stack[-1])
        else:
            raise InputError(f"does {instruction}, which plain values do not need")

    def _to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not MARK:
            items.append(item)
        return items[::-1]

    def _name(self, text: str) -> Name:
        if text not in self.calls:
            name = text.replace(" ", ".")
            raise InputError(f"{name!r:.120} is code, which is never run{self.advice}")
        return Name(text)

    def _called(self, name: Any, arguments: Any) -> Any:
        function = self.calls[name] if isinstance(name, Name) else None
        if function is None or not isinstance(arguments, tuple):
            raise InputError("is damaged: it calls what is no function")
        made = function(*arguments)
        self._take(len(made) if isinstance(made, bytes) else 0)
        return made

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise InputError("describes more numbers than it holds")

    def _build(self, state: Any, target: Any) -> None:
        """Give a type its byte order, and an array all that it is."""
        if isinstance(target, dict):  # the versions of PyTorch's modules: they say nothing
            return
        if isinstance(target, _Type):
            if any(each is not None for each in state[2:5]) or state[1] not in ("<", ">", "=", "|"):
                raise InputError("has a type that is not one of plain numbers")
            target.order = state[1]
            return
        _, shape, kind, by_column, numbers = state
        if any(type(each) is not int or each < 0 for each in shape):
            raise InputError("has an array of an unknown shape")
        dtype = np.dtype(kind.order + kind.code)
        if dtype.hasobject:
            size, held = prod(shape), len(numbers) if isinstance(numbers, list) else -1
        else:
            if isinstance(numbers, str):
                numbers = numbers.encode("latin-1")
            size, held = prod(shape) * dtype.itemsize, len(numbers)
            self._take(held)
        if size != held:
            raise InputError(f"has an array of shape {shape!s:.80}, and other numbers than these")
        target.__setstate__((1, shape, dtype, bool(by_column), numbers))


def _fill(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise InputError("is damaged: it fills what is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) not in (str, bytes, int) or key in target:  # an optimizer numbers its own
            raise InputError("is damaged: a key is no name, or is there twice")
        target[key] = value
