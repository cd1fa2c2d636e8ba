"""How a command line is read: one clear line for what is wrong, and the numbers of options."""

from __future__ import annotations

import argparse
import difflib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from modelzoo.support.errors import suggest
from modelzoo.support.terminal import say

SHORT_NAMES = {"--lr": "--learning-rate"}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest right name, in place of the whole usage."""

    commands: Iterable[str] = ()  # those that it knows; none where it is a command's own
    names: Iterable[str] = ()  # what a command's options are called

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and end with exit code 2."""
        say(f"{self.prog}: {message}\n(see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read a command line, by default the program's own."""
        words: Sequence[str] = sys.argv[1:] if args is None else args
        first = words[0] if words else "-"
        if self.commands and not first.startswith("-") and first not in self.commands:
            self.error(f"unknown command {first!r:.80}{suggest(first, self.commands)}")
        options, rest = self.parse_known_args(words, namespace)
        if rest:  # reported by the command's parser, which knows its own options
            getattr(options, "parser", self).refuse(rest)
        return options

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Name what was not understood, and the option or the `--set` key that may be meant."""
        from modelzoo.config.sections import all_keys

        message = f"unrecognized arguments: {' '.join(words)}"
        unknown = words[0].partition("=")[0]
        if self.names and unknown.startswith("--"):
            right = {name: name for name in self.names}
            if "--set" in right:  # the key of model.pool_size may be taken for --pool-size
                keys = {f"--{key.split('.')[-1].replace('_', '-')}": key for key in all_keys()}
                right = {name: f"--set {key}=" for name, key in keys.items()} | right
            near = difflib.get_close_matches(SHORT_NAMES.get(unknown, unknown), right, 1)
            message += f"; did you mean {right[near[0]]!r}?" if near else suggest("", self.names)
        self.error(message)


def reader(kind: Callable[[str], Any], fits: Callable[[Any], bool], wanted: str) -> Any:
    """Return the `type` of an option whose values `fits` accepts."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
            if fits(value):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text:.80} should be {wanted}")

    return read


def whole(least: int, most: int = 10**9) -> Any:
    """Return a reader of whole numbers from `least` to `most`."""
    wanted = f"a whole number from {least} to {most}"
    return reader(int, lambda number: least <= number <= most, wanted)


def numbers(most: float = math.inf) -> Any:
    """Return a reader of numbers from 0 to `most`, with commas between them."""
    limits = "from 0" if most == math.inf else f"from 0 to {most:g}"
    return reader(
        lambda text: [float(part) for part in text.split(",")],
        lambda found: all(0 <= number <= most and number < math.inf for number in found),
        f"numbers {limits}, as in 0,0.05,0.1",
    )


positive = reader(float, lambda number: 0 < number < math.inf, "a number above 0")
share = reader(float, lambda number: 0 <= number <= 1, "a number from 0 to 1")
count = reader(  # "all" is None
    lambda text: None if text == "all" else int(text),
    lambda number: number is None or 1 <= number <= 10**9,
    f'a whole number from 1 to {10**9}, or "all"',
)
