"""Look at every image of a folder before anything is trained on it, and list what is wrong."""

import contextlib
import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from modelzoo.data.file_facts import ImageFacts, image_facts
from modelzoo.data.folders import ImageFolder
from modelzoo.data.images import READERS
from modelzoo.support.environment import cache_folder
from modelzoo.support.errors import InputError
from modelzoo.support.files import as_typed, write_text
from modelzoo.support.terminal import ProgressBar

AT_A_TIME = 256  # files given to the threads, between two looks at the progress
LISTED = 20  # bad images in a message, and examples of what is odd
ODD = 4  # times the usual side, or a fourth of it
RARE = 0.1  # share of the images below which a mode is odd
IMBALANCE = 10


@dataclass(frozen=True)
class Checked:
    """A file that was looked at: where it belongs, and what it holds."""

    path: Path
    split: str
    label: int
    facts: ImageFacts


def _facts(paths: Sequence[Path], console: Console | None) -> Iterator[ImageFacts]:
    """Yield what each file holds, read by several threads, while a bar shows how far they are."""
    with ProgressBar(len(paths), console=console) as bar, ThreadPoolExecutor(READERS) as threads:
        bar.begin("checking images")
        bad = 0
        for begin in range(0, len(paths), AT_A_TIME):
            for facts in threads.map(image_facts, paths[begin : begin + AT_A_TIME]):
                bad += bool(facts.problem)
                yield facts
            done = min(begin + AT_A_TIME, len(paths))
            said = f"{done:,} of {len(paths):,} images are checked, {bad:,} of them are bad"
            bar.show(done, lambda said=said: said, note=f"{bad:,} bad")  # type: ignore[misc]


def check_images(found: ImageFolder, console: Console | None = None) -> list[Checked]:
    """Look at every image of a folder: whether it can be read, its size, mode and hash."""
    files = [
        (path, split, int(label))
        for split, own in found.splits.items()
        for path, label in zip(own.paths(np.arange(len(own))), own.labels, strict=True)
    ]
    facts = _facts([path for path, _, _ in files], console)
    return [Checked(*file, each) for file, each in zip(files, facts, strict=True)]


def _signature(found: ImageFolder) -> str:
    """Return a hash of the names, sizes and times of all files: it changes when one does."""
    said = hashlib.sha256()
    for own in found.splits.values():
        for path in own.paths(np.arange(len(own))):
            status = path.stat()
            said.update(f"{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return said.hexdigest()


def bad_images(found: ImageFolder, console: Console | None = None) -> dict[str, str]:
    """Return the images that cannot be used, by path within the folder, each with the reason.

    What was found is kept in the cache until a file changes.
    """
    kept = cache_folder() / "checked" / f"{_signature(found)}.json"
    try:
        known = json.loads(kept.read_text("utf-8"))
        if isinstance(known, dict) and all(isinstance(each, str) for each in known.values()):
            return known
    except (OSError, ValueError):  # not there, or damaged
        pass
    checked = check_images(found, console)
    bad = {
        each.path.relative_to(found.root).as_posix(): each.facts.problem
        for each in checked
        if each.facts.problem
    }
    with contextlib.suppress(InputError):  # a cache that cannot be written to does no harm
        write_text(kept, json.dumps(bad))
    return bad


def usable(found: ImageFolder, *, skip: bool, console: Console | None = None) -> ImageFolder:
    """Return a folder without its bad images, if `skip`; else refuse it if it has some."""
    bad = bad_images(found, console)
    if not bad:
        return found
    if not skip:
        said = [
            f"{found.root}: {len(bad):,} of {len(found):,} images cannot be used",
            *_some([f"{name}: {problem}" for name, problem in bad.items()]),
            "Leave them out with --skip-bad-images, or repair them; all of them: "
            f"modelzoo check {as_typed(found.root)}",
        ]
        raise InputError("\n".join(said))
    splits = {}
    for split, own in found.splits.items():
        names = [path.relative_to(found.root).as_posix() for path in own.paths(np.arange(len(own)))]
        splits[split] = own.take(np.flatnonzero([name not in bad for name in names]))
        if not len(splits[split]):
            raise InputError(f"{found.root}: no image of {split} can be used")
    note = f"{len(bad):,} of {len(found):,} images are left out: they cannot be used."
    return replace(found, splits=splits, notes=[*found.notes, note], left_out=tuple(bad.items()))


def report(found: ImageFolder, checked: Sequence[Checked]) -> dict[str, Any]:
    """Return what is wrong or odd in a folder whose images were looked at, ready for JSON."""

    def name(each: Checked) -> str:
        return each.path.relative_to(found.root).as_posix()

    good = [each for each in checked if not each.facts.problem]
    same: dict[str, list[Checked]] = {}
    for each in good:
        same.setdefault(each.facts.sha256, []).append(each)
    twice = [group for group in same.values() if len(group) > 1]
    sides = [side for each in good for side in each.facts.size]
    usual = statistics.median(sides) if sides else 0
    modes = Counter(each.facts.mode for each in good)
    odd = [
        each
        for each in good
        if not usual / ODD <= min(each.facts.size) <= max(each.facts.size) <= usual * ODD
    ]
    rare = {mode for mode, count in modes.items() if count < RARE * len(good)}
    counts = found.counts()
    return {
        "folder": str(found.root),
        "images": counts,
        "notes": found.notes,
        "bad": {name(each): each.facts.problem for each in checked if each.facts.problem},
        "duplicates_across_splits": [
            sorted(map(name, group)) for group in twice if len({each.split for each in group}) > 1
        ],
        "duplicates_across_classes": [
            sorted(map(name, group)) for group in twice if len({each.label for each in group}) > 1
        ],
        "duplicates": sum(len(group) - 1 for group in twice),
        "imbalance": _imbalance(counts["train"]),
        "sizes": _sizes(good),
        "odd_sizes": {name(each): "x".join(map(str, each.facts.size)) for each in odd},
        "odd_files": {name(each): each.facts.oddity for each in good if each.facts.oddity},
        "modes": dict(modes),
        "odd_modes": {name(each): each.facts.mode for each in good if each.facts.mode in rare},
    }


def _imbalance(counts: dict[str, int]) -> str:
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] <= IMBALANCE * counts[least]:
        return ""
    return f"{counts[most]:,} training images of {most!r}, but {counts[least]:,} of {least!r}"


def _sizes(good: Sequence[Checked]) -> dict[str, Any]:
    if not good:
        return {}
    sizes = [each.facts.size for each in good]
    widths, heights = zip(*sizes, strict=True)
    (width, height), count = Counter(sizes).most_common(1)[0]
    return {
        "different": len(set(sizes)),
        "most_common": f"{width}x{height}",
        "of_that_size": count,
        "width": [min(widths), max(widths)],
        "height": [min(heights), max(heights)],
    }


def report_lines(found: ImageFolder, facts: dict[str, Any]) -> Iterator[str]:
    """Yield a report as people read it."""
    yield from found.table()
    yield from facts["notes"]
    bad = facts["bad"]
    yield f"bad images: {len(bad):,}" if bad else "bad images: none"
    yield from (f"  {name}: {problem}" for name, problem in bad.items())
    if facts["imbalance"]:
        yield f"imbalance: {facts['imbalance']}"
    for key, what in (
        ("duplicates_across_splits", "the same file in two splits"),
        ("duplicates_across_classes", "the same file in two classes"),
    ):
        if groups := facts[key]:
            yield f"{what}: {len(groups):,}"
            yield from _some([" = ".join(group) for group in groups])
    if facts["sizes"]:
        sizes = facts["sizes"]
        (narrow, wide), (low, high) = sizes["width"], sizes["height"]
        yield (
            f"sizes: {sizes['different']:,}; most often {sizes['most_common']} "
            f"({sizes['of_that_size']:,}); {narrow:,} to {wide:,} wide, {low:,} to {high:,} high"
        )
        modes = sorted(facts["modes"].items(), key=lambda each: -each[1])
        yield "modes: " + ", ".join(f"{mode} ({count:,})" for mode, count in modes)
    for key in ("odd_sizes", "odd_modes", "odd_files"):
        if facts[key]:
            yield f"{key.replace('_', ' ')}: {len(facts[key]):,}"
            yield from _some([f"{name}: {value}" for name, value in facts[key].items()])


def _some(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:LISTED])
    if len(lines) > LISTED:
        yield f"  and {len(lines) - LISTED:,} more"
