"""Write a network as ONNX, TensorFlow SavedModel or LiteRT, and run the file before it counts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from msgspec.structs import asdict

from modelzoo.config import Config
from modelzoo.convert.formats import FORMATS, Facts, size_in_floats
from modelzoo.convert.quantizing import Quantized, compared, images_for
from modelzoo.data.datasets import load_dataset
from modelzoo.data.known_sets import class_names
from modelzoo.support.environment import check_installed, without_network
from modelzoo.support.errors import InputError, RunError, reason_of, suggest
from modelzoo.support.files import is_there, sha256_of, staging
from modelzoo.support.version import __version__
from modelzoo.training.device import quiet_stderr, start_framework
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
    facts: Facts  # what it says of itself: classes, source, licence, SHA-256 …
    pictures: str  # what it was checked on, in words
    images: int  # their number
    difference: float  # the largest; of scores, as a share of the largest score
    same_answers: int  # images of which both name the same class
    quantized: Quantized | None = None  # what integers cost


def export(
    model: str | Path | Config,
    weights: str | Path | None = None,
    *,
    format: Literal["onnx", "saved_model", "litert", "c_array", "html"] = "onnx",
    out: str | Path = ".",
    scaled: bool = False,
    quantize: Literal["int8"] | None = None,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Exported:
    """Write a network with its weights as a file that needs neither modelzoo nor Keras.

    The file takes a batch of any size of images as they are stored, (batch, height, width,
    channels), float32 in 0..255, scales them itself, and gives probabilities, or the scores of a
    network without softmax. It is run on 100 images before it is moved into place.

    With `quantize`, a LiteRT file computes in integers of 8 bits, and takes one image, uint8 in
    0..255. Its scales follow from 500 training images; it is run on up to 10,000 test images.

    Args:
        model: a packaged name, a path to a YAML, the folder of a run, or a configuration.
        weights: as for `modelzoo.load`.
        format: "onnx", "saved_model" (a folder) or "litert" (a .tflite, with a .json beside it for
            the facts that the other two hold inside); "c_array", the LiteRT file as a C source
            with its header, for microcontrollers; or "html", the drawing page, which is not run:
            it takes drawings and image files, and has no `facts`.
        out: the folder for it; its name says network and weights. A page may be named itself.
        scaled: it takes what `modelzoo.preprocess` returns in place of images as they are stored.
        quantize: "int8", for the formats of LiteRT; needs the data set of the weights.
        sha256: of a custom file.
        allow_unverified: take weights whose SHA-256 is not published.

    Raises:
        InputError: model, weights or folder cannot be used, a file of that name already exists,
            or a package is missing.
        RunError: the network has something that the format has not, or the file's outputs differ
            from the network's by more than 1e-4, or those of integers name another class for more
            than 5% of the images; nothing is left then.

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
    if quantize not in (None, "int8"):
        raise InputError(f"--quantize {quantize!r:.80}: should be int8")
    if quantize and format not in ("litert", "c_array"):
        raise InputError(f"--quantize: is for --format litert, not {format}")
    if not is_page:
        check_installed(f"the format {format}", *FORMATS[format].packages)
    source = resolve(model, weights, sha256=sha256, allow_unverified=allow_unverified)
    published, file = source.published, source.weights
    stem = f"{source.config.name}-{published.name if published else file.name.partition('.')[0]}"
    if not published and file.name == "best.weights.h5":
        run = file.resolve().parent.name
        stem = re.sub(r'[\x00-\x1f\x7f"\\]', "_", run)  # a C source would include what follows
    suffix = ".html" if is_page else FORMATS[format].suffix
    variant = f"{'-scaled' if scaled else ''}{f'-{quantize}' if quantize else ''}"
    target = Path(out) / f"{stem}{variant}{suffix}"
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
    return _export(source, target, format, scaled=scaled, quantize=quantize is not None)


def _export(source: Source, target: Path, format: str, *, scaled: bool, quantize: bool) -> Exported:
    """Write a network to `target`, and check it."""
    import keras

    from modelzoo.analysis.explain import on_pictures
    from modelzoo.training.evaluation import unit_of
    from modelzoo.training.prepare import scale_images

    config = source.config
    data = images_for(config) if quantize else None  # first: a set that is missing ends it
    where, pictures = (data.checked_on, data.checked) if data else find_pictures(config)
    network = source.build()
    if scaled:
        given = keras.Input(network.input_shape[1:], name="scaled_pictures", dtype="float32")
        wrapped = keras.Model(given, network(given), name=network.name)
    else:
        wrapped = on_pictures(network, config)

    def prepare(stored: np.ndarray) -> np.ndarray:
        return scale_images(config, stored) if scaled else stored.astype("float32")

    images, write = prepare(pictures), FORMATS[format].write
    if data:
        write = partial(write, calibration=prepare(data.calibration))
    expected = np.asarray(wrapped.predict(images, batch_size=32, verbose=0), "float32")
    output = "probabilities" if unit_of(expected) == "probability" else "scores"
    facts = _facts(source, wrapped, output, scaled=scaled)
    if data:
        facts |= {
            "float_accuracy": facts.pop("accuracy", None),
            "calibrated_on": data.calibrated_on,
        }
    with staging(target.parent) as folder:
        staged = folder / target.name
        try:
            with quiet_stderr():
                write(wrapped, output, staged, facts)
                answer = FORMATS[format].open(staged, wrapped.input.name, output)
                # One image, then the others together: the size of a batch is free.
                batches = [batch for batch in np.split(images, [1]) if len(batch)]
                found = np.concatenate([np.asarray(answer(batch)) for batch in batches])
                floats = size_in_floats(wrapped, output) if data else 0
        except Exception as error:  # each converter and each runtime has its own kinds
            raise RunError(f"{config.name}: cannot become {format}: {reason_of(error)}") from error
        difference = largest_difference(found, expected, output)
        quantized = compared(data, found, expected, floats) if data else None
        if not quantized and not difference <= TOLERANCE:  # also NaN
            raise RunError(
                f"{config.name}: the {format} file answers otherwise than the network: {output} "
                f"differ by {difference:.2g} on {where}, more than {TOLERANCE}; "
                "nothing was written"
            )
        model = staged.with_suffix(".tflite") if format == "c_array" else staged
        size = sum(each.stat().st_size for each in (model, *model.rglob("*")) if each.is_file())
    same = int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
    return Exported(target, format, size, facts, where, len(images), difference, same, quantized)


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
