"""`modelzoo import`: a foreign file becomes a configuration and weights that run again."""

import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from modelzoo.convert.importing.candidates import packaged_network
from modelzoo.convert.importing.imported import Imported
from modelzoo.data.datasets import check_dataset_name
from modelzoo.support.errors import InputError
from modelzoo.support.files import sha256_of, write_text
from modelzoo.support.terminal import on_one_line
from modelzoo.support.version import __version__
from modelzoo.training.resolve import configure
from modelzoo.weights.hdf5 import check_signature
from modelzoo.weights.stored import read_stored

HEAD = "# Imported from "  # how a YAML of ours begins, which the next import may replace


def import_file(
    path: Path,
    *,
    out: Path = Path(),
    dataset: str | None = None,
    model: str | Path | None = None,
    overrides: Sequence[str] = (),
    notify: Callable[[str], None] = print,
) -> Imported:
    """Turn a foreign file into DIR/NAME.yaml and DIR/NAME.weights.h5.

    Args:
        path: a whole model or weights of Keras 2.0 to 3.x (`.h5`), or a state dict of PyTorch
            (`.pth`).
        out: the folder, made if it is missing.
        dataset: on whose validation images everything is tried that the file does not say, and on
            whose test images the outcome is scored, once.
        model: NAME, NAME/WEIGHTS, a YAML or the folder of a run: its configuration stands for what
            the file does not say.
        overrides: "SECTION.KEY=VALUE"; they win.
        notify: called with each notice.

    Raises:
        InputError: the file, the data set or the configuration cannot be used.
    """
    check_signature(path)
    stem = re.sub(r"(\.weights)?\.(h5|pth?)\Z", "", path.name)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._") or "imported"
    yaml, weights = out / f"{name}.yaml", out / f"{name}.weights.h5"
    _check_targets(path, yaml, weights)
    if dataset is not None:
        check_dataset_name(dataset)
    # What is wrong with the file is refused here, before a framework takes its seconds.
    stored = read_stored(path)
    model = model or packaged_network(stored)
    known = None if model is None else dataset
    config, _ = configure(model or "lenet5", dataset=known, overrides=overrides)
    found = Imported(stored, yaml, weights, config)
    found.read(beside=model is None, notify=notify)
    from modelzoo.training.device import start_framework

    device = start_framework(config.trainer.backend, "auto")
    with device.scope():
        from modelzoo.convert.importing.fitting import fit_file, score_once

        fit_file(found, model, dataset, overrides, notify)
        _write(found)
        if found.data is not None:
            score_once(found, found.data, notify)
            _write_yaml(found)
    return found


def _check_targets(path: Path, yaml: Path, weights: Path) -> None:
    """Refuse to replace what an import did not write."""
    if weights.exists() and weights.samefile(path):
        raise InputError(f"{path}: would be replaced by its own import; give another --out")
    ours = yaml.is_file() and yaml.read_bytes()[: len(HEAD)] == HEAD.encode()
    for target in (yaml, weights):
        if target.exists() and not ours:
            raise InputError(f"{target}: already exists; move it away, or give another --out")


def _write(found: Imported) -> None:
    from modelzoo.training.prepare import build_network
    from modelzoo.weights.reader import fill, save_weights

    network = build_network(found.config)
    fill(network, found.arrays)
    about = {
        "title": f"Imported from {on_one_line(found.stored.path.name)[:300]}",
        "year": None,
        "parameters": network.count_params(),
        "source": "",
    }
    found.config = found.config.with_values({"about": about}, "the import", asked=False)
    save_weights(network, found.weights)
    _write_yaml(found)


def _write_yaml(found: Imported) -> None:
    source = found.stored.path
    texts = [
        f"Imported from {source.name} ({found.origin}) by modelzoo {__version__}",
        f"SHA-256 of that file: {sha256_of(source)}",
        f"python -m evaluate --model {found.yaml} --weights {found.weights}",
        *([f"Warning: {found.warning}"] if found.warning else []),
        *found.facts(),
    ]
    lines: list[str] = []
    for text in (on_one_line(each)[:300] for each in texts):
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        lines += textwrap.wrap(text, 98, subsequent_indent=indent, break_on_hyphens=False)
    write_text(found.yaml, "".join(f"# {line}\n" for line in lines) + found.config.to_yaml())
