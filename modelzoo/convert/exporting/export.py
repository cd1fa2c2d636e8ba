"""Write a network as ONNX, TensorFlow SavedModel or LiteRT, and run the file before it counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from modelzoo.config import Config
from modelzoo.support.errors import InputError, RunError, reason_of, suggest
from modelzoo.support.files import is_there, staging
from modelzoo.support.requirements import check_installed
from modelzoo.training.resolve import Source, resolve
from modelzoo.version import __version__

if TYPE_CHECKING:
    import keras

Format = Literal["onnx", "saved_model", "litert"]
SUFFIXES = {"onnx": ".onnx", "saved_model": ".saved_model", "litert": ".tflite"}
PACKAGES = {  # what each needs beside TensorFlow, to be written and to be run
    "onnx": ("tf2onnx", "onnx", "onnxruntime"),
    "saved_model": (),
    "litert": ("ai_edge_litert",),
}


@dataclass(frozen=True)
class Exported:
    """A file that was written and that answers as the network does.

    Attributes:
        path: the file; of a SavedModel, its folder.
        format: "onnx", "saved_model" or "litert".
        bytes: its size.
        facts: what it says of itself: classes, source, licence, SHA-256 of the weights, and so on.
        pictures: what it was checked on, for people.
        images: their number.
        difference: the largest between its outputs and the network's; of scores, as a share of the
            largest score.
        same_answers: pictures of which both name the same class.
    """

    path: Path
    format: str
    bytes: int
    facts: dict[str, Any]
    pictures: str
    images: int
    difference: float
    same_answers: int


def export(
    model: str | Path | Config,
    weights: str | Path | None = None,
    *,
    format: Format = "onnx",
    out: str | Path = ".",
    scaled: bool = False,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Exported:
    """Write a network with its weights as a file that needs neither modelzoo nor Keras.

    The file takes a batch of any size of pictures as they are stored, (batch, height, width,
    channels), float32 in 0..255, scales them itself, and gives probabilities, or the scores of a
    network without softmax. It is run on 100 pictures before it is moved into place.

    Args:
        model: a packaged name, a path to a YAML, the folder of a run, or a configuration.
        weights: as for `modelzoo.load`.
        format: "onnx", "saved_model" (a folder) or "litert" (a .tflite, with a .json beside it for
            the facts that the other two hold inside).
        out: the folder for it; its name says network and weights.
        scaled: it takes what `modelzoo.preprocess` returns in place of pictures as they are stored.
        sha256: of a custom file.
        allow_unverified: take weights whose SHA-256 is not published.

    Raises:
        InputError: model, weights or folder cannot be used, a file of that name already exists,
            or a package is missing.
        RunError: the network has something that the format has not, or the file's outputs differ
            from the network's by more than 1e-4; nothing is left then.

    Example:
        >>> modelzoo.export("lenet5", "mnist", format="onnx").path
        PosixPath('lenet5-mnist.onnx')
    """
    check_format(format)
    source = resolve(model, weights, sha256=sha256, allow_unverified=allow_unverified)
    stem = f"{_stem(source)}{'-scaled' if scaled else ''}"
    target = Path(out) / f"{stem}{SUFFIXES[format]}"
    if is_there(Path(out)) and not Path(out).is_dir():
        raise InputError(f"{out}: is a file; choose another --out")
    if is_there(target):
        raise InputError(f"{target}: already exists; move it away, or give another --out")

    from modelzoo.training.device import start_framework

    start_framework("tensorflow", "cpu")  # all three begin as TensorFlow's graph
    # Files hold float32 in any case: the network that they are compared with does, too.
    float32 = {"trainer": {"precision": "float32"}}
    config = source.config.with_values(float32, "export")
    network = replace(source, config=config).build()
    return export_network(config, network, target, format, _origin(source), scaled=scaled)


def export_network(
    config: Config,
    network: keras.Model,
    target: Path,
    format: Format,
    origin: dict[str, Any],
    *,
    scaled: bool = False,
) -> Exported:
    """Write a network that has its weights to `target`, and check it; see `export`.

    Args:
        config: the network's configuration.
        network: in float32.
        target: the file, or the folder of a SavedModel.
        format: as for `export`.
        origin: what the file shall say of where its weights come from.
        scaled: as for `export`.
    """
    from modelzoo.convert.exporting import check, writers
    from modelzoo.training.evaluation import are_probabilities

    where, pictures = check.find_pictures(config)
    images = check.as_input(config, pictures, scaled=scaled)
    wrapped = writers.with_named_input(config, network, scaled=scaled)
    expected = np.asarray(wrapped.predict(images, batch_size=32, verbose=0), "float32")
    output = "probabilities" if are_probabilities(expected) else "scores"
    facts = _facts(config, wrapped, output, scaled=scaled) | origin
    with staging(target.parent) as folder:
        staged = folder / target.name
        try:
            writers.WRITERS[format](wrapped, output, staged, facts)
            found = check.RUNNERS[format](staged, wrapped.input.name, output, images)
        except Exception as error:  # each converter and each runtime has its own kinds
            raise RunError(f"{config.name}: cannot become {format}: {reason_of(error)}") from error
        difference = check.largest_difference(found, expected, output)
        if not difference <= check.TOLERANCE:  # also NaN
            raise RunError(
                f"{config.name}: the {format} file answers otherwise than the network: {output} "
                f"differ by {difference:.2g} on {where}, more than {check.TOLERANCE}; "
                "nothing was written"
            )
        size = sum(each.stat().st_size for each in (staged, *staged.rglob("*")) if each.is_file())
    same = int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
    return Exported(target, format, size, facts, where, len(images), difference, same)


def check_format(format: str) -> None:
    """Refuse a format that there is not, or whose packages are not installed."""
    if format not in get_args(Format):
        raise InputError(f"there is no format {format!r}{suggest(str(format), get_args(Format))}")
    check_installed(f"the format {format}", *PACKAGES[format])


def _stem(source: Source) -> str:
    """Return the name without suffix: lenet5-mnist, or that of the run."""
    if source.published is not None:
        return f"{source.config.name}-{source.published.name}"
    if source.weights.name == "best.weights.h5":
        return source.weights.resolve().parent.name
    return f"{source.config.name}-{source.weights.name.partition('.')[0]}"


def _origin(source: Source) -> dict[str, Any]:
    from modelzoo.support.hashes import sha256_of

    origin: dict[str, Any] = {"weights_sha256": sha256_of(source.weights)}
    published = source.published
    if published is None:
        return {"weights": source.weights.name, **origin}
    scores = {"dataset": published.scores.dataset, "accuracy": published.scores.accuracy}
    return {"weights": published.name, **origin, "licence": published.licence, **scores}


def _facts(config: Config, wrapped: keras.Model, output: str, *, scaled: bool) -> dict[str, Any]:
    import keras

    from modelzoo.api import class_names

    values = "as modelzoo.preprocess returns them" if scaled else "0 to 255"
    channels = {1: "grey", 3: "RGB"}.get(wrapped.input_shape[-1], "")
    return {
        "model": config.name,
        "title": config.about.title,
        "source": config.about.source,
        "input": f"{wrapped.input.name}: float32 (batch, height, width, channels), {values}",
        "input_shape": [None, *wrapped.input_shape[1:]],
        "channels": channels,
        "output": f"{output}: float32 (batch, classes); the largest is the answer",
        "classes": class_names(config),
        "made_with": f"modelzoo {__version__}, Keras {keras.__version__}",
    }
