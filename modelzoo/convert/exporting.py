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
from modelzoo.support.environment import check_installed, without_network
from modelzoo.support.errors import InputError, RunError, reason_of, suggest
from modelzoo.support.files import is_there, sha256_of, staging, write_text
from modelzoo.support.version import __version__
from modelzoo.training.device import quiet_stderr
from modelzoo.training.resolve import Source, resolve

if TYPE_CHECKING:
    import keras

IMAGES = 100
TOLERANCE = 1e-4  # of a probability; of a score, as a share of the largest


@dataclass(frozen=True)
class Exported:
    """A file that was written and that answers as the network does."""

    path: Path  # of a SavedModel, its folder
    format: str
    bytes: int
    facts: dict[str, Any]  # what it says of itself: classes, source, licence, SHA-256 …
    pictures: str  # what it was checked on, in words
    images: int  # their number
    difference: float  # the largest; of scores, as a share of the largest score
    same_answers: int  # images of which both name the same class


def export(
    model: str | Path | Config,
    weights: str | Path | None = None,
    *,
    format: Literal["onnx", "saved_model", "litert"] = "onnx",
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
            the facts that the other two hold inside).
        out: the folder for it; its name says network and weights.
        scaled: it takes what `modelzoo.preprocess` returns in place of images as they are stored.
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
    if format not in FORMATS:
        raise InputError(f"there is no format {format!r}{suggest(str(format), FORMATS)}")
    check_installed(f"the format {format}", *FORMATS[format].packages)
    source = resolve(model, weights, sha256=sha256, allow_unverified=allow_unverified)
    name = f"{_stem(source)}{'-scaled' if scaled else ''}{FORMATS[format].suffix}"
    target = Path(out) / name
    if is_there(target):
        raise InputError(f"{target}: already exists; move it away, or give another --out")

    from modelzoo.training.device import start_framework

    start_framework("tensorflow", "cpu")  # all three begin as TensorFlow's graph
    # Files hold float32 in any case: the network that they are compared with does, too.
    float32 = {"trainer": {"precision": "float32"}}
    source = replace(source, config=source.config.with_values(float32, "export"))
    origin: dict[str, Any] = {
        "weights": source.weights.name,
        "weights_sha256": sha256_of(source.weights),
    }
    if published := source.published:
        scores = {"dataset": published.scores.dataset, "accuracy": published.scores.accuracy}
        origin |= {"weights": published.name, "licence": published.licence, **scores}
    return export_network(source.config, source.build(), target, format, origin, scaled=scaled)


def export_network(
    config: Config,
    network: keras.Model,
    target: Path,
    format: str,
    origin: dict[str, Any],
    *,
    scaled: bool = False,
) -> Exported:
    """Write a network that has its weights to `target`, and check it; `origin` joins its facts."""
    import keras

    from modelzoo.analysis.explain import on_pictures
    from modelzoo.training.evaluation import unit_of
    from modelzoo.training.prepare import scale_images

    where, pictures = find_pictures(config)
    if scaled:
        images = scale_images(config, pictures)
        given = keras.Input(network.input_shape[1:], name="scaled_pictures", dtype="float32")
        wrapped = keras.Model(given, network(given), name=network.name)
    else:
        images, wrapped = pictures.astype("float32"), on_pictures(network, config)
    expected = np.asarray(wrapped.predict(images, batch_size=32, verbose=0), "float32")
    output = "probabilities" if unit_of(expected) == "probability" else "scores"
    facts = _facts(config, wrapped, output, scaled=scaled) | origin
    with staging(target.parent) as folder:
        staged = folder / target.name
        try:
            FORMATS[format].write(wrapped, output, staged, facts)
            found = FORMATS[format].run(staged, wrapped.input.name, output, images)
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

    They are test images of the configuration's data set if it is on this machine, else of mnist5k,
    which comes with this package. Nothing is fetched for them.
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


def _stem(source: Source) -> str:
    """Return the name without suffix: lenet5-mnist, or that of the run."""
    if source.published is None and source.weights.name == "best.weights.h5":
        return source.weights.resolve().parent.name
    name = source.published.name if source.published else source.weights.name.partition(".")[0]
    return f"{source.config.name}-{name}"


def _facts(config: Config, wrapped: keras.Model, output: str, *, scaled: bool) -> dict[str, Any]:
    import keras

    from modelzoo.api import class_names

    values = "as modelzoo.preprocess returns them" if scaled else "0 to 255"
    return {
        "model": config.name,
        "title": config.about.title,
        "source": config.about.source,
        "input": f"{wrapped.input.name}: float32 (batch, height, width, channels), {values}",
        "input_shape": [None, *wrapped.input_shape[1:]],
        "channels": {1: "grey", 3: "RGB"}.get(wrapped.input_shape[-1], ""),
        "output": f"{output}: float32 (batch, classes); the largest is the answer",
        "classes": class_names(config),
        "made_with": f"modelzoo {__version__}, Keras {keras.__version__}",
    }


Facts = dict[str, Any]


class Format(NamedTuple):
    """A format: its suffix, what it needs beside TensorFlow, and how it is written and run.

    `write` takes a network with a named input, the name of its output, a path, and what the file
    shall say of itself; `run` takes a path, the names of input and output, and images.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[keras.Model, str, Path, Facts], None]
    run: Callable[[Path, str, str, np.ndarray], np.ndarray]


def write_saved_model(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write a TensorFlow SavedModel; the facts stand in its folder `assets.extra`."""
    _save(network, output, path)
    (path / "assets.extra").mkdir()  # where the format keeps what is not TensorFlow's
    write_text(path / "assets.extra" / "modelzoo.json", _as_json(facts))


def run_saved_model(path: Path, source: str, output: str, images: np.ndarray) -> np.ndarray:
    """Run it by the signature that TensorFlow Serving uses."""
    import tensorflow as tf

    signature = tf.saved_model.load(path).signatures["serving_default"]
    return _in_batches(lambda batch: signature(**{source: tf.constant(batch)})[output], images)


def write_onnx(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write an ONNX file; the facts are its `metadata_props`, lists in JSON."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # or convolutions in groups become inner functions
    try:
        with warnings.catch_warnings(), quiet_stderr():
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


def run_onnx(path: Path, source: str, output: str, images: np.ndarray) -> np.ndarray:
    """Run it with ONNX Runtime."""
    # It would report to its maker, and keep a number of this machine in the home folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return _in_batches(lambda batch: session.run([output], {source: batch})[0], images)


def write_litert(network: keras.Model, output: str, path: Path, facts: Facts) -> None:
    """Write a .tflite file, with the facts in a JSON file beside it."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory(dir=path.parent) as folder, quiet_stderr():
        _save(network, output, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
    write_text(path.with_name(f"{path.name}.json"), _as_json(facts))


def run_litert(path: Path, source: str, output: str, images: np.ndarray) -> np.ndarray:
    """Run it with the LiteRT interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():
        runner = Interpreter(model_path=str(path)).get_signature_runner()
        return _in_batches(lambda batch: runner(**{source: batch})[output], images)


FORMATS = {
    "onnx": Format(".onnx", ("tf2onnx", "onnx", "onnxruntime"), write_onnx, run_onnx),
    "saved_model": Format(".saved_model", (), write_saved_model, run_saved_model),
    "litert": Format(".tflite", ("ai_edge_litert",), write_litert, run_litert),
}


def _in_batches(answer: Callable[[np.ndarray], Any], images: np.ndarray) -> np.ndarray:
    """Run one image, then the others together: the size of a batch is free."""
    batches = (batch for batch in np.split(images, [1]) if len(batch))
    return np.concatenate([np.asarray(answer(batch)) for batch in batches])


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
    with quiet_stderr():
        tf.saved_model.save(module, str(path), signatures=signatures)


def _as_json(facts: Facts) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
