"""Cases that are wrong on purpose, to see that the fuzzer notices."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hardening.fuzzing.worker import GIGABYTE, Place
from modelzoo.support.errors import InputError


class Wrong:
    """The case of a number does what that number stands for; see `hardening/test_fuzzing.py`."""

    def prepare(self, seeds: Path) -> None:
        """Leave a file that must stay as it is."""
        (seeds / "kept").touch()

    def run(self, chance: random.Random, place: Place) -> None:
        """Do what must not be; the numbers from 9 on are right, but for the last two."""
        actions: dict[int, Callable[[], Any]] = {
            0: lambda: {}["x"],
            1: lambda: _refuse("ValueError: x is not y"),
            2: lambda: _refuse("x"),
            3: lambda: [Path("left").touch(), _refuse("something.yaml: is left behind")],
            4: lambda: (Path.home() / "foreign").touch(),
            5: lambda: (place.seeds / "kept").write_text("changed"),
            6: lambda: Path("/nowhere/at/all").mkdir(),
            7: lambda: os.system("true"),
            8: lambda: bytearray(2 * GIGABYTE + GIGABYTE // 4),
            9: lambda: Path("made").touch(),
            10: lambda: _refuse("something.yaml: is not what it should be"),
            98: lambda: time.sleep(60),
            99: lambda: os._exit(7),
        }
        actions[place.number]()


def _refuse(message: str) -> None:
    raise InputError(message)
