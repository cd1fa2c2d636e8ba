"""What `modelzoo draw`, `features` and `filters` do, and `plot` with several runs."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import asdict

from modelzoo.errors import InputError, RunError, suggest
from modelzoo.files import replacing
from modelzoo.terminal import say

if TYPE_CHECKING:
    import keras

    from modelzoo.charts import Chart
    from modelzoo.config import Config
    from modelzoo.resolve import Source

# They pass values on as they are, or in another shape, once a network is trained.
UNCHANGED = ("Flatten", "Dropout")


def draw(options: argparse.Namespace) -> None:
    """Draw something that needs no picture; `options.what` says what."""
    of_a_network = options.what in ("architecture", "kernels")
    if of_a_network and options.model is None:
        raise InputError(f"draw {options.what}: of which network? Give its NAME")
    if not of_a_network:
        for given in ("model", "config", "dataset", "weights", "set"):
            if getattr(options, given):
                raise InputError(f"draw {options.what}: needs no network; leave {given} out")
    if options.what != "kernels" and options.layer is not None:
        raise InputError(f"draw {options.what}: --layer is for kernels")
    if options.what != "convolution" and options.filter is not None:
        raise InputError(f"draw {options.what}: --filter is for convolution")
    chart, stem = DRAWINGS[options.what](options)
    say(_save(chart, options.out, stem, options.format))


def _draw_activations(options: argparse.Namespace) -> tuple[Chart, str]:
    from modelzoo import charts

    return charts.activations(), "activations"


def _draw_convolution(options: argparse.Namespace) -> tuple[Chart, str]:
    from modelzoo import charts

    slider = options.format == "html"
    if options.filter is None:
        return charts.convolution_steps(slider=slider), "convolution"
    from modelzoo.filters import find_filter

    kernel = find_filter(options.filter).rows
    chart = charts.convolution_steps(kernel=kernel, slider=slider)
    return chart, f"convolution-{options.filter}"


def _draw_architecture(options: argparse.Namespace) -> tuple[Chart, str]:
    from modelzoo import charts
    from modelzoo.api import describe
    from modelzoo.options import chosen_config

    config, _ = chosen_config(options)
    chart = charts.architecture(describe(config), config.name)
    return chart, f"{config.name}-architecture"


def _draw_kernels(options: argparse.Namespace) -> tuple[Chart, str]:
    from modelzoo import charts
    from modelzoo.options import chosen_source

    source = chosen_source(options)
    label = source.config.name
    name, kernels = _kernels_of(_start(source, "cpu"), label, options.layer)
    chart = charts.kernels(kernels, f"{label}: kernels of {name}")
    return chart, f"{label}-{_in_a_file_name(name)}-kernels"


DRAWINGS = {
    "activations": _draw_activations,
    "convolution": _draw_convolution,
    "architecture": _draw_architecture,
    "kernels": _draw_kernels,
}


def features(options: argparse.Namespace) -> None:
    """Draw what each layer of a network makes of a picture, and the pixels its answer hangs on."""
    from modelzoo import charts
    from modelzoo.api import class_names
    from modelzoo.data.images import read_image
    from modelzoo.options import chosen_source

    source = chosen_source(options)
    config = source.config
    read = read_image(options.image, source.image_shape, **asdict(config.image))
    summary: dict[str, Any] = {
        "model": config.name,
        "weights": source.name,
        "image": str(options.image),
        "notes": list(read.notes),
        "problem": read.problem or None,
    }
    if read.problem:  # what a network makes of nothing is no prediction
        if options.json:
            print(json.dumps(summary | {"classes": [], "layers": [], "files": []}))
        raise RunError(f"{options.image}: {read.problem}")
    network = _start(source, options.device)
    seen = _see(config, network, read.pixels, options.layer)
    names = class_names(config)
    order = np.argsort(-seen["outputs"], kind="stable")
    ranked = [(names[index], float(seen["outputs"][index])) for index in order]
    in_order = [(name, float(value)) for name, value in zip(names, seen["outputs"], strict=True)]
    few = len(names) <= 10  # these stand where one looks for them, more by their value
    figure = charts.feature_maps(
        read.pixels,
        seen["features"],
        in_order if few else ranked,
        name=config.name,
        unit=seen["unit"],
        kinds=seen["kinds"],
    )
    best = f"{ranked[0][0]} ({_said(ranked[0][1], seen['unit'])})"
    stem = f"{config.name}-{_in_a_file_name(Path(options.image).stem)}"
    saliency = charts.saliency(read.pixels, seen["saliency"], best)
    files = [
        _save(figure, options.out, f"{stem}-features", options.format),
        _save(saliency, options.out, f"{stem}-saliency", options.format),
    ]
    if options.npz:
        arrays = {"picture": read.pixels, "saliency": seen["saliency"], **seen["features"]}
        files.append(_save_arrays(Path(options.out) / f"{stem}-features.npz", arrays))
    if options.json:
        summary |= {
            "classes": [{"name": name, seen["unit"]: value} for name, value in ranked[:10]],
            "uncertain": seen["uncertain"],
            "layers": _summary(seen),
            "files": [str(path) for path in files],
        }
        print(json.dumps(summary))
        return
    say(f"{options.image}: {best}{' (uncertain)' if seen['uncertain'] else ''}")
    for line in (*(f"  {note}" for note in read.notes), *files):
        say(line)


def filters(options: argparse.Namespace) -> None:
    """Apply hand-made kernels to a photograph: a figure of all, and a picture of each."""
    from PIL import Image

    from modelzoo import charts
    from modelzoo.filters import apply_filter, find_filters, read_photograph

    names = find_filters(options.filter or ())
    pixels, notes = read_photograph(options.image, grey=options.grey)
    done = [apply_filter(pixels, name) for name in names]
    path = Path(options.image)
    stem = _in_a_file_name(path.stem)
    figure = charts.filtered_pictures(done, path.name)
    files = {"figure": _save(figure, options.out, f"{stem}-filters", options.format)}
    for each in done:
        target = Path(options.out) / f"{stem}-{each.name}.png"
        with replacing(target) as temporary:
            grey = each.pixels.shape[2] == 1
            Image.fromarray(each.pixels[..., 0] if grey else each.pixels).save(temporary)
        files[each.name] = target
    if options.json:
        rows = [
            {"name": each.name, "file": str(files[each.name]), "clipped": each.clipped}
            for each in done
        ]
        summary = {
            "image": str(options.image),
            "size": [pixels.shape[1], pixels.shape[0]],
            "notes": list(notes),
            "figure": str(files["figure"]),
            "filters": rows,
        }
        print(json.dumps(summary))
        return
    for note in notes:
        say(f"{options.image}: {note}")
    say(files["figure"])
    for each in done:
        cut = f" ({each.clipped:.1%} of the values cut off at 0 or 255)" if each.clipped else ""
        say(f"{files[each.name]}{cut}")


def plot_together(runs: Sequence[str], suffix: str, out: str | None) -> Path:
    """Draw the curves of several runs in one chart; each needs no more than its history.csv.

    Args:
        runs: folders.
        suffix: "png", "svg", "html" or "json".
        out: folder for `comparison.<suffix>`; the current one if None.

    Returns:
        The path of the file.

    Raises:
        InputError: a folder is named twice or holds no history, or there are too many.
    """
    from modelzoo import charts
    from modelzoo.training.run_folder import RunFolder

    paths = [Path(run).resolve() for run in runs]
    if len(set(paths)) < len(paths):
        raise InputError("plot: a run is named twice")
    histories = {
        name: RunFolder(run).read_history()
        for run, name in zip(runs, _short_names(paths), strict=True)
    }
    return _save(charts.compare_runs(histories), out or ".", "comparison", suffix)


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
    from modelzoo.charts import kernel_of

    found = {}
    for layer in network.layers:
        try:
            found[layer.name] = kernel_of(layer)
        except InputError:
            continue
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
) -> dict[str, Any]:
    """Return what the layers put out for one picture, the answer, and its saliency."""
    from modelzoo import explain
    from modelzoo.api import preprocess
    from modelzoo.training.evaluation import is_uncertain, unit_of

    known = network.layers[1:]
    kinds = {layer.name: type(layer).__name__ for layer in known}
    last = known[-1].name
    chosen = layers or [n for n in kinds if kinds[n] not in UNCHANGED and n != last]
    found = explain.features(network, preprocess(config, pixels[np.newaxis]), [*chosen, last])
    outputs = found[last]
    by_pictures = explain.on_pictures(explain.before_softmax(network), config)
    followed = outputs.argmax(axis=1)
    moved = explain.saliency(by_pictures, pixels[np.newaxis].astype("float32"), followed)
    return {
        "features": {name: found[name][0] for name in chosen},
        "outputs": outputs[0],
        "unit": unit_of(outputs),
        "uncertain": is_uncertain(map(float, outputs[0]), unit_of(outputs)),
        "kinds": kinds,
        "saliency": moved[0],
    }


def _summary(seen: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": seen["kinds"][name],
            "shape": list(values.shape),
            "least": float(values.min()),
            "largest": float(values.max()),
        }
        for name, values in seen["features"].items()
    ]


def _said(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit == "probability" else f"score {value:.3g}"


def _save(chart: Chart, out: str, stem: str, suffix: str) -> Path:
    from modelzoo import charts

    return charts.save(chart, Path(out) / f"{stem}.{suffix}")


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    return path


def _in_a_file_name(text: str) -> str:
    """Return text with nothing in it that a file name cannot have, on any system."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)
    return kept[:80] or "picture"
