"""A network that is ready to be fitted. Importing this starts the framework.

A training has one network, which is saved, scored and handed out, and what Keras fits in its place:
the same variables, perhaps computed in less time.
"""

import math
import zlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from msgspec.structs import asdict

from modelzoo.config import Config
from modelzoo.data.pipeline import InputPipeline
from modelzoo.data.source import Dataset
from modelzoo.networks import keras_objects
from modelzoo.support.errors import InputError, reason_of, suggest
from modelzoo.training.adversarial import AdversarialTraining
from modelzoo.training.device import Device
from modelzoo.training.distribution import Distribution
from modelzoo.training.evaluation import compile_for_scoring, make_metrics
from modelzoo.training.fast import accelerate
from modelzoo.training.prepare import build_network
from modelzoo.weights.reader import load_weights, weighted_layers

ALL_BUT_HEAD = "all-but-head"


class Session:
    """A compiled network, its images and its callbacks; `rehearse` tries them on two images."""

    def __init__(
        self,
        config: Config,
        data: Dataset,
        device: Device,
        distribution: Distribution | None = None,
    ) -> None:
        self.config, self.device = config, device
        self.distribution = distribution or Distribution()
        keras.utils.set_random_seed(config.trainer.seed)
        settings, num_classes, seed = config.data, config.model.num_classes, config.trainer.seed
        self.pipeline = InputPipeline(
            data,
            settings,
            num_classes=num_classes,
            seed=seed,
            leaves_pixels=config.fit.adversarial is not None,
        )
        with self.distribution.scope():
            self.network = build_network(config)
        self.distribution.check(config, self.network, self.pipeline)
        self.frozen = freeze(self.network, config.trainer.freeze, num_classes)
        trainable = self.network.trainable_variables
        self.trainable_parameters = sum(math.prod(variable.shape) for variable in trainable)
        with self.distribution.scope():
            self.fitted = self._compile()
        self.callbacks = [
            keras_objects.make("callback", spec, f"fit.callbacks.{index}")
            for index, spec in enumerate(config.fit.callbacks)
        ]

    def _compile(self) -> keras.Model:
        """Return what is fitted, with its loss, its metrics and its optimizer."""
        section = self.config.compile
        arguments = asdict(section)
        del arguments["optimizer"], arguments["metrics"]
        if keras.backend.backend() == "torch" or self.distribution.one_step_at_a_time:
            arguments["steps_per_execution"] = 1  # Keras takes no other number there
        arguments["loss"] = keras_objects.make("loss", section.loss, "compile.loss")
        fitted = self.network
        optimizer = keras_objects.make("optimizer", section.optimizer, "compile.optimizer")
        if self.distribution.replicas == 1:
            shared = self.config.trainer.share_batches
            fitted, optimizer = accelerate(fitted, optimizer, self.device, share_batches=shared)
        if (adversarial := self.config.fit.adversarial) is not None:
            if self.distribution.replicas > 1:
                raise InputError("fit.adversarial: needs --distribute none")
            prepare, seed = self.pipeline.preprocessor, self.config.trainer.seed
            fitted = AdversarialTraining(fitted, adversarial, prepare, seed)
        fitted.compile(optimizer=optimizer, metrics=make_metrics(self.config), **arguments)
        fitted.optimizer.build(self.network.trainable_variables)
        return fitted

    def rehearse(self) -> None:
        """Try two images: what does not fit together is refused before a run begins."""
        what, wanted = "compile.optimizer", tuple(self.network.input_shape[1:])
        try:
            _ = self.learning_rate
            what = "data.preprocessing, data.augmentation"
            images, labels = self.pipeline.first_images()
            if isinstance(self.fitted, AdversarialTraining):
                what = "fit.adversarial"
                images = self.fitted.prepare(self.fitted.attack(images, labels))
            if tuple(images.shape[1:]) != wanted:
                raise ValueError(f"they make {tuple(images.shape[1:])}, the network takes {wanted}")
            what = "compile.loss"
            network = self.outside()
            tried = self.fitted if network is self.network else network
            predicted = network(images)
            tried.compute_loss(images, labels, predicted)
            what = "compile.metrics"
            known = set(tried.compute_metrics(images, labels, predicted))
            tried.reset_metrics()  # and now they have their variables
        except Exception as error:  # the frameworks have many kinds for values that do not fit
            raise InputError(f"{what}: cannot be used: {reason_of(error)}") from error
        if self.pipeline.images_in("validation"):
            known |= {f"val_{name}" for name in known}
        for index, callback in enumerate(self.callbacks):
            monitor = getattr(callback, "monitor", "")
            if monitor not in ("", *known) and getattr(callback, "save_best_only", True):
                where = f"fit.callbacks.{index}.config.monitor"
                raise InputError(f"{where}: no {monitor!r}{suggest(monitor, known)}")
        self.distribution.ready(self.fitted, self.pipeline)

    def callbacks_in(self, folder: Path) -> list[keras.callbacks.Callback]:
        """Return the callbacks that this process calls; those that write files do so in `folder`.

        What a training left there goes on. A file of weights has those of the network itself.
        """
        called = []
        for callback in self.callbacks:
            argument = keras_objects.CALLBACKS.get(type(callback).__name__)
            if argument is None:
                called.append(callback)
            elif self.distribution.is_chief:
                for link in filter(Path.is_symlink, folder.rglob("*")):  # in a run of others
                    if not link.name.startswith(keras_objects.OWN_FILES):  # which are replaced
                        raise InputError(
                            f"{link}: is a link, and {type(callback).__name__} may "
                            "write where it leads; remove it"
                        )
                path = folder.absolute() / getattr(callback, argument)
                path.parent.mkdir(parents=True, exist_ok=True)
                setattr(callback, argument, str(path))
                if argument == "filename":
                    callback.append = True
                else:  # what is saved or drawn is the network, not what is fitted in its place
                    callback.set_model = partial(self._show_network, callback)
                called.append(callback)
        return called

    def _show_network(self, callback: Any, fitted: keras.Model) -> None:
        type(callback).set_model(callback, self.network)
        if isinstance(callback, keras.callbacks.TensorBoard):  # which reads the learning rate
            keras.callbacks.Callback.set_model(callback, fitted)

    @property
    def learning_rate(self) -> float:
        """That of the next batch; a schedule that gives an array raises a ValueError."""
        rate = np.asarray(keras.ops.convert_to_numpy(self.fitted.optimizer.learning_rate))
        if rate.shape:  # NumPy before 2.4 takes an array of one number for the number
            raise ValueError(f"the learning rate is no number, but of the shape {rate.shape}")
        return float(rate)

    def outside(self) -> keras.Model:
        """Return the network, or a copy that no replica holds, to be scored and handed out."""
        if self.distribution.replicas == 1:
            return self.network
        copy = build_network(self.config)
        copy.set_weights(self.network.get_weights())
        compile_for_scoring(copy, self.config)
        return copy

    def variables(self, *, within_epoch: bool) -> list[Any]:
        """Weights, the random state of dropout, the optimizer's memory, and running metrics."""
        running = self.fitted.metrics_variables if within_epoch else []
        return [*self.network.variables, *self.fitted.optimizer.variables, *running]

    def agree(self, epochs_done: int) -> None:
        """Make sure that all workers train the same, before anything is written."""
        data = zlib.crc32(self.pipeline.labels("train").tobytes())
        state = f"{epochs_done} {data} {keras.__version__}"
        with self.distribution.own_errors("Start all of them again"):
            self.distribution.agree(f"{self.config.to_yaml()}\n{state}")


def head_of(network: keras.Model, num_classes: int) -> Any:
    """Return the layer whose units stand for the classes; None if they have no weights."""
    last = weighted_layers(network)[-1]
    return last if last.weights[-1].shape[-1] == num_classes else None


def load_start(network: keras.Model, path: Path, config: Config) -> str:
    """Copy the weights that `find_start` found; a head for other classes keeps its initial ones."""
    classes, trainer = config.model.num_classes, config.trainer
    head = head_of(network, classes)
    units = load_weights(network, path, new_head=head is not None)
    message = f"starting from {trainer.weights} (SHA-256 {trainer.weights_sha256})"
    if units is None:
        return message
    return f"{message}\n{head.name}: {units} -> {classes} classes, newly initialised"


def freeze(network: keras.Model, patterns: str | Sequence[str], num_classes: int) -> list[str]:
    """Keep layers of a network that is not compiled yet from being trained; return their names.

    A frozen batch normalisation keeps its statistics. In `patterns`, * stands for anything, and
    "all-but-head" for all layers but that with a unit for each class.
    """
    layers, head = weighted_layers(network), head_of(network, num_classes)
    frozen: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if pattern == ALL_BUT_HEAD and head is None:
            raise InputError(
                f"trainer.freeze: {network.name} has no layer with a unit for each class, which "
                f"{ALL_BUT_HEAD} would leave; name the layers"
            )
        names = {
            layer.name
            for layer in layers
            if (layer is not head if pattern == ALL_BUT_HEAD else fnmatchcase(layer.name, pattern))
        }
        if not names:
            known = ", ".join([*(layer.name for layer in layers), ALL_BUT_HEAD])
            raise InputError(
                f"trainer.freeze: no layer with weights is {pattern!r}; there are: {known}"
            )
        frozen |= names
    for layer in layers:
        layer.trainable = layer.name not in frozen
    if not network.trainable_variables:
        raise InputError("trainer.freeze: every layer is frozen; nothing is left to be trained")
    return [layer.name for layer in layers if layer.name in frozen]
