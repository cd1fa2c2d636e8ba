"""`modelzoo import`: a foreign file becomes a configuration and weights that run again."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from modelzoo.config import load_config
from modelzoo.errors import InputError
from modelzoo.files import write_text
from modelzoo.importing.description import read_description
from modelzoo.importing.imported import Imported
from modelzoo.importing.recognise import Plan, recognise
from modelzoo.importing.steps import make_steps
from modelzoo.terminal import on_one_line
from modelzoo.version import __version__
from modelzoo.weights.hdf5 import CheckedFile, check_signature, open_checked
from modelzoo.weights.layouts import Stored, find_layers
from modelzoo.weights.registry import TORCH_SUFFIXES
from modelzoo.weights.state_dict import open_state_dict

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
        model: a configuration that stands for what the file does not say.
        overrides: "SECTION.KEY=VALUE"; they win.
        notify: called with each notice.

    Raises:
        InputError: the file, the data set or the configuration cannot be used.
    """
    check_signature(path)
    stem = re.sub(r"(\.weights)?\.(h5|pth?)\Z", "", path.name)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem)
    name = name.strip("-._") or "imported"
    yaml, weights = out / f"{name}.yaml", out / f"{name}.weights.h5"
    _check_targets(path, yaml, weights)
    given = None if model is None else load_config(model, dataset=dataset, overrides=overrides)
    if dataset is not None:
        from modelzoo.data.datasets import check_dataset_name

        check_dataset_name(dataset)
    looked_at = _look_at(path)
    from modelzoo.training.device import start_framework

    device = start_framework(given["trainer"]["backend"] if given else "tensorflow", "auto")
    with device.scope():
        if looked_at is None:
            from modelzoo.importing.fit_state_dict import fit_state_dict

            found = fit_state_dict(path, given, dataset, overrides, name, notify)
        else:
            from modelzoo.importing.fitting import fit_file

            found = fit_file(*looked_at, given, dataset, overrides, model, name, notify)
        _write(found, path, yaml, weights)
    return found


def _look_at(path: Path) -> tuple[CheckedFile, Stored, Plan | None] | None:
    """Return what an `.h5` file says; None for a state dict, which describes no network.

    What is wrong with the file is refused here, before a framework takes its seconds.
    """
    if path.suffix in TORCH_SUFFIXES:
        with open_state_dict(path):
            return None
    with open_checked(path) as checked:
        stored = find_layers(checked)
        if not stored.layers:
            raise InputError(f"{path}: holds no weights")
        return checked, stored, _described(checked, stored)


def _described(checked: CheckedFile, stored: Stored) -> Plan | None:
    """Return the plan of a file that describes its network; None if it holds weights only."""
    if stored.config is None:
        return None
    layers, shape = read_description(stored.config, checked.path)
    notes: list[str] = []
    steps, picture = make_steps(layers, shape, checked, stored, notes)
    plan = recognise(steps, picture, checked.path)
    plan.notes[:0] = notes
    if stored.backend == "theano":
        plan.notes.append("saved with Theano: the kernels of the convolutions are turned around")
    return plan


def _check_targets(path: Path, yaml: Path, weights: Path) -> None:
    """Refuse to replace what an import did not write."""
    if weights.exists() and weights.samefile(path):
        raise InputError(f"{path}: would be replaced by its own import; give another --out")
    if yaml.is_dir() or weights.is_dir():
        raise InputError(f"{yaml.parent}: holds a folder of that name; give another --out")
    ours = yaml.exists() and yaml.read_bytes()[: len(HEAD)] == HEAD.encode()
    for target in (yaml, weights):
        if target.exists() and not ours:
            raise InputError(f"{target}: is there already; move it away, or give another --out")


def _write(found: Imported, source: Path, yaml: Path, weights: Path) -> None:
    from modelzoo.training.prepare import build_network
    from modelzoo.weights.reader import assign_arrays
    from modelzoo.weights.writer import save_weights

    network = build_network(found.config)
    assign_arrays(network, found.plan.arrays, str(source))
    about = {
        "title": f"Imported from {on_one_line(source.name)[:300]}",
        "year": None,
        "parameters": network.count_params(),
        "source": "",
    }
    named = found.config.with_values({"about": about}, "the import", found=True)
    found.config = dataclasses.replace(named, name=found.config.name)
    found.yaml, found.weights = yaml, weights
    save_weights(network, weights)
    head = "".join(f"{line}\n" for line in _head(found, source))
    write_text(yaml, head + found.config.to_yaml())


def _head(found: Imported, source: Path) -> list[str]:
    digest = hashlib.sha256()
    with source.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    version = f", Keras {found.version}" if found.version else ""
    texts = [
        f"Imported from {source.name} ({found.layout}{version}) by modelzoo {__version__}",
        f"SHA-256 of that file: {digest.hexdigest()}",
        f"python -m evaluate --model {found.yaml} --weights {found.weights}",
    ]
    if found.scores:
        scores = found.scores
        texts.append(
            f"Test accuracy {scores.accuracy:.4f}, loss {scores.loss:.4f} on the "
            f"{len(scores.labels):,} test images of {found.dataset}, scored once."
        )
    if found.note:
        texts.append(f"Note: {found.note}")
    if found.tried:
        best = found.tried[0]
        texts.append(
            f"Tried on {best['images']:,} training images of {found.dataset} set aside; accuracy:"
        )
        texts += [f"  {each['accuracy']:.4f}  {each['label']}" for each in found.tried[:6]]
    texts += [f"Assumed: {each}" for each in found.assumptions]
    texts += [f"Rewritten: {each}" for each in found.plan.notes]
    lines = []
    for text in (on_one_line(each)[:300] for each in texts):
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        lines += textwrap.wrap(text, 98, subsequent_indent=indent, break_on_hyphens=False)
    return [f"# {line}" for line in lines]
