"""Read two records, and find what differs in them."""

import argparse
import collections
import csv
import difflib
import fnmatch
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from PIL import Image

from hardening.compare_versions.recording import DONE

VOLATILE = {
    *("seconds", "seconds_per_epoch", "images_per_second", "peak_memory_bytes", "device"),
    *("finished", "device_placement", "versions", "date_saved", "keras_version", "weights_file"),
    "shared_object_id",  # an address in memory
}
BUILT = {".onnx", ".tflite", ".pb", ".index"}  # what these answer stands in outputs.npz
SHOWN = 12  # differences of one file that are printed
TEXTS = {".out", ".err", ".svg", ".txt"}
ABSENT = "absent"


def flatten(value: Any, key: str = "") -> dict[str, Any]:
    """Nested lists and dictionaries become one, its keys as paths; items by name where named."""
    if isinstance(value, dict):
        pairs = [(f"{key}.{name}", item) for name, item in value.items() if name not in VOLATILE]
    elif isinstance(value, list) and value and not all(map(is_number, value)):
        names = [item.get("name") if isinstance(item, dict) else None for item in value]
        is_named = None not in names and len(set(names)) == len(names)
        marks = names if is_named else range(len(value))
        pairs = [(f"{key}[{mark}]", item) for mark, item in zip(marks, value, strict=True)]
    else:
        return {key.lstrip(".") or "value": value}
    return {inner: leaf for name, item in pairs for inner, leaf in flatten(item, name).items()}


def is_number(value: Any) -> bool:
    """Whether this is a number and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def strip(text: str) -> str:
    """Remove times, framework messages and machine from a text."""
    text = re.sub(
        r"^(WARNING: All log|[IWE]\d{4} |\d{4}-\d\d-\d\d |To enable|WARNING:tensorflow).*\n?",
        "",
        text,
        flags=re.M,
    )
    text = re.sub(r"\S*/modelzoo/weights/", "PACKAGE/weights/", text)
    text = re.sub(r"CPU: [^\n<\"]*", "CPU", text)
    return re.sub(r"\b[\d.,]+ ?(s|ms|min|minutes|seconds|images/s|MB|GB|MiB|GiB)\b", "TIME", text)


def arrays_of(file: Any) -> dict[str, Any]:
    """Each data set of an HDF5 file."""
    found: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(file, "r") as opened:
        opened.visititems(keep)
    return found


def html_of(text: str) -> dict[str, Any]:
    """The text, tables and charts of a page, without the libraries in its scripts."""
    found = {}
    for name, chart in re.findall(
        r'<script type="application/json" id="(.*?)">(.*?)</script>', text, re.S
    ):
        found |= flatten(json.loads(chart), name)
    text = re.sub(r"<(script|style)\b.*?</\1>|sha256-\S+", "", text, flags=re.S)
    text = strip(re.sub(r"(\s*<[^>]+>\s*)+", "\n", text))
    measured = "|".join((*VOLATILE, r"versions\.\w+"))
    return found | {"text": re.sub(rf"^(({measured})\n.*|Made with .*)\n", "", text, flags=re.M)}


def contents_of(path: Path) -> dict[str, Any]:
    """What a file says, as values by key."""
    ending = path.suffix
    if ending in (".json", ".out") and path.read_text().lstrip()[:1] in ("{", "["):
        return flatten(json.loads(path.read_text()))
    if ending == ".csv":
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        return {
            f"row {n}.{k}": v
            for n, row in enumerate(rows)
            for k, v in row.items()
            if k not in VOLATILE
        }
    if ending in (".yaml", ".yml"):
        return flatten(yaml.safe_load(path.read_text()))
    if ending == ".npz":
        with np.load(path) as opened:
            return {name: opened[name] for name in opened if name != "progress"}
    if ending == ".h5":
        return arrays_of(path)
    if ending == ".keras":
        with zipfile.ZipFile(path) as opened:
            weights = arrays_of(io.BytesIO(opened.read("model.weights.h5")))
            return flatten(json.loads(opened.read("config.json"))) | weights
    if ending == ".png":
        return {"pixels": np.asarray(Image.open(path))}
    if ending == ".html":
        return html_of(path.read_text())
    if ending not in TEXTS:
        return {}
    return {"text": strip(path.read_text())}


def difference(old: Any, new: Any) -> tuple[str, float] | None:
    """How two values differ, as a text and a number; None if they do not."""
    if same(old, new):
        return None
    one, two = as_array(old), as_array(new)
    if one is not None and two is not None and one.shape == two.shape:
        most = float(np.max(np.abs(one - two), initial=0))
        if np.array_equal(one, two, equal_nan=True):
            return None
        return f"{short(old)} -> {short(new)}, largest difference {most:.3g}", most
    if isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
        changed = [line for line in list(lines)[2:] if not line.startswith("@@")]
        return "\n    ".join(["", *changed[:SHOWN]]), np.inf
    return f"{short(old)} -> {short(new)}", np.inf


def as_array(value: Any) -> np.ndarray | None:
    """A number, a list of numbers or a text that is a number, as float64; None for all else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return np.asarray(value).astype(np.float64)
    except (ValueError, TypeError):
        return None


def same(old: Any, new: Any) -> bool:
    """Whether two values of any kind are equal, True and 1 not among them."""
    if isinstance(old, np.ndarray) or isinstance(new, np.ndarray):
        return np.array_equal(np.asarray(old), np.asarray(new))
    return type(old) is type(new) and old == new


def short(value: Any) -> str:
    """A value, or the shape of a large one, on one line."""
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"array {value.shape}"
    text = str(value).replace("\n", " ")
    return text if len(text) <= 100 else text[:97] + "..."


def files_of(folder: Path) -> set[str]:
    """The names of all files in a folder and its folders."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def file_differences(old: Path, new: Path) -> Iterator[tuple[str, str, float]]:
    """Yield what differs in two files: key, what, how much."""
    if not old.exists() or not new.exists():
        yield "", "missing in the new record" if old.exists() else "only in the new record", np.inf
        return
    if old.read_bytes() == new.read_bytes() or old.suffix in BUILT:
        return
    one, two = contents_of(old), contents_of(new)
    for key in [*one, *(key for key in two if key not in one)]:
        if told := difference(one.get(key, ABSENT), two.get(key, ABSENT)):
            yield key, *told


def folder_differences(name: str, old: Path, new: Path) -> Iterator[tuple[str, str, float]]:
    """Yield what differs in the files of two folders, which are called `name`."""
    for file in sorted(files_of(old) | files_of(new)):
        for key, *told in file_differences(old / file, new / file):
            yield f"{name}/{file}:{key}", *told


def differences(old: Path, new: Path) -> Iterator[tuple[str, str, float]]:
    """Yield all differences of two records: where, what, how much."""
    recorded = [{path.parent.name for path in folder.glob(f"*/{DONE}")} for folder in (old, new)]
    for case in sorted(recorded[0] ^ recorded[1]):
        print(f"{case}: only in {(old if case in recorded[0] else new).name}")
    for case in sorted(recorded[0] & recorded[1]):
        if not case.startswith("interrupted_"):  # those stop at another moment each time
            yield from folder_differences(case, old / case, new / case)
        if case.startswith("resumed_"):
            undisturbed = old / f"train_{case.removeprefix('resumed_')}_undisturbed" / "run"
            yield from folder_differences(f"{case}_or_not", undisturbed, new / case / "run")


def reason_for(where: str, what: str, most: float, intended: list[dict[str, Any]]) -> str | None:
    """Why a difference is intended; None if it is not."""
    for entry in intended:
        patterns = [pattern.replace("[", "[[]") for pattern in entry["where"]]
        if (
            any(fnmatch.fnmatchcase(where, pattern) for pattern in patterns)
            and fnmatch.fnmatchcase(what, entry.get("what", "*").replace("[", "[[]"))
            and most <= entry.get("within", np.inf)
        ):
            return str(entry["why"])
    return None


def compare(options: argparse.Namespace) -> int:
    """Print the differences that are not intended; return 1 if there are some."""
    intended = yaml.safe_load(options.allowed.read_text()) or []
    reasons: collections.Counter[str] = collections.Counter()
    found: dict[str, list[str]] = {}
    for where, what, most in differences(options.old, options.new):
        if reason := reason_for(where, what, most, intended):
            reasons[reason] += 1
        else:
            found.setdefault(where.split(":")[0], []).append(f"{where}  {what}")
    for name, lines in found.items():
        print(*lines[:SHOWN], sep="\n")
        if len(lines) > SHOWN:
            print(f"{name}: {len(lines) - SHOWN} more")
    for reason, count in reasons.items():
        print(f"intended, {count}: {reason}")
    count = sum(map(len, found.values()))
    print(f"{count} differences that are not intended")
    return 1 if count else 0
