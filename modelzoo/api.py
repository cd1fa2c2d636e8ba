"""The Python interface to single networks: resolve, build, load, describe, score, predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from msgspec.structs import asdict

from modelzoo.config import Config
from modelzoo.config.sections import entry_shape
from modelzoo.support.errors import InputError
from modelzoo.training.resolve import Source, configure, resolve

if TYPE_CHECKING:
    import keras
    import numpy as np

    from modelzoo.config.published import Golden
    from modelzoo.networks.forward import Forward
    from modelzoo.training.evaluation import Evaluation, Unit


def build(model: str | Path | Config, **arguments: Any) -> keras.Model:
    """Build a network, untrained.

    Args:
        model: NAME or NAME/WEIGHTS, a path to a YAML, the folder of a run, or a configuration.
        arguments: in place of those in the `model` section, such as `num_classes=26`.

    Returns:
        An uncompiled `keras.Model`; its input is described by `preprocess`.

    Raises:
        InputError: an unknown model or argument, or a value out of range.
    """
    from modelzoo.training.prepare import build_network

    config, _ = configure(model)
    if arguments:
        config = config.with_values({"model": arguments}, "build()")
    return build_network(config)


@overload
def load(
    model: str | Path | Config,
    weights: str | Path | None = None,
    *,
    engine: Literal["numpy"],
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Forward: ...
@overload
def load(
    model: str | Path | Config,
    weights: str | Path | None = None,
    *,
    engine: Literal["keras"] = "keras",
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> keras.Model: ...
def load(
    model: str | Path | Config,
    weights: str | Path | None = None,
    *,
    engine: Literal["keras", "numpy"] = "keras",
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> keras.Model | Forward:
    """Build a network and load weights into it, fetching them if they are not on this machine.

    Args:
        model: NAME or NAME/WEIGHTS, a path to a YAML, the folder of a run, or a configuration.
        weights: a published name, the path of an .h5 or .pth file or of a run's folder, or the
            address of a file. By default the weights of the run that `model` names, or the first
            ones that are published for the configuration's data set.
        engine: "numpy" starts no framework.
        sha256: of a custom file; an address needs it, or `allow_unverified`.
        allow_unverified: take a file whose SHA-256 is not published. Its hash is written down
            then, and later copies have to match it.

    Returns:
        A `keras.Model`, not compiled; with "numpy" a `modelzoo.networks.forward.Forward`, whose
        `predict` and `features` take the same input, float32 (n, *input_shape).

    Raises:
        InputError: no such weights, they are unavailable, or they belong to another network or
            data set; NumPy does not compute the network.
    """
    source = resolve(model, weights, sha256=sha256, allow_unverified=allow_unverified)
    if engine == "keras":
        return source.build()
    forward = source.forward()
    if forward is None:
        raise InputError(f"{source.label}: has layers that only Keras computes")
    return forward


def preprocess(model: str | Path | Config, images: np.ndarray) -> np.ndarray:
    """Scale images as a network's weights expect them.

    Args:
        model: NAME or NAME/WEIGHTS, a path to a YAML, the folder of a run, or a configuration.
        images: uint8 in 0..255, (n, height, width) or (n, height, width, channels).

    Returns:
        float32, (n, *input_shape), scaled as the `data.preprocessing` of the configuration says.

    Raises:
        InputError: another dtype, or a shape that does not become the network's input.
    """
    from modelzoo.training.prepare import scale_images

    config, _ = configure(model)
    return scale_images(config, images)


def evaluate(
    model: Source | str | Path | Config,
    weights: str | Path | None = None,
    *,
    split: str = "test",
    device: str = "auto",
    notify: Any = print,
    golden: Golden | None = None,
    crops: int = 1,
) -> Evaluation:
    """Score weights on a split of the configuration's data set.

    Args:
        model: from `resolve`, or what it takes.
        weights: as for `resolve`, which see.
        split: "train", "validation" or "test".
        device: as for `Trainer`.
        notify: called with each notice, such as a data set that had to be replaced.
        golden: what the network should answer to images made from a seed.
        crops: 10 to average the probabilities of ten patches of each image: corners, centre and
            their mirror images. Images must be opened larger than what the network takes.

    Raises:
        InputError: weights, data or device cannot be used, the classes do not fit, or there is
            nothing to cut patches from.
        RunError: the golden outputs are others.
    """
    from modelzoo.data.known_sets import output_names
    from modelzoo.training.engine import KerasEngine, NumPyEngine, check_golden, start_engine
    from modelzoo.training.evaluation import Evaluation
    from modelzoo.training.prepare import open_dataset

    source = model if isinstance(model, Source) else resolve(model, weights, for_scores=True)
    data, config = open_dataset(source.config, notify)
    source = replace(source, config=config)
    engine = start_engine(source, device)
    if isinstance(engine, NumPyEngine) and engine.loss and (split, crops) == ("test", 1):
        scores = engine.score(data)
    else:
        patch = None if crops == 1 else patch_size(config, data.image_shape, crops)
        engine = engine if isinstance(engine, KerasEngine) else KerasEngine(source, device)
        scores = engine.score(data, split, patch)
    return Evaluation(
        scores=scores,
        data=data,
        confusion=scores.confusion(),
        class_names=output_names(data.class_names, scores.probabilities.shape[1]),
        parameters=engine.parameters,
        engine=engine.description,
        golden_difference=check_golden(config, engine, golden) if golden else None,
    )


def patch_size(config: Config, opened: Sequence[int], crops: int) -> tuple[int, int]:
    """Return the height and width of the patches that are cut from images opened at a size."""
    if crops != 10:
        raise InputError(f"--crops {crops}: there are 1 (the whole image) and 10")
    height, width, _ = entry_shape(config.model.input_shape, config.data.preprocessing)
    if opened[0] < height or opened[1] < width or tuple(opened[:2]) == (height, width):
        raise InputError(
            f"--crops 10: images are opened at {opened[0]}x{opened[1]}, which leaves nothing to "
            f"cut patches of {height}x{width} from; data.image_size opens them larger"
        )
    return height, width


@dataclass(frozen=True)
class Prediction:
    """A network's prediction for one image."""

    file: str
    classes: list[tuple[str, float]]  # names and values, the largest first
    notes: tuple[str, ...]  # how it was brought to the network's input
    unit: Unit  # a network whose outputs do not sum to 1 gives scores
    uncertain: bool | None = None  # a small probability; None for scores and without classes
    problem: str = ""  # why there are no classes: the image shows nothing


def predict(
    model: Source | str | Path | Config,
    files: Sequence[str | Path],
    weights: str | Path | None = None,
    *,
    top: int = 3,
    device: str = "auto",
) -> list[Prediction]:
    """Classify image files of any size and kind.

    Args:
        model: from `resolve`, or what it takes. The configuration's `image` says how a file is
            brought to the input shape, `data` how it is scaled.
        files: PNG, JPEG, GIF, BMP, TIFF or WebP; or "sample:7", an image of the package.
        weights: as for `resolve`, which see.
        top: how many classes to return for each.
        device: as for `Trainer`.

    Returns:
        A prediction for each file. Blank images get no class, see `Prediction.problem`.

    Raises:
        InputError: a file is not an image that can be read; none is classified then.
    """
    import numpy as np

    from modelzoo.data.images import read_image
    from modelzoo.data.known_sets import class_names

    source = model if isinstance(model, Source) else resolve(model, weights)
    config = source.config
    read = [read_image(file, config.image_shape, **asdict(config.image)) for file in files]

    from modelzoo.training.engine import start_engine
    from modelzoo.training.evaluation import is_uncertain, most_probable, unit_of

    engine = start_engine(source, device)
    outputs = engine.predict(np.stack([each.pixels for each in read]))
    names, unit = class_names(config), unit_of(outputs)
    predictions = []
    for file, each, row in zip(files, read, outputs, strict=True):
        (best,) = most_probable(row[np.newaxis], 0 if each.problem else top)
        classes = [(names[index], float(row[index])) for index in best]
        uncertain = is_uncertain(map(float, row), unit) if classes else None
        predictions.append(
            Prediction(str(file), classes, each.notes, unit, uncertain, each.problem)
        )
    return predictions


def describe(model: str | Path | Config | keras.Model) -> list[dict[str, Any]]:
    """Return the layers of a network, its input first.

    Starts no framework, but for a builder of your own that makes a Keras model.

    Args:
        model: NAME or NAME/WEIGHTS, a path to a YAML, the folder of a run, a configuration, or a
            Keras model.

    Returns:
        For each layer: `name`, `type`, `output_shape` without the batch, `parameters`, and of
        these `trainable_parameters`; `operations` for one image and `connections`, see
        `modelzoo.networks.kinds`; `kernel_size`, `strides`, `padding` and `activation`. None for
        what a layer lacks; of a Keras model all but shapes and parameters is unknown.

    Raises:
        InputError: an unknown model, or an argument out of range.
    """
    if isinstance(model, str | Path | Config):
        config, _ = configure(model)
        network = config.network
        if network is not None:
            return network.rows()
        from modelzoo.training.device import start_framework

        start_framework(config.trainer.backend, "cpu")
        model = build(config)
    from modelzoo.networks.keras_objects import keras_rows

    return keras_rows(model)
