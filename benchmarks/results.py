"""Results of a benchmark in a file, for pages that are made of them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelzoo.support.errors import InputError
from modelzoo.support.files import write_text

NUMBERS = re.compile(r"\[\s*([-+.\deE,\s]+?)\s*\]")


def open_results(path: Path, new: dict[str, Any], same: Mapping[str, str]) -> dict[str, Any]:
    """Return what earlier measurements left in a file, to add to; `new` if there is no file.

    Args:
        path: the file.
        new: results without any measurement.
        same: keys of `new` whose values the file must share, and how it was measured otherwise.

    Raises:
        InputError: it holds something else, or was measured otherwise.
    """
    if not path.exists():
        return new
    try:
        before: dict[str, Any] = json.loads(path.read_text("utf-8"))
        differences = [told for key, told in same.items() if before[key] != new[key]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: holds no earlier measurement: {error}; remove it") from None
    if differences:
        raise InputError(
            f"{path}: was measured {differences[0]}; name another file with --out, or remove it"
        )
    return before


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write results as JSON, each row of numbers in one line."""
    text = json.dumps(results, indent=1)
    write_text(path, NUMBERS.sub(lambda row: f"[{' '.join(row[1].split())}]", text) + "\n")
