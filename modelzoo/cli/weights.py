"""What `modelzoo pull`, `verify` and `list --weights` do. Starts no framework."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from modelzoo.config import Config, list_models, load_config
from modelzoo.config.published import PublishedWeights
from modelzoo.config.sources import WeightsFile
from modelzoo.support.environment import cache_folder
from modelzoo.support.errors import InputError, suggest
from modelzoo.support.hashes import State, read_record, state_of
from modelzoo.training.resolve import configure
from modelzoo.weights.store import cached_path, fetch, packaged_path

WORDS = {"good": "good", "damaged": "WRONG", "missing": "MISSING", "unknown": "no hash"}


def describe_weights() -> list[dict[str, Any]]:
    """Return the published weights of all networks, each with where its file is."""
    rows = []
    for model in list_models():
        for entry in load_config(model).weights:
            row = {"model": model, **msgspec.to_builtins(entry), "where": _where(model, entry)}
            rows.append({key: value for key, value in row.items() if key != "golden"})
    return rows


def pull(
    names: Sequence[str], *, allow_unverified: bool = False
) -> tuple[list[dict[str, Any]], list[str]]:
    """Fetch published weights, each as far as it can be had.

    Args:
        names: "lenet5" (its first weights), "lenet5/mnist", or a YAML in place of a name.
        allow_unverified: see `fetch`.

    Returns:
        A row for each file that is here now, and a message for each that is not.

    Raises:
        InputError: there are no such weights; nothing is fetched then.
    """
    rows, problems = [], []
    for config, entry in [_named(name) for name in names]:
        try:
            fetched = fetch(entry.file_of(config.name), allow_unverified=allow_unverified)
        except InputError as error:
            problems.append(str(error))
            continue
        rows.append(
            {
                "weights": f"{config.name}/{entry.name}",
                "path": str(fetched.path),
                "bytes": fetched.path.stat().st_size,
                "sha256": fetched.sha256,
                "source": fetched.source,
                "verified": fetched.verified,
            }
        )
    return rows, problems


def verify(names: Sequence[str] = ()) -> list[Checked]:
    """Hash shipped and fetched files again: of these networks or weights, or all that there are."""
    files = []
    if not names:
        configs = [load_config(model) for model in list_models()]
        files = [entry.file_of(config.name) for config in configs for entry in config.weights]
    for name in names:
        config, wanted = configure(name)
        entries = [_entry(config, wanted)] if wanted else config.weights
        files += [entry.file_of(config.name) for entry in entries]
    return list(check_files(files, others=not names))


@dataclass(frozen=True)
class Checked:
    """The outcome for one file of `modelzoo verify`."""

    label: str
    path: Path
    place: Literal["package", "cache"]
    state: State

    @property
    def is_wrong(self) -> bool:
        """Whether the file is not what it should be, or is gone from the package."""
        return self.state == "damaged" or (self.place == "package" and self.state == "missing")


def check_files(files: Sequence[WeightsFile], others: bool = True) -> Iterator[Checked]:
    """Hash the shipped and the fetched ones of these files again, and what else was fetched.

    Args:
        files: the published ones.
        others: also the files in the cache that belong to none of them, by their records.
    """
    seen = set()
    for file in files:
        packaged, cached = packaged_path(file), cached_path(file)
        if packaged is not None:
            state = state_of(packaged, file.sha256, file.bytes)
            yield Checked(file.label, packaged, "package", state)
        seen.add(cached)
        if cached.exists():
            expected = file.sha256 or read_record(cached)
            yield Checked(file.label, cached, "cache", state_of(cached, expected, file.bytes))
    if others:
        folder = cache_folder() / "weights"
        fetched = (each for kind in ("h5", "pth") for each in folder.glob(f"*/*.{kind}"))
        for path in sorted(fetched):
            if path not in seen and not path.name.startswith("."):
                label = f"{path.parent.name}/{path.name}"
                yield Checked(label, path, "cache", state_of(path, read_record(path)))


def _named(name: str) -> tuple[Config, PublishedWeights]:
    config, wanted = configure(name)
    return config, _entry(config, wanted)


def _entry(config: Config, wanted: str | Path | None) -> PublishedWeights:
    names = [entry.name for entry in config.weights]
    if not names:
        raise InputError(f"{config.name}: no weights are published for it yet")
    if wanted and wanted not in names:
        raise InputError(f"{config.name} has no weights {wanted!r}{suggest(str(wanted), names)}")
    return config.weights[names.index(str(wanted)) if wanted else 0]


def _where(model: str, entry: PublishedWeights) -> str:
    """Say where the file is, without reading it."""
    file = entry.file_of(model)
    packaged = packaged_path(file)
    if packaged is not None and packaged.is_file():
        return "package"
    if cached_path(file).is_file():
        return "cache"
    return "not fetched, unverified" if entry.unverified else "not fetched"
