"""What `modelzoo draw`, `features` and `filters` do, and `plot` with several runs."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import asdict

from modelzoo import charts
from modelzoo.api import class_names, describe, preprocess
from modelzoo.charts.arithmetic import RISING
from modelzoo.charts.canvas import image_of
from modelzoo.cli.options import chosen_config, chosen_source
from modelzoo.cli.printing import show
from modelzoo.data.filters import apply_filter, find_filter, find_filters, read_photograph
from modelzoo.data.images import read_image
from modelzoo.support.errors import InputError, RunError, suggest
from modelzoo.support.files import replacing
from modelzoo.support.terminal import say
from modelzoo.training.run_folder import RunFolder

if TYPE_CHECKING:
    import keras

    from modelzoo.charts import Chart
    from modelzoo.config import Config
    from modelzoo.training.resolve import Source

NETWORK = ("model", "config", "dataset", "weights", "set")  # options that describe a network
OF_A_NETWORK = ("architecture", "kernels")
OF_ONE_KIND = {"layer": "kernels", "filter": "convolution"}


def draw(options: argparse.Namespace) -> None:
    """Draw something that needs no image; `options.what` says what."""
    what = options.what
    given = [option for option in NETWORK if getattr(options, option)]
    if what in OF_A_NETWORK and options.model is None:
        raise InputError(f"draw {what}: of which network? Give its NAME")
    if what not in OF_A_NETWORK and given:
        raise InputError(f"draw {what}: needs no network; leave {given[0]} out")
    for option, kind in OF_ONE_KIND.items():
        if what != kind and getattr(options, option) is not None:
            raise InputError(f"draw {what}: --{option} is for {kind}")
    if what == "activations":
        chart, stem = charts.activations(), what
    elif what == "convolution":
        kernel = RISING if options.filter is None else find_filter(options.filter).rows
        chart = charts.convolution_steps(kernel=kernel, slider=options.format == "html")
        stem = "-".join(filter(None, (what, options.filter)))
    elif what == "architecture":
        config, _ = chosen_config(options)
        chart, stem = charts.architecture(describe(config), config.name), f"{config.name}-{what}"
    else:
        source = chosen_source(options)
        label = source.config.name
        name, kernels = _kernels_of(_start(source, "cpu"), label, options.layer)
        chart = charts.kernels(kernels, f"{label}: kernels of {name}")
        stem = f"{label}-{_in_a_file_name(name)}-kernels"
    say(_save(chart, options, stem))


def features(options: argparse.Namespace) -> None:
    """Draw the feature maps of each layer for an image, and the pixels behind the prediction."""
    source = chosen_source(options)
    config = source.config
    read = read_image(options.image, config.image_shape, **asdict(config.image))
    summary: dict[str, Any] = {
        "model": config.name,
        "weights": source.name,
        "image": str(options.image),
        "notes": list(read.notes),
        "problem": read.problem or None,
    }
    if read.problem:  # what a network makes of nothing is no prediction
        show(options, summary | {"classes": [], "layers": [], "files": []}, ())
        raise RunError(f"{options.image}: {read.problem}")
    network = _start(source, options.device)
    seen, outputs, saliency = _see(config, network, read.pixels, options.layer)
    from modelzoo.training.evaluation import is_uncertain, unit_of

    unit, kinds = unit_of(outputs[np.newaxis]), {x.name: type(x).__name__ for x in network.layers}
    uncertain = is_uncertain(map(float, outputs), unit)
    in_order = list(zip(class_names(config), map(float, outputs), strict=True))
    ranked = [in_order[index] for index in np.argsort(-outputs, kind="stable")]
    name, value = ranked[0]
    best = f"{name} ({value:.1%})" if unit == "probability" else f"{name} (score {value:.3g})"
    answer = in_order if len(in_order) <= 10 else ranked  # few stand where one looks for them
    figure = charts.feature_maps(
        read.pixels, seen, answer, name=config.name, unit=unit, kinds=kinds
    )
    stem = f"{config.name}-{_in_a_file_name(Path(options.image).stem)}"
    files = [
        _save(figure, options, f"{stem}-features"),
        _save(charts.saliency(read.pixels, saliency, best), options, f"{stem}-saliency"),
    ]
    if options.npz:
        files.append(Path(options.out) / f"{stem}-features.npz")
        arrays = {"picture": read.pixels, "saliency": saliency, **seen}
        with replacing(files[-1]) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    summary |= {
        "classes": [{"name": name, unit: value} for name, value in ranked[:10]],
        "uncertain": uncertain,
        "layers": [_layer_row(name, kinds[name], values) for name, values in seen.items()],
        "files": [str(path) for path in files],
    }
    found = f"{options.image}: {best}{' (uncertain)' if uncertain else ''}"
    show(options, summary, [found, *(f"  {note}" for note in read.notes), *files])


def filters(options: argparse.Namespace) -> None:
    """Apply hand-made kernels to a photograph: a figure of all, and an image of each."""
    names = find_filters(options.filter or ())
    pixels, notes = read_photograph(options.image, grey=options.grey)
    done = [apply_filter(pixels, name) for name in names]
    path = Path(options.image)
    stem = _in_a_file_name(path.stem)
    figure = _save(charts.filtered_pictures(done, path.name), options, f"{stem}-filters")
    rows: list[dict[str, Any]] = []
    lines: list[object] = [*(f"{options.image}: {note}" for note in notes), figure]
    for each in done:
        target = Path(options.out) / f"{stem}-{each.name}.png"
        with replacing(target) as temporary:
            image_of(each.pixels).save(temporary)
        rows.append({"name": each.name, "file": str(target), "clipped": each.clipped})
        cut = f" ({each.clipped:.1%} of the values cut off at 0 or 255)" if each.clipped else ""
        lines.append(f"{target}{cut}")
    summary = {
        "image": str(options.image),
        "size": [pixels.shape[1], pixels.shape[0]],
        "notes": list(notes),
        "figure": str(figure),
        "filters": rows,
    }
    show(options, summary, lines)


def plot_together(runs: Sequence[str], suffix: str, out: str | None) -> Path:
    """Draw the curves of several runs in one chart; each needs no more than its history.csv."""
    paths = [Path(run).resolve() for run in runs]
    if len(set(paths)) < len(paths):
        raise InputError("plot: a run is named twice")
    histories = {
        name: RunFolder(run).read_history()
        for run, name in zip(runs, _short_names(paths), strict=True)
    }
    return charts.save(charts.compare_runs(histories), Path(out or ".") / f"comparison.{suffix}")


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return the folders' names, with as many of those above as tell them apart."""
    if len({path.name for path in paths}) == len(paths):
        return [path.name for path in paths]
    above = os.path.commonpath(paths)
    return [path.relative_to(above).as_posix() for path in paths]


def _start(source: Source, device: str) -> keras.Model:
    """Start the framework, build the network and load its weights."""
    from modelzoo.training.device import start_framework

    with start_framework(source.config.trainer.backend, device).scope():
        return source.build()


def _kernels_of(network: keras.Model, label: str, name: str | None) -> tuple[str, np.ndarray]:
    """Return the name and the kernels of a layer, by default of the first that has some."""
    found = {}
    for layer in network.layers:
        with contextlib.suppress(InputError):
            found[layer.name] = charts.kernel_of(layer)
    if not found:
        raise InputError(f"{label}: has no layer with convolution kernels")
    if name is not None and name not in found:
        raise InputError(
            f"--layer {name}: {label} has no convolution kernels there{suggest(name, list(found))}"
        )
    chosen = name or next(iter(found))
    return chosen, found[chosen]


def _see(
    config: Config, network: keras.Model, pixels: np.ndarray, layers: Sequence[str] | None
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return what the layers put out for one image, the answer, and its saliency."""
    from modelzoo.analysis import explain

    last = network.layers[-1]
    inner = [each for each in explain.changing_layers(network) if each is not last]
    chosen = layers or [each.name for each in inner]
    pictures = pixels[np.newaxis]
    found = explain.features(network, preprocess(config, pictures), [*chosen, last.name])
    outputs = found[last.name]
    by_pictures = explain.on_pictures(explain.before_softmax(network), config)
    moved = explain.saliency(by_pictures, pictures.astype("float32"), outputs.argmax(axis=1))
    return {name: found[name][0] for name in chosen}, outputs[0], moved[0]


def _layer_row(name: str, kind: str, values: np.ndarray) -> dict[str, Any]:
    least, largest = float(values.min()), float(values.max())
    shape = list(values.shape)
    return {"name": name, "type": kind, "shape": shape, "least": least, "largest": largest}


def _save(chart: Chart, options: argparse.Namespace, stem: str) -> Path:
    return charts.save(chart, Path(options.out) / f"{stem}.{options.format}")


def _in_a_file_name(text: str) -> str:
    """Return text with nothing in it that a file name cannot have, on any system."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)
    return kept[:80] or "picture"
