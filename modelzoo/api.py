"""The Python interface to single networks: resolve, build, load, summarise, score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import msgspec

from modelzoo.config import Config, list_models, load_config
from modelzoo.config.sections import PACKAGED, entry_shape
from modelzoo.networks import BUILDERS
from modelzoo.support.errors import InputError
from modelzoo.training.resolve import Source, configure, resolve
from modelzoo.weights.store import cached_path, packaged_path

if TYPE_CHECKING:
    import keras
    import numpy as np

    from modelzoo.config.published import Golden
    from modelzoo.networks.forward import Forward
    from modelzoo.training.evaluation import Evaluation


def list_weights(pattern: str = "*") -> list[dict[str, Any]]:
    """Return the published weights of all networks.

    Args:
        pattern: of NAME, or of NAME/WEIGHTS, as in a shell: `*` stands for anything.

    Returns:
        For each file `model`, `name`, `sources`, `scores` (`dataset`, `split`, `accuracy`, …),
        `recipe`, `licence`, `sha256` and `bytes`, and `where` it is: "package", "cache", or "not
        fetched". None if no name fits.

    Examples:
        >>> [row["name"] for row in modelzoo.list_weights("lenet5")]
        ['mnist', 'fashion_mnist', 'mnist_robust']
        >>> modelzoo.list_weights("*/mnist16")[0]["model"]
        'lenet_1989'
    """
    rows = []
    for model in list_models():
        for entry in load_config(model).weights:
            if not any(fnmatchcase(each, pattern) for each in (model, f"{model}/{entry.name}")):
                continue
            file = entry.file_of(model)
            places = {"package": packaged_path(file), "cache": cached_path(file)}
            found = (place for place, path in places.items() if path and path.is_file())
            where = next(found, "not fetched")
            where += ", unverified" if where == "not fetched" and entry.unverified else ""
            row = {"model": model, **msgspec.to_builtins(entry), "where": where}
            rows.append({key: value for key, value in row.items() if key != "golden"})
    return rows


def build(model: str | Path | Config, **arguments: Any) -> keras.Model:
    """Build a network, untrained.

    Args:
        model: NAME or NAME/WEIGHTS, a path to a YAML, the folder of a run, a configuration, or the
            name of a registered builder.
        arguments: in place of those in the `model` section, such as `num_classes=26`.

    Returns:
        An uncompiled `keras.Model`; its input is described by `preprocess`.

    Raises:
        InputError: an unknown model or argument, or a value out of range.

    Examples:
        >>> modelzoo.build("lenet5", num_classes=26).output_shape
        (None, 26)
    """
    from modelzoo.training.prepare import build_network

    if isinstance(model, str) and model in BUILDERS.keys() - PACKAGED:  # what it is fed is open
        arguments = {"builder": model, **arguments}
        model = replace(load_config("lenet5"), name=model)
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

    Examples:
        >>> network = modelzoo.load("lenet5", weights="mnist")
        >>> digits = modelzoo.load_dataset("mnist5k").x_test[:5]
        >>> network.predict(modelzoo.preprocess("lenet5", digits), verbose=0).shape
        (5, 10)
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
        images: uint8, or float in 0..255, (n, height, width) or (n, height, width, channels).

    Returns:
        float32, (n, *input_shape), scaled as the `data.preprocessing` of the configuration says.

    Raises:
        InputError: another type or range (floats from 0 to 1 are scaled already), or a shape that
            does not become the network's input.

    Examples:
        >>> black = np.zeros((2, 28, 28), "uint8")
        >>> modelzoo.preprocess("lenet5", black).shape
        (2, 28, 28, 1)
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

    Returns:
        `scores` (`accuracy` from 0 to 1, `loss`, `labels`, `probabilities`), the `confusion`
        matrix (rows are true classes), `class_names`, the `data` set, and more.

    Raises:
        InputError: weights, data or device cannot be used, the classes do not fit, or there is
            nothing to cut patches from.
        RunError: the golden outputs are others.

    Examples:
        >>> config = modelzoo.load_config("lenet5", dataset="mnist5k")
        >>> result = modelzoo.evaluate(config, "mnist")
        >>> result.scores.accuracy > 0.99, result.confusion.shape
        (True, (10, 10))
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


def summary(model: str | Path | Config | keras.Model) -> list[dict[str, Any]]:
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

    Examples:
        >>> for layer in modelzoo.summary("lenet5")[:3]:
        ...     print(layer["name"], layer["output_shape"], layer["parameters"])
        input [28, 28, 1] 0
        C1 [24, 24, 6] 156
        S2 [12, 12, 6] 0
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
