"""Results of a benchmark in a file, for pages that are made of them."""

import json
import re
from pathlib import Path
from typing import Any

from modelzoo.files import write_text

NUMBERS = re.compile(r"\[\s*([-+.\deE,\s]+?)\s*\]")


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write results as JSON, each row of numbers in one line."""
    text = json.dumps(results, indent=1)
    write_text(path, NUMBERS.sub(lambda row: f"[{' '.join(row[1].split())}]", text) + "\n")
