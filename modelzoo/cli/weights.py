"""`modelzoo list --weights`, `pull` and `verify`. Starts no framework."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from modelzoo.cli.printing import show, table_lines
from modelzoo.config import list_models, load_config
from modelzoo.config.published import WeightsFile
from modelzoo.support.environment import cache_folder
from modelzoo.support.errors import InputError, RunError
from modelzoo.support.files import read_record, state_of
from modelzoo.training.resolve import configure
from modelzoo.weights.store import cached_path, fetch, packaged_path

WORDS = {"good": "good", "damaged": "WRONG", "missing": "MISSING", "unknown": "no hash"}


def list_weights(options: argparse.Namespace) -> None:
    """Print the published weights of all networks, each with where its file is."""
    rows, shown = [], []
    for model in list_models():
        for entry in load_config(model).weights:
            where = _where(entry.file_of(model))
            where += ", unverified" if where == "not fetched" and entry.unverified else ""
            row = {"model": model, **msgspec.to_builtins(entry), "where": where}
            rows.append({key: value for key, value in row.items() if key != "golden"})
            size = f"{entry.bytes:,}" if entry.bytes else "?"
            scores = entry.scores
            label = f"{model}/{entry.name}"
            shown.append((label, scores.dataset, f"{scores.accuracy:.4f}", size, where))
    show(options, rows, table_lines(("WEIGHTS", "DATA SET", ">ACCURACY", ">BYTES", "WHERE"), shown))


def pull(options: argparse.Namespace) -> None:
    """Fetch published weights, each as far as it can be had; nothing if one has a wrong name."""
    wanted = [(name, _files_of(name)) for name in options.names]
    for name, files in wanted:
        if not files:
            raise InputError(f"{name}: no weights are published for it yet")
    rows, lines, problems = [], [], []
    for _, (file, *_) in wanted:
        try:
            fetched = fetch(file, allow_unverified=options.allow_unverified)
        except InputError as error:
            problems.append(str(error))
            continue
        rows.append(
            {
                "weights": file.label,
                "path": str(fetched.path),
                "bytes": fetched.path.stat().st_size,
                "sha256": fetched.sha256,
                "source": fetched.source,
                "verified": fetched.verified,
            }
        )
        source = f"(from {fetched.source}, SHA-256 {fetched.sha256})"
        lines.append(f"{file.label}: {fetched.path} {source}")
        if not fetched.verified:
            lines.append("  unverified: this hash was never published; the file is held to it now")
    show(options, {"files": rows}, lines)
    if problems:
        raise InputError("\n".join(problems))


def verify(options: argparse.Namespace) -> None:
    """Hash shipped and fetched files again: of these networks or weights, or all that there are."""
    rows: list[dict[str, Any]] = []

    def check(label: str, place: str, path: Path, sha256: str | None, size: int | None) -> None:
        state = state_of(path, sha256, size)
        wrong = state == "damaged" or (place, state) == ("package", "missing")
        row = {"weights": label, "place": place, "path": str(path), "state": state}
        rows.append({**row, "wrong": wrong})

    files = [file for name in options.names or list_models() for file in _files_of(name)]
    for file in files:
        packaged, cached = packaged_path(file), cached_path(file)
        if packaged is not None:
            check(file.label, "package", packaged, file.sha256, file.bytes)
        if cached.exists():
            check(file.label, "cache", cached, file.sha256 or read_record(cached), file.bytes)
    if not options.names:  # what else was fetched is held to its record
        known = {cached_path(file) for file in files}
        for path in sorted((cache_folder() / "weights").glob("*/[!.]*")):
            if path.suffix in (".h5", ".pth") and path not in known:
                check(f"{path.parent.name}/{path.name}", "cache", path, read_record(path), None)
    wrong = [row["weights"] for row in rows if row["wrong"]]
    lines = [f"{WORDS[row['state']]:12} {row['weights']} ({row['path']})" for row in rows]
    lines.append(f"{len(rows)} files, {len(wrong)} wrong")
    show(options, {"files": rows, "wrong": len(wrong)}, lines)
    if wrong:
        names = ", ".join(sorted(set(wrong)))
        raise RunError(f"{len(wrong)} of {len(rows)} files are not what they should be: {names}")


def _files_of(name: str) -> list[WeightsFile]:
    """Return the published files of a network, or the one of NAME/WEIGHTS."""
    config, wanted = configure(name)
    return [e.file_of(config.name) for e in config.weights if wanted in (None, e.name)]


def _where(file: WeightsFile) -> str:
    """Say where the file is, without reading it."""
    packaged = packaged_path(file)
    if packaged is not None and packaged.is_file():
        return "package"
    return "cache" if cached_path(file).is_file() else "not fetched"
