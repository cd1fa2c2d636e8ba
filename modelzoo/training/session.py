"""One training in one process. Importing this starts the framework: choose a device before."""

import importlib.metadata
import math
import platform
import zlib
from typing import Any

import keras
import numpy as np
import pandas as pd
from rich.console import Console

from modelzoo import keras_objects
from modelzoo.config import Config
from modelzoo.data.source import Dataset
from modelzoo.errors import InputError, suggest
from modelzoo.files import replacing
from modelzoo.training.callbacks import EpochEnd, EpochOrder, ShowProgress, StopOnNaN
from modelzoo.training.device import Device, memory_peak, placement
from modelzoo.training.distribution import Distribution
from modelzoo.training.evaluation import Scores, compile_for_scoring, make_metrics, score
from modelzoo.training.fine_tuning import Start, freeze, load_start
from modelzoo.training.prepare import build_network, open_pipeline
from modelzoo.training.results import write_results
from modelzoo.training.run import Run
from modelzoo.training.run_folder import Progress, RunFolder
from modelzoo.weights.reader import load_weights


class Session:
    """One training in one process: the network, the pipeline, and what has been reached."""

    def __init__(
        self,
        config: Config,
        data: Dataset,
        device: Device,
        console: Console,
        distribution: Distribution | None = None,
    ) -> None:
        self.config, self.data = config, data
        self.device, self.console = device, console
        self.distribution = distribution or Distribution()
        self.progress = Progress()
        keras.utils.set_random_seed(config["trainer"]["seed"])
        self.pipeline = open_pipeline(config, data)
        with self.distribution.scope():
            self.model = build_network(config)
        self.distribution.check(config, self.model, self.pipeline)
        trainer, classes = config["trainer"], config["model"]["num_classes"]
        self.frozen = freeze(self.model, trainer["freeze"], classes)
        self.best = build_network(config)  # holds the weights of the best epoch
        compile_for_scoring(self.best, config)
        with self.distribution.scope():
            self._compile()
        self.callbacks = [
            keras_objects.make("callback", spec, f"fit.callbacks.{index}")
            for index, spec in enumerate(config["fit"]["callbacks"])
        ]
        self._rehearse()
        self.distribution.ready(self.model, self.pipeline)

    def _compile(self) -> None:
        """Give the network its loss, its metrics and its optimizer."""
        config = self.config
        arguments = {
            k: v for k, v in config["compile"].items() if k not in ("optimizer", "metrics")
        }
        if keras.backend.backend() == "torch" or self.distribution.one_step_at_a_time:
            arguments["steps_per_execution"] = 1  # Keras takes no other number there
        arguments["loss"] = keras_objects.make("loss", arguments["loss"], "compile.loss")
        optimizer = keras_objects.make(
            "optimizer", config["compile"]["optimizer"], "compile.optimizer"
        )
        self.model.compile(optimizer=optimizer, metrics=make_metrics(config), **arguments)
        self.model.optimizer.build(self.model.trainable_variables)

    def _rehearse(self) -> None:
        """Try two pictures: what does not fit together is refused before a run begins."""
        what, wanted = "data.preprocessing, data.augmentation", tuple(self.best.input_shape[1:])
        try:
            images, labels = self.pipeline.first_images()
            if tuple(images.shape[1:]) != wanted:
                raise ValueError(f"they make {tuple(images.shape[1:])}, the network takes {wanted}")
            what = "compile.loss"
            predicted = self.best(images)
            self.best.compute_loss(images, labels, predicted)
            what = "compile.metrics"
            known = set(self.best.compute_metrics(images, labels, predicted))
            self.best.reset_metrics()
        except Exception as error:  # the frameworks have many kinds for values that do not fit
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{what}: cannot be used: {reason[:300]}") from error
        if self.pipeline.images_in("validation"):
            known |= {f"val_{name}" for name in known}
        for index, callback in enumerate(self.callbacks):
            if callback.monitor not in known:
                where = f"fit.callbacks.{index}.config.monitor"
                raise InputError(
                    f"{where}: there is no {callback.monitor!r}{suggest(callback.monitor, known)}"
                )

    def start_from(self, start: Start) -> None:
        """Take the weights of another training, but for a head of another number of classes."""
        with self.distribution.scope():
            said = load_start(self.model, start, self.config["model"]["num_classes"])
        self._say(said)

    def begin(self, folder: RunFolder) -> None:
        """Take a new folder, and save the state before the first epoch."""
        self.folder = folder
        folder.write_config(self.config)
        self._save_state()

    def restore(self, folder: RunFolder, arrays: list[np.ndarray], progress: Progress) -> None:
        """Take the folder of an interrupted run, and put back what was saved."""
        self.folder, self.progress = folder, progress
        variables = self._variables()
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [array.shape for array in arrays]:
            raise InputError(f"{folder.state}: belongs to another network than config.yaml")
        with self.distribution.scope():
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
        if progress.epochs_done:
            load_weights(self.best, folder.best_weights)
        folder.write_config(self.config)
        folder.write_history(progress.history)

    def run(self) -> Run:
        """Train what is left, and finish."""
        epochs = self.config["fit"]["epochs"]
        self._introduce()
        try:
            if self.progress.epochs_done < epochs and not self.progress.stopped:
                with self.distribution.own_errors(self._advice()):
                    self._fit(epochs)
            if self.distribution.is_chief:
                load_weights(self.best, self.folder.best_weights)
            return self._finish()
        except KeyboardInterrupt:
            done = self.progress.epochs_done
            self._say(f"\ninterrupted; {done} of {epochs} epochs are saved in {self.folder.path}")
            self._say(f"continue with: python -m train --resume {self.folder.path}")
            raise

    def agree(self, progress: Progress) -> None:
        """Make sure that all workers train the same, before anything is written.

        Raises:
            InputError: they do not.
        """
        data = zlib.crc32(self.pipeline.labels("train").tobytes())
        state = f"{progress.epochs_done} {data} {keras.__version__}"
        with self.distribution.own_errors("Start all of them again"):
            self.distribution.agree(f"{self.config.to_yaml()}\n{state}")

    def _advice(self) -> str:
        return f"Start all of them again with --resume {self.folder.path}"

    def _fit(self, epochs: int) -> None:
        first = self.progress.epochs_done
        shown = ShowProgress(self.console, first, epochs, self.pipeline.steps_per_epoch)
        end = EpochEnd(self._end_epoch, self.callbacks, self.progress.callbacks)
        weights = self.config["fit"]["class_weight"]
        if weights is not None:  # Keras fails at a class above those that are named
            classes = range(self.config["model"]["num_classes"])
            weights = {label: weights.get(label, 1.0) for label in classes}
        training, validation, weights = self.distribution.batches(self.pipeline, weights)
        try:
            with self.pipeline.own_errors(), self.distribution.fitting():
                self.model.fit(
                    training,
                    validation_data=validation,
                    initial_epoch=first,
                    epochs=epochs,
                    class_weight=weights,
                    shuffle=False,  # EpochOrder does
                    callbacks=[EpochOrder(self.pipeline), StopOnNaN(), *self.callbacks, shown, end],
                    verbose=0,
                )
        finally:
            shown.close()

    def _end_epoch(
        self, epoch: int, values: dict[str, float], callbacks: list[dict[str, float]]
    ) -> None:
        """Keep the best weights, then save the state: so a kill in between loses nothing."""
        progress = self.progress
        value = values.get("val_accuracy", values.get("accuracy"))
        no_validation = "val_accuracy" not in values
        if progress.best_value is None or no_validation or (value or 0.0) > progress.best_value:
            progress.best_value, progress.best_epoch = value, epoch + 1
            self.best.set_weights(self.model.get_weights())
            if self.distribution.is_chief:
                with replacing(self.folder.best_weights) as temporary:
                    self.best.save_weights(temporary)
        progress.history.append({"epoch": epoch + 1, **values})
        progress.epochs_done, progress.callbacks = epoch + 1, callbacks
        progress.stopped = bool(self.model.stop_training)
        self._save_state()
        self.folder.write_history(progress.history)

    def _variables(self) -> list[Any]:
        # Weights, the random state of dropout, and the optimizer's memory.
        return [*self.model.variables, *self.model.optimizer.variables]

    def _save_state(self) -> None:
        """Write state.npz."""
        arrays = [keras.ops.convert_to_numpy(variable) for variable in self._variables()]
        self.folder.save_state(arrays, self.progress)

    def _introduce(self) -> None:
        """Say what is about to be trained, on what and where."""
        pipeline, note = self.pipeline, self.data.note
        text = (
            f"{self.config.name} ({self.model.count_params():,} parameters) on {self.data.name}: "
            f"{pipeline.images_in('train'):,} training, {pipeline.images_in('validation'):,} "
            f"validation, {pipeline.images_in('test'):,} test images; {self.device.description}"
        )
        if self.distribution.replicas > 1:
            replicas, workers = self.distribution.replicas, self.distribution.workers
            text += f"; {replicas} replicas in {workers} process{'es' if workers > 1 else ''}"
        self._say(text)
        if self.frozen:
            trained = self._trainable_parameters()
            self._say(f"frozen: {', '.join(self.frozen)}; {trained:,} parameters are trained")
        if note:
            self._say(f"note: {note}")

    def _trainable_parameters(self) -> int:
        return sum(math.prod(variable.shape) for variable in self.model.trainable_variables)

    def _say(self, message: str) -> None:
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def _finish(self) -> Run:
        """Score the test set, once, and write metrics, model and report."""
        scores = score(self.best, self.pipeline, "test")
        metrics = self._metrics(scores)
        history = pd.DataFrame(self.progress.history)
        run = Run(
            folder=self.folder.path,
            config=self.config,
            model=self.best,
            history=history,
            metrics=metrics,
            pipeline=self.pipeline,
            scores=scores,
            is_chief=self.distribution.is_chief,
        )
        if run.is_chief:
            with replacing(self.folder.model) as temporary:
                self.best.save(temporary)
            write_results(run)
        self.folder.write_metrics(metrics)  # last: its presence says that the run is complete
        return run

    def _metrics(self, scores: Scores) -> dict[str, Any]:
        progress, history = self.progress, self.progress.history
        best = history[progress.best_epoch - 1]
        seconds = sum(row["seconds"] for row in history)
        trainer = self.config["trainer"]
        return {
            "model": self.config.name,
            "dataset": self.data.name,
            "note": self.data.note,
            "parameters": self.best.count_params(),
            "trainable_parameters": self._trainable_parameters(),
            "start_weights": trainer["weights"],
            "epochs": progress.epochs_done,
            "best_epoch": progress.best_epoch,
            "test_loss": scores.loss,
            "test_accuracy": scores.accuracy,
            "test_images": len(scores.labels),
            "val_loss": best.get("val_loss"),
            "val_accuracy": best.get("val_accuracy"),
            # As Keras counts it: over the batches of the best epoch, while the weights change.
            "train_loss": best["loss"],
            "train_accuracy": best.get("accuracy"),
            "seconds": seconds,
            "seconds_per_epoch": seconds / len(history),
            "images_per_second": self.pipeline.images_in("train") * len(history) / seconds,
            "peak_memory_bytes": memory_peak(),
            "device": self.device.description,
            "device_placement": placement(self.model.trainable_variables[0]),
            "distribute": trainer["distribute"],
            "replicas": self.distribution.replicas,
            "workers": self.distribution.workers,
            "backend": trainer["backend"],
            "precision": trainer["precision"],
            "seed": trainer["seed"],
            "versions": versions(),
        }


def versions() -> dict[str, str]:
    """Return the versions that a figure may depend on."""
    found = {"python": platform.python_version()}
    for package in ("modelzoo", "keras", "tensorflow", "jax", "torch", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
