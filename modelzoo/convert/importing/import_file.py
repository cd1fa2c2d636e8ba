"""`modelzoo import`: a foreign file becomes a configuration and weights that run again."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict, replace

from modelzoo.api import evaluate
from modelzoo.config import Config, list_models, load_config
from modelzoo.config.published import SUFFIXES
from modelzoo.convert.importing.candidates import packaged_network
from modelzoo.convert.importing.description import FLAT_BY_PIXEL, read_network
from modelzoo.convert.importing.imported import Imported
from modelzoo.data.datasets import check_dataset_name, load_dataset, takes_image_options
from modelzoo.data.source import Dataset
from modelzoo.networks import Network
from modelzoo.networks.kinds import LocalResponseNormalization
from modelzoo.networks.network import as_specs
from modelzoo.support.errors import InputError, reason_of
from modelzoo.support.files import sha256_of, write_text
from modelzoo.support.terminal import on_one_line
from modelzoo.support.version import __version__
from modelzoo.training.device import start_framework
from modelzoo.training.prepare import build_network, fit_config_to_data
from modelzoo.training.resolve import Source, configure
from modelzoo.weights.reader import arrays_for, fill, in_pixel_order, save_weights
from modelzoo.weights.stored import read_stored

HEAD = "# Imported from "  # how a YAML of ours begins, which the next import may replace
# How people name the architecture beside weights: {} is the name of the weights.
ARCHITECTURE_NAMES = ("{}", "{}_architecture", "model", "model_architecture", "architecture")
MAX_ARCHITECTURE_BYTES = 4_000_000
MINUS_MEAN_OF_CAFFE = [-122.67891434, -116.66876762, -104.00698793]  # red, green, blue
TURNED = "kernels: from (outputs, inputs, height, width) to (height, width, inputs, outputs)"
TURNED_AROUND = "saved with Theano: the kernels of the convolutions are turned around"


def import_file(
    path: str | Path,
    *,
    out: str | Path = ".",
    dataset: str | None = None,
    model: str | Path | None = None,
    overrides: Sequence[str] = (),
    notify: Callable[[str], None] = print,
) -> Imported:
    """Turn a file of Keras, PyTorch or Caffe into OUT/NAME.yaml and OUT/NAME.weights.h5.

    The file is a `.h5` or `.keras` of Keras 2.0 to 3.x, a state dict (`.pth`, `.pt`,
    `.safetensors`), or a network of Caffe as `bvlc_alexnet.npy` holds it.

    What the file does not say is taken from `overrides` ("SECTION.KEY=VALUE"), then from the
    configuration that `model` names, or tried on validation images of `dataset`. On its test images
    the outcome is scored, once.

    Args:
        path: the file; nothing in it is executed or unpickled.
        out: the folder for what is written.
        dataset: a name, as for `load_dataset`.
        model: NAME, or the path of a YAML.
        overrides: "SECTION.KEY=VALUE", with VALUE in YAML.
        notify: called with each notice.

    Returns:
        What was found and written: `yaml`, `weights`, `config`, `equals` (the packaged network
        that computes the same, if any), `scores` and more; `summary()` has it as plain values.

    Raises:
        InputError: the file is damaged or holds something else, what it lacks cannot be found
            out, or files of other origin lie where the outcome would be written.

    Examples:
        >>> modelzoo.load("lenet5/mnist").save("old.h5")
        >>> found = modelzoo.import_file("old.h5", out="imported")
        >>> found.equals, found.yaml.name
        ('lenet5', 'old.yaml')
        >>> modelzoo.load(found.yaml, found.weights).count_params()
        44426
    """
    path, out = Path(path), Path(out)
    # What is wrong with the file is refused here, before a framework takes its seconds.
    stored = read_stored(path)
    suffix = next((each for each in (*SUFFIXES, ".npy") if path.name.endswith(each)), "")
    stem = path.name.removesuffix(suffix)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._") or "imported"
    yaml, weights = out / f"{name}.yaml", out / f"{name}.weights.h5"
    _check_targets(path, yaml, weights)
    if dataset is not None:
        check_dataset_name(dataset)
    published = packaged_network(stored)
    model = model or published
    known = dataset if model else None
    config, _ = configure(model or "lenet5", dataset=known, overrides=overrides)
    found = Imported(stored, model, overrides, yaml, weights, config)
    network = _described_network(found, notify)
    with start_framework(config.trainer.backend, "auto").scope():
        from modelzoo.convert.importing.search import fit_pixels, guess_network

        if dataset is not None:  # its images as they are; those of a folder at the network's size
            shape = network.input_shape if network else config.image_shape
            options = asdict(config.image) | {"image_shape": shape}
            options = options if takes_image_options(dataset) else {}
            found.data = load_dataset(dataset, notify=notify, **options)
        network = network or _network_of_config(found) or guess_network(found)
        network = _as_in_caffe(found, network) if stored.is_caffe else network
        found.config = dataclasses.replace(_config_for(found, network), name=name)
        packages = ((each, load_config(each).network) for each in list_models())
        equal = (each for each, other in packages if other and other.computes_like(network))
        found.equals = next(equal, None)
        of_caffe = stored.is_caffe and network.input_shape[2] == 3  # its pixels are Caffe's
        if found.data is None and not of_caffe:
            found.assumptions.append(
                f"data.preprocessing as in {model or _base_of(network)}; the file does not say how "
                "its pixels were scaled (--dataset tries it)"
            )
        if found.data is None:
            _write(found)
            return found
        found.config = fit_config_to_data(found.config, found.data, None)
        # A packaged network's own way of preparing images is published with its weights.
        if not (config.is_asked("data.preprocessing") or published or of_caffe):
            fit_pixels(found, network, found.data)
        _write(found)
        _score(found, found.data, notify)
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


def _described_network(found: Imported, notify: Callable[[str], None]) -> Network | None:
    """Return the network that the file describes, or the first architecture beside it that fits."""
    stored, path = found.stored, found.stored.path
    if not stored.layers:
        raise InputError(f"{path}: holds no weights")
    if stored.is_torch:
        found.rewritten += [TURNED, FLAT_BY_PIXEL]
    elif stored.backend == "theano":
        found.rewritten.append(TURNED_AROUND)
    if stored.config is not None:
        return _read(found, stored.config)
    if stored.is_torch or stored.is_caffe or found.model is not None:
        return None
    stem = re.sub(r"(\.weights)?\.\w+\Z", "", path.name)
    name = re.sub(r"(?i)[._-]?weights?([._-]?only)?\Z", "", stem)
    names = dict.fromkeys([stem, *(each.format(name) for each in ARCHITECTURE_NAMES)])
    for beside in (path.with_name(f"{each}.json") for each in names):
        if not beside.is_file():
            continue
        try:
            if beside.stat().st_size > MAX_ARCHITECTURE_BYTES:
                raise InputError(f"is larger than {MAX_ARCHITECTURE_BYTES:,} bytes")
            network = _read(found, beside.read_bytes())
        except (InputError, OSError) as error:
            reason = reason_of(error)
            notify(f"{beside}: is not used as the architecture of {path.name}: {reason}")
        else:
            found.assumptions.append(f"the network as {beside} describes it")
            return network
    return None


def _read(found: Imported, text: str | bytes) -> Network:
    """Return the network that a description in JSON gives, and note the arrays of its layers."""
    stored = found.stored
    try:
        network, others, notes = read_network(text, stored)
    except RecursionError:
        raise InputError(f"{stored.path}: model_config: is nested deep; no network is") from None
    except InputError as error:
        raise InputError(f"{stored.path}: {error}") from None
    arrays = arrays_for(network, dataclasses.replace(stored, layers=others))
    found.arrays = in_pixel_order(network, arrays) if FLAT_BY_PIXEL in notes else arrays
    found.rewritten += notes
    return network


def _network_of_config(found: Imported) -> Network | None:
    """Return the named configuration's own network for the file's arrays; None if none fits."""
    if found.model is None:
        return None
    config, stored = found.config, found.stored
    if stored.is_torch or stored.is_caffe:
        config = _with(config, {"model": {"num_classes": stored.layers[-1].shapes[-1][-1]}})
    network = config.network
    if network is None:
        raise InputError(f"{config.name}: its builder gives no description of a network")
    try:
        found.arrays = arrays_for(network, stored)
    except InputError:
        if stored.is_torch or stored.is_caffe or not hasattr(config.model, "pooling"):
            raise
        return None
    found.assumptions.append(
        f"activations, padding, pooling and input size as in {config.name}, whose arrays have the "
        "same shapes; the file does not say them"
    )
    return network


def _as_in_caffe(found: Imported, network: Network) -> Network:
    """Return a network that takes red, green and blue, and normalises responses as Caffe does.

    Caffe divides `alpha` by the number of maps, and `k` is 1 there.
    """
    kernel, *rest = found.arrays[0]
    if kernel.ndim == 4 and kernel.shape[2] == 3:
        found.arrays[0] = [kernel[:, :, ::-1], *rest]
        found.rewritten.append("the first kernel: from blue, green, red to red, green, blue")
        found.assumptions.append(
            "the mean of each colour as Caffe publishes it is subtracted from pixels of 0..255; "
            "classes are in the order of ILSVRC 2012"
        )
    layers = [
        replace(layer, k=1.0, alpha=layer.alpha / layer.n)
        if isinstance(layer, LocalResponseNormalization)
        else layer
        for layer in network.layers
    ]
    if layers != list(network.layers):
        found.rewritten.append("response normalisation: k = 1, alpha divided by n, as Caffe has it")
    return Network(network.name, network.input_shape, tuple(layers))


def _with_mean_of_caffe(config: Config) -> Config:
    """Return a configuration that takes Caffe's mean from pixels, unless it was told otherwise."""
    if config.is_asked("data.preprocessing") or config.model.input_shape[2] != 3:
        return config
    rest = [each for each in config.data.preprocessing if "CenterCrop" in str(each)]
    scaled = {"class_name": "Rescaling", "config": {"scale": 1.0, "offset": MINUS_MEAN_OF_CAFFE}}
    return _with(config, {"data": {"preprocessing": [*rest, scaled]}})


def _config_for(found: Imported, network: Network) -> Config:
    """Return a complete configuration: the network as it is, the rest as its base has it."""
    model, overrides = found.model, found.overrides
    dataset = found.data.name if found.data else None  # another, if the one asked for is not here
    if network.organizing_steps:  # its own builder says how it learns, a list of layers does not
        return configure(model, dataset=dataset, overrides=overrides)[0]
    colour = network.input_shape[2] > 1
    if dataset is None and model is None:
        dataset = "cifar10" if colour else "mnist"
    others = [text for text in overrides if not text.strip().startswith("model.")]
    config, _ = configure(model or _base_of(network), dataset=dataset, overrides=others)
    values: dict[str, Any] = {
        "model": {
            "builder": "sequential",
            "input_shape": list(network.input_shape),
            "num_classes": network.shapes[-1][0],
            "layers": as_specs(network.layers),
        }
    }
    if model is None and colour:
        values["image"] = {"fit": "cover", "ink": "as_is"}
    last = network.layers[-1]
    if (getattr(last, "activation", None) or last.kind.lower()) not in ("softmax", "sigmoid"):
        loss = {"class_name": "CategoricalCrossentropy", "config": {"from_logits": True}}
        values["compile"] = {"loss": loss}  # its outputs are no probabilities
    config = _with(config, values)
    return _with_mean_of_caffe(config) if found.stored.is_caffe else config


def _base_of(network: Network) -> str:
    """Return the packaged network whose recipe and data suit a network."""
    large = any(
        layer.kind == "BatchNormalization" or getattr(layer, "groups", 1) > 1
        for layer in network.layers
    )
    return "alexnet" if large else "lenet5"


def _with(config: Config, values: dict[str, Any]) -> Config:
    return config.with_values(values, "the import", asked=False)


def _write(found: Imported) -> None:
    network = build_network(found.config)
    fill(network, found.arrays)
    about = {
        "title": f"Imported from {on_one_line(found.stored.path.name)[:300]}",
        "year": None,
        "parameters": network.count_params(),
        "source": "",
        "paper": None,
        "deviations": [f"ours: {each}" for each in (*found.rewritten, *found.assumptions)],
    }
    found.config = _with(found.config, {"about": about})
    save_weights(network, found.weights)
    _write_yaml(found)


def _write_yaml(found: Imported) -> None:
    source = found.stored.path
    texts = [
        f"Imported from {source.name} ({found.origin}) by modelzoo {__version__}",
        f"SHA-256 of that file: {sha256_of(source)}",
        *found.commands,
        *([f"Warning: {found.warning}"] if found.warning else []),
        *found.facts(),
    ]
    lines: list[str] = []
    for text in (on_one_line(each)[:300] for each in texts):
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        lines += textwrap.wrap(text, 98, subsequent_indent=indent, break_on_hyphens=False)
    write_text(found.yaml, "".join(f"# {line}\n" for line in lines) + found.config.to_yaml())


def _score(found: Imported, data: Dataset, notify: Callable[[str], None]) -> None:
    from modelzoo.convert.importing.search import is_poor

    source = Source(found.config, found.weights, found.config.name)
    # The data set was opened before, with notices.
    found.scores = scores = evaluate(source, notify=lambda message: None).scores
    if is_poor(scores.accuracy, scores.labels):
        tried = "no usual way to prepare pixels fits"
        if not found.tried:
            tried = "its pixels are prepared as given"
        best = np.sort(scores.probabilities, axis=1)[:, -2:]
        if equal := int((best[:, 0] == best[:, -1]).sum()):
            tried += f", and on {equal:,} images several classes have the largest output"
        found.warning = (
            f"accuracy {scores.accuracy:.4f} on {data.name} is close to chance: {tried}. Was it "
            "trained on other data, or is the network another one (--model, --set model.KEY)?"
        )
        notify(found.warning)
