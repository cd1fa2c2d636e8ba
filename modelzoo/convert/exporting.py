"""Write a network as ONNX, TensorFlow SavedModel or LiteRT, and run the file before it counts."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from msgspec.structs import asdict

from modelzoo.config import Config
from modelzoo.data.datasets import load_dataset
from modelzoo.data.known_sets import class_names
from modelzoo.support.environment import check_installed, without_network
from modelzoo.support.errors import InputError, RunError, reason_of, suggest
from modelzoo.support.files import is_there, sha256_of, staging, write_text
from modelzoo.support.version import __version__
from modelzoo.training.device import quiet_stderr, start_framework
from modelzoo.training.resolve import Source, resolve

if TYPE_CHECKING:
    import keras

IMAGES = 100
Facts = dict[str, Any]
TOLERANCE = 1e-4  # of a probability; of a score, as a share of the largest


@dataclass(frozen=True)
class Exported:
    """A file that was written and that answers as the network does."""

    path: Path  # of a SavedModel, its folder
    format: str
    bytes: int
    facts: Facts  # what it says of itself: classes, source, licence, SHA-256 …
    pictures: str  # what it was checked on, in words
    images: int  # their number
    difference: float  # the largest; of scores, as a share of the largest score
    same_answers: int  # images of which both name the same class


def export(
    model: str | Path | Config,
    weights: str | Path | None = None,
    *,
    format: Literal["onnx", "saved_model", "litert", "html"] = "onnx",
    out: str | Path = ".",
    scaled: bool = False,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Exported:
    """Write a network with its weights as a file that needs neither modelzoo nor Keras.

    The file takes a batch of any size of images as they are stored, (batch, height, width,
    channels), float32 in 0..255, scales them itself, and gives probabilities, or the scores of a
    network without softmax. It is run on 100 images before it is moved into place.

    Args:
        model: a packaged name, a path to a YAML, the folder of a run, or a configuration.
        weights: as for `modelzoo.load`.
        format: "onnx", "saved_model" (a folder) or "litert" (a .tflite, with a .json beside it for
            the facts that the other two hold inside); or "html", the drawing page, which is not
            run: it takes drawings and image files, and has no `facts`.
        out: the folder for it; its name says network and weights. A page may be named itself.
        scaled: it takes what `modelzoo.preprocess` returns in place of images as they are stored.
        sha256: of a custom file.
        allow_unverified: take weights whose SHA-256 is not published.

    Raises:
        InputError: model, weights or folder cannot be used, a file of that name already exists,
            or a package is missing.
        RunError: the network has something that the format has not, or the file's outputs differ
            from the network's by more than 1e-4; nothing is left then.

    Examples:
        >>> done = modelzoo.export("lenet5", "mnist", format="html")
        >>> done.path.name
        'lenet5-mnist.html'
    """
    formats = [*FORMATS, "html"]
    if format not in formats:
        raise InputError(f"there is no format {format!r}{suggest(str(format), formats)}")
    is_page = format == "html"
    if is_page and scaled:
        raise InputError("--scaled: a page takes drawings and image files, and scales them itself")
    if not is_page:
        check_installed(f"the format {format}", *FORMATS[format].packages)
    source = resolve(model, weights, sha256=sha256, allow_unverified=allow_unverified)
    published, file = source.published, source.weights
    stem = f"{source.config.name}-{published.name if published else file.name.partition('.')[0]}"
    if not published and file.name == "best.weights.h5":
        stem = file.resolve().parent.name  # of the run
    suffix = ".html" if is_page else FORMATS[format].suffix
    target = Path(out) / f"{stem}{'-scaled' if scaled else ''}{suffix}"
    if is_page and Path(out).suffix == ".html":
        target = Path(out)
    if is_there(target):
        raise InputError(f"{target}: already exists; move it away, or give another --out")
    if is_page:
        from modelzoo.page.make import write_page

        write_page([source], target)
        return Exported(target, format, target.stat().st_size, {}, "", 0, 0.0, 0)
    start_framework("tensorflow", "cpu")  # all three begin as TensorFlow's graph
    # Files hold float32 in any case: the network that they are compared with does, too.
    float32 = {"trainer": {"precision": "float32"}}
    source = replace(source, config=source.config.with_values(float32, "export"))
    return _export(source, target, format, scaled=scaled)


def _export(source: Source, target: Path, format: str, *, scaled: bool) -> Exported:
    """Write a network to `target`, and check it."""
    import keras

    from modelzoo.analysis.explain import on_pictures
    from modelzoo.training.evaluation import unit_of
    from modelzoo.training.prepare import scale_images

    config, network = source.config, source.build()
    where, pictures = find_pictures(config)
    if scaled:
        images = scale_images(config, pictures)
        given = keras.Input(network.input_shape[1:], name="scaled_pictures", dtype="float32")
        wrapped = keras.Model(given, network(given), name=network.name)
    else:
        images, wrapped = pictures.astype("float32"), on_pictures(network, config)
    expected = np.asarray(wrapped.predict(images, batch_size=32, verbose=0), "float32")
    output = "probabilities" if unit_of(expected) == "probability" else "scores"
    facts = _facts(source, wrapped, output, scaled=scaled)
    with staging(target.parent) as folder:
        staged = folder / target.name
        try:
            with quiet_stderr():
                FORMATS[format].write(wrapped, output, staged, facts)
                answer = FORMATS[format].open(staged, wrapped.input.name, output)
                # One image, then the others together: the size of a batch is free.
                batches = [batch for batch in np.split(images, [1]) if len(batch)]
                found = np.concatenate([np.asarray(answer(batch)) for batch in batches])
        except Exception as error:  # each converter and each runtime has its own kinds
            raise RunError(f"{config.name}: cannot become {format}: {reason_of(error)}") from error
        difference = largest_difference(found, expected, output)
        if not difference <= TOLERANCE:  # also NaN
            raise RunError(
                f"{config.name}: the {format} file answers otherwise than the network: {output} "
                f"differ by {difference:.2g} on {where}, more than {TOLERANCE}; "
                "nothing was written"
            )
        size = sum(each.stat().st_size for each in (staged, *staged.rglob("*")) if each.is_file())
    same = int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
    return Exported(target, format, size, facts, where, len(images), difference, same)


def find_pictures(config: Config) -> tuple[str, np.ndarray]:
    """Return what to check a file on, in words, and the images: uint8, (100, h, w, c).

    They are test images of the configuration's data set if it is on this machine, else of mnist5k.
    """
    name, shape = config.data.dataset, config.image_shape
    try:
        with without_network():
            images = load_dataset(name, image_shape=shape, **asdict(config.image)).x_test
    except InputError:
        name = "mnist5k"
        images = load_dataset(name, image_shape=shape).x_test
    # From all over the set: a folder's are in the order of their classes.
    chosen = np.unique(np.linspace(0, len(images) - 1, IMAGES).astype(int))
    return f"{len(chosen)} test images of {name}", images[chosen]


def largest_difference(found: np.ndarray, expected: np.ndarray, output: str) -> float:
    """Return the largest difference; of scores, as a share of the largest score."""
    if found.shape != expected.shape:
        return float("inf")
    scale = 1.0 if output == "probabilities" else float(np.abs(expected).max())
    return float(np.abs(found - expected).max() / scale)


def _facts(source: Source, wrapped: keras.Model, output: str, *, scaled: bool) -> Facts:
    import keras

    config, published = source.config, source.published
    values = "as modelzoo.preprocess returns them" if scaled else "0 to 255"
    facts: Facts = {
        "model": config.name,
        "title": config.about.title,
        "source": config.about.source,
        "input": f"{wrapped.input.name}: float32 (batch, height, width, channels), {values}",
        "input_shape": [None, *wrapped.input_shape[1:]],
        "channels": {1: "grey", 3: "RGB"}.get(wrapped.input_shape[-1], ""),
        "output": f"{output}: float32 (batch, classes); the largest is the answer",
        "classes": class_names(config),
        "made_with": f"modelzoo {__version__}, Keras {keras.__version__}",
        "weights": published.name if published else source.weights.name,
        "weights_sha256": sha256_of(source.weights),
    }
    if published:
        scores = published.scores
        facts |= {"licence": published.licence, "dataset": scores.dataset}
        facts["accuracy"] = scores.accuracy
    return facts


class Format(NamedTuple):
    """A format: its suffix, what it needs beside TensorFlow, and how it is written and opened.

    `write` takes a network with a named input, the name of its output, a path, and what the file
    shall say of itself; `open` a path and the names of input and output, and returns a function of
    a batch of images.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[keras.Model, str, Path, Facts], None]
    open: Callable[[Path, str, str], Callable[[np.ndarray], Any]]


def write_saved_model(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write a TensorFlow SavedModel; the facts stand in its folder `assets.extra`."""
    _save(network, output, path)
    (path / "assets.extra").mkdir()  # where the format keeps what is not TensorFlow's
    _write_facts(path / "assets.extra" / "modelzoo.json", facts)


def open_saved_model(path: Path, source: str, output: str) -> Callable[[np.ndarray], Any]:
    """Open it by the signature that TensorFlow Serving uses."""
    import tensorflow as tf

    signature = tf.saved_model.load(path).signatures["serving_default"]
    return lambda batch: signature(**{source: tf.constant(batch)})[output]


def write_onnx(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write an ONNX file; the facts are its `metadata_props`, lists in JSON."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # or convolutions in groups become inner functions
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = _as_function(network, output)
            model, _ = tf2onnx.convert.from_function(answer, answer.input_signature)
    finally:
        tf.config.run_functions_eagerly(eagerly)
    for each in (*model.graph.input, *model.graph.output):
        each.type.tensor_type.shape.dim[0].dim_param = "batch"  # tf2onnx calls it unk__44
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, path)


def open_onnx(path: Path, source: str, output: str) -> Callable[[np.ndarray], Any]:
    # It would report to its maker, and keep a number of this machine in the home folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: session.run([output], {source: batch})[0]


def write_litert(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write a .tflite file, with the facts in a JSON file beside it."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        _save(network, output, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
    _write_facts(path.with_name(f"{path.name}.json"), facts)


def open_litert(path: Path, source: str, output: str) -> Callable[[np.ndarray], Any]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner()
    return lambda batch: runner(**{source: batch})[output]


FORMATS = {
    "onnx": Format(".onnx", ("tf2onnx", "onnx", "onnxruntime"), write_onnx, open_onnx),
    "saved_model": Format(".saved_model", (), write_saved_model, open_saved_model),
    "litert": Format(".tflite", ("ai_edge_litert",), write_litert, open_litert),
}


def _as_function(network: keras.Model, output: str) -> Any:
    """Return the network as a tf.function, its input and its output named."""
    import tensorflow as tf

    shape, name = (None, *network.input_shape[1:]), network.input.name
    return tf.function(
        lambda given: {output: network(given, training=False)},
        input_signature=[tf.TensorSpec(shape, tf.float32, name=name)],
    )


def _save(network: keras.Model, output: str, path: Path) -> None:
    """Write the network as a SavedModel with one signature."""
    import tensorflow as tf

    module = tf.Module()
    module.variables_of_the_network = [variable.value for variable in network.variables]
    signatures = {"serving_default": _as_function(network, output).get_concrete_function()}
    tf.saved_model.save(module, str(path), signatures=signatures)


def _write_facts(path: Path, facts: Facts) -> None:
    write_text(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
