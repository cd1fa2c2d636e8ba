"""One training in one process. Importing this starts the framework: choose a device before."""

import contextlib
import math
import zlib
from typing import Any

import keras
import numpy as np
import pandas as pd
from msgspec.structs import asdict
from rich.console import Console

from modelzoo.config import Config
from modelzoo.data.source import Dataset
from modelzoo.networks import keras_objects
from modelzoo.support.errors import InputError, RunError, reason_of, suggest
from modelzoo.support.files import as_typed
from modelzoo.support.hashes import sha256_of
from modelzoo.support.machine import memory_peak, versions
from modelzoo.support.terminal import tell
from modelzoo.training.callbacks import (
    EpochOrder,
    Interruption,
    SaveProgress,
    ShowProgress,
    learning_rate_of,
)
from modelzoo.training.device import Device, placement
from modelzoo.training.distribution import Distribution
from modelzoo.training.evaluation import Run, Scores, compile_for_scoring, make_metrics, score
from modelzoo.training.fast import accelerate, check_shares
from modelzoo.training.fine_tuning import Start, freeze, load_start
from modelzoo.training.notices import notices_on_classes, notices_on_history
from modelzoo.training.prepare import (
    build_network,
    class_weights,
    images_per_class,
    open_pipeline,
)
from modelzoo.training.results import save_network, write_results
from modelzoo.training.run_folder import RunFolder
from modelzoo.training.state import Progress
from modelzoo.weights.reader import load_weights
from modelzoo.weights.writer import save_weights


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
        self.config = config
        self.device, self.console = device, console
        self.distribution = distribution or Distribution()
        self.progress = Progress()
        self.saved = "nothing"  # of the run, in words
        self.notices: list[str] = []
        # Several replicas are saved when all are at the end of an epoch.
        alone = self.distribution.replicas == 1
        self.save_minutes = config.trainer.save_minutes if alone else math.inf
        self._metric_values: list[np.ndarray] = []  # of the epoch that was begun
        keras.utils.set_random_seed(config.trainer.seed)
        self.pipeline = open_pipeline(config, data)
        self.data_name, self.data_note = data.name, data.note
        with self.distribution.scope():
            self.model = build_network(config)
        self.distribution.check(config, self.model, self.pipeline)
        trainer, classes = config.trainer, config.model.num_classes
        self.frozen = freeze(self.model, trainer.freeze, classes)
        trainable = self.model.trainable_variables
        self.trainable_parameters = sum(math.prod(variable.shape) for variable in trainable)
        self.placement = placement(trainable[0])
        if trainer.share_batches:
            check_shares(self.model)
        # What is saved and scored: a network of several replicas has a copy outside of their scope.
        self.single = self.model if self.distribution.replicas == 1 else build_network(config)
        with self.distribution.scope():
            self._compile()
        self.callbacks = [
            keras_objects.make("callback", spec, f"fit.callbacks.{index}")
            for index, spec in enumerate(config.fit.callbacks)
        ]
        self._rehearse()
        self.distribution.ready(self.model, self.pipeline)

    def _compile(self) -> None:
        """Give the network its loss, its metrics and its optimizer."""
        config = self.config
        arguments = asdict(config.compile)
        del arguments["optimizer"], arguments["metrics"]
        if keras.backend.backend() == "torch" or self.distribution.one_step_at_a_time:
            arguments["steps_per_execution"] = 1  # Keras takes no other number there
        arguments["loss"] = keras_objects.make("loss", arguments["loss"], "compile.loss")
        optimizer = keras_objects.make("optimizer", config.compile.optimizer, "compile.optimizer")
        self.trained = self.model  # what is computed: the same variables, perhaps in less time
        if self.distribution.replicas == 1:
            self.trained, optimizer = accelerate(self.model, optimizer, self.device)
        self.trained.compile(optimizer=optimizer, metrics=make_metrics(config), **arguments)
        self.trained.optimizer.build(self.model.trainable_variables)

    def _rehearse(self) -> None:
        """Try two pictures: what does not fit together is refused before a run begins."""
        what, wanted = "compile.optimizer", tuple(self.model.input_shape[1:])
        try:
            learning_rate_of(self.trained)
            what = "data.preprocessing, data.augmentation"
            images, labels = self.pipeline.first_images()
            if tuple(images.shape[1:]) != wanted:
                raise ValueError(f"they make {tuple(images.shape[1:])}, the network takes {wanted}")
            what = "compile.loss"
            tried = self.trained
            if self.single is not self.model:
                tried = self.single
                compile_for_scoring(tried, self.config)
            predicted = self.single(images)
            tried.compute_loss(images, labels, predicted)
            what = "compile.metrics"
            known = set(tried.compute_metrics(images, labels, predicted))
            tried.reset_metrics()  # and now they have their variables
        except Exception as error:  # the frameworks have many kinds for values that do not fit
            raise InputError(f"{what}: cannot be used: {reason_of(error)}") from error
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
            said = load_start(self.model, start, self.config.model.num_classes)
        self.say(said)

    def begin(self, folder: RunFolder) -> None:
        """Take a new folder, and save the state before the first epoch."""
        self.folder = folder
        folder.write_config(self.config)
        self.save_state()

    def restore(self, folder: RunFolder) -> None:
        """Take the folder of an interrupted run, and put back what was saved.

        Raises:
            InputError: it is damaged, or belongs to another network or other data.
        """
        self.folder = folder
        arrays, self.progress = folder.load_state()
        self._assign(arrays)
        self.saved = self.progress.told(self.config.fit.epochs)
        if self.progress.is_at_best:  # it may have been killed before it had written them
            self._keep_best()
        elif self.progress.epochs_done:
            if (
                not folder.warning
            ):  # else a later epoch, which is trained again, may have other ones
                folder.check_best_weights(self.progress)
            if self.single is not self.model:
                load_weights(self.single, folder.best_weights)
        folder.write_config(self.config)
        folder.reopen()
        folder.write_history(self.progress.history)

    def _assign(self, arrays: list[np.ndarray]) -> None:
        progress, variables = self.progress, self._variables()
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [array.shape for array in arrays]:
            raise InputError(f"{self.folder.state}: belongs to another network than config.yaml")
        if progress.batches_done and progress.batches != self.pipeline.steps_per_epoch:
            raise InputError(
                f"{self.folder.state}: was saved within an epoch of {progress.batches} batches, "
                f"which now has {self.pipeline.steps_per_epoch}: the data set or data.batch_size "
                "is another one"
            )
        if progress.batches_done and self.distribution.replicas > 1:
            raise InputError(
                f"{self.folder.state}: was saved within an epoch, which one process has to end: "
                "resume it with --distribute none"
            )
        with self.distribution.scope():
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
        self._metric_values = arrays[len(variables) - len(self._metrics_saved()) :]

    def run(self) -> Run:
        """Train what is left, and finish."""
        epochs = self.config.fit.epochs
        self._introduce()
        try:
            # Several replicas are saved when all are at the end of an epoch.
            interruption = Interruption()
            alone = self.distribution.replicas == 1
            with (
                interruption if alone else contextlib.nullcontext(),
                self.distribution.own_errors(self._advice()),
            ):
                self._fit_rest(epochs, interruption)
            interruption.end()
            return self._finish()
        except (KeyboardInterrupt, InputError) as error:  # Ctrl-C, or a disk that takes no more
            what = "\ninterrupted; " if isinstance(error, KeyboardInterrupt) else ""
            self.say(f"{what}{self.saved} are saved in {self.folder.path}")
            self.say(f"continue with: python -m train --resume {as_typed(self.folder.path)}")
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
        return f"Start all of them again with --resume {as_typed(self.folder.path)}"

    def _fit_rest(self, epochs: int, interruption: Interruption) -> None:
        """Train up to `epochs`; the rest of an epoch, which has fewer batches, by itself."""
        if self.progress.batches_done and not self.progress.stopped:
            self._fit(self.progress.epochs_done + 1, interruption)
            # The end of a fit may change weights: an average takes their place, or the best do.
            arrays, self.progress = self.folder.load_state()
            self._assign(arrays)
        if self.progress.epochs_done < epochs and not self.progress.stopped:
            self._fit(epochs, interruption)

    def _fit(self, epochs: int, interruption: Interruption) -> None:
        """Call Keras' `fit` from where the run stands until `epochs` are done."""
        progress, total = self.progress, self.config.fit.epochs
        shown = ShowProgress(self.console, progress, total, self.pipeline.steps_per_epoch)
        first = progress.batches_done
        callbacks = [
            EpochOrder(self.pipeline, first, self._metric_values),
            *self.callbacks,
            shown,
            SaveProgress(self, interruption),
        ]
        weights = class_weights(
            self.config.fit.class_weight,
            self.pipeline.labels("train"),
            self.config.model.num_classes,
        )
        training, validation, weights = self.distribution.batches(self.pipeline, first, weights)
        try:
            with self.pipeline.own_errors(), self.distribution.fitting():
                self.trained.fit(
                    training,
                    validation_data=validation,
                    initial_epoch=progress.epochs_done,
                    epochs=epochs,
                    class_weight=weights,
                    shuffle=False,  # EpochOrder does
                    callbacks=callbacks,
                    verbose=0,
                )
        finally:
            shown.close()

    def end_epoch(self, row: dict[str, float]) -> None:
        """Save the state, then the best weights: after a kill in between, the state has them."""
        progress, epoch = self.progress, int(row["epoch"])
        if not all(np.isfinite(_to_numpy(each)).all() for each in self.model.trainable_variables):
            # The loss of the last batch was computed before.
            raise self.ruined(f"the weights became NaN or infinite in epoch {epoch}")
        value = row.get("val_accuracy", row.get("accuracy"))
        no_validation = "val_accuracy" not in row
        if progress.best_value is None or no_validation or (value or 0.0) > progress.best_value:
            progress.best_value, progress.best_epoch, progress.best_sha256 = value, epoch, ""
        progress.history.append(row)
        progress.epochs_done, progress.stopped = epoch, bool(self.trained.stop_training)
        progress.batches_done, progress.batches, progress.seconds = 0, 0, 0.0
        self.save_state()
        if progress.is_at_best:
            self._keep_best()
        self.folder.write_history(progress.history)

    def ruined(self, what: str) -> RunError:
        """Return the error that ends a run whose numbers are none any more."""
        return RunError(
            f"{what} (learning rate {learning_rate_of(self.trained):g}). Lower the learning rate, "
            "or look for pictures or labels that are not what they seem"
        )

    def _keep_best(self) -> None:
        """Write best.weights.h5 from the network as it is."""
        if self.single is not self.model:
            self.single.set_weights(self.model.get_weights())
        if self.distribution.is_chief:
            save_weights(self.single, self.folder.best_weights)
            self.progress.best_sha256 = sha256_of(self.folder.best_weights)

    def _variables(self) -> list[Any]:
        """Weights, the random state of dropout, the optimizer's memory, and running metrics."""
        optimizer = self.trained.optimizer
        return [*self.model.variables, *optimizer.variables, *self._metrics_saved()]

    def _metrics_saved(self) -> list[Any]:
        return self.trained.metrics_variables if self.progress.batches_done else []

    def save_state(self) -> None:
        """Write state.npz."""
        arrays = (_to_numpy(variable) for variable in self._variables())
        self.folder.save_state(arrays, self.progress)
        self.saved = self.progress.told(self.config.fit.epochs)

    def _introduce(self) -> None:
        """Say what is about to be trained, on what and where."""
        pipeline, note = self.pipeline, self.data_note
        text = (
            f"{self.config.name} ({self.model.count_params():,} parameters) on {self.data_name}; "
            f"{self.device.description}"
        )
        if self.distribution.replicas > 1:
            replicas, workers = self.distribution.replicas, self.distribution.workers
            text += f"; {replicas} replicas in {workers} process{'es' if workers > 1 else ''}"
        self.say(text)
        self.say(
            f"{pipeline.images_in('train'):,} training, {pipeline.images_in('validation'):,} "
            f"validation, {pipeline.images_in('test'):,} test images"
        )
        if self.frozen:
            trained = f"{self.trainable_parameters:,} parameters are trained"
            self.say(f"frozen: {', '.join(self.frozen)}; {trained}")
        if note:
            self.say(f"note: {note}")
        names, is_weighted = pipeline.data.class_names, self.config.fit.class_weight
        counts = images_per_class(pipeline.labels("train"), len(names))
        self._notice(notices_on_classes(counts, names, is_weighted=is_weighted is not None))

    def _notice(self, found: list[str]) -> None:
        for notice in found:
            self.say(f"notice: {notice}")
        self.notices += found

    def say(self, message: str) -> None:
        tell(self.console, message)

    def _finish(self) -> Run:
        """Score the test set, once, with the best weights; write metrics, model and report."""
        del self.trained  # and the optimizer's memory, twice that of the weights, with it
        self.single.trainable = True  # whoever opens it decides what to freeze
        if self.distribution.is_chief:
            self.folder.check_best_weights(self.progress)
            load_weights(self.single, self.folder.best_weights)
        compile_for_scoring(self.single, self.config)
        scores = score(self.single, self.pipeline, "test")
        split = "validation" if self.pipeline.images_in("validation") else "train"
        labels, progress = self.pipeline.labels(split), self.progress
        self._notice(notices_on_history(progress.history, labels, progress.best_epoch))
        metrics = self._metrics(scores)
        history = pd.DataFrame(self.progress.history)
        run = Run(
            folder=self.folder.path,
            config=self.config,
            model=self.single,
            history=history,
            metrics=metrics,
            pipeline=self.pipeline,
            scores=scores,
            is_chief=self.distribution.is_chief,
        )
        if run.is_chief:
            save_network(self.single, self.folder.model)
            write_results(run)
        self.folder.write_metrics(metrics)  # last: its presence says that the run is complete
        return run

    def _metrics(self, scores: Scores) -> dict[str, Any]:
        progress, history = self.progress, self.progress.history
        best = history[progress.best_epoch - 1]
        seconds = sum(row["seconds"] for row in history)
        trainer = self.config.trainer
        return {
            "model": self.config.name,
            "dataset": self.data_name,
            "note": self.data_note,
            "notices": self.notices,
            "parameters": self.model.count_params(),
            "trainable_parameters": self.trainable_parameters,
            "start_weights": trainer.weights,
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
            "device_placement": self.placement,
            "distribute": trainer.distribute,
            "replicas": self.distribution.replicas,
            "workers": self.distribution.workers,
            "backend": trainer.backend,
            "precision": trainer.precision,
            "seed": trainer.seed,
            "versions": versions(),
        }


def _to_numpy(variable: Any) -> np.ndarray:
    if keras.backend.backend() == "tensorflow":  # where Keras would copy twice
        array: np.ndarray = variable.value.numpy()
        return array
    return np.asarray(keras.ops.convert_to_numpy(variable))
