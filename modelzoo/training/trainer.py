"""Train a network as its configuration says; leave a folder that explains and repeats it."""

import contextlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from modelzoo.config import Config, load_config
from modelzoo.data.checking import usable
from modelzoo.data.datasets import check_dataset_name, picture_folder
from modelzoo.data.folders import find_images
from modelzoo.support.errors import InputError
from modelzoo.support.terminal import make_console, tell
from modelzoo.training.cluster import Cluster, read_cluster
from modelzoo.training.device import start_framework
from modelzoo.training.distribution import start_distribution
from modelzoo.training.evaluation import Run
from modelzoo.training.prepare import find_start
from modelzoo.training.run_folder import RunFolder, SharedRunFolder


class Trainer:
    """Everything around compile, fit and evaluate.

    Args:
        config: from `load_config`.
        device: "auto" (a GPU if there is one), "cpu", "gpu" or "gpu:N".
        out: folder for the run's files; by default runs/<model>-<dataset>-<time>.
        seed: in place of `trainer.seed`, also of what `overrides` put there: the later call wins.
        precision: in place of `trainer.precision`, in the same way.
        backend: in place of `trainer.backend`, in the same way.
        distribute: in place of `trainer.distribute`: "none"; "devices", all of a kind that this
            process sees; or "workers", several processes that TF_CONFIG or Slurm names, which
            need `out`, a folder that all of them see.
        weights: what the training starts from, in place of `trainer.weights`: a published name,
            such as "mnist" or "lenet5/mnist", a file, the folder of a run, or an address. A last
            layer for another number of classes is newly initialised.
        weights_sha256: of the file that the training starts from; an address needs it, or
            `allow_unverified`.
        freeze: layers that are not trained: names in which * stands for anything, or
            "all-but-head"; in place of `trainer.freeze`.
        save_minutes: how long a run may go on within an epoch before it is saved; in place of
            `trainer.save_minutes`.
        allow_unverified: take weights whose SHA-256 is not published.
        share_batches: cut every batch into as many parts as there are cores, on TensorFlow; in
            place of `trainer.share_batches`. Where this starts TensorFlow, its operations take one
            thread each for as long as the process lives; where TensorFlow runs already with more,
            batches stay whole, and the last digits may differ.
        callbacks: of Keras, called after those of the configuration. A run does not save what they
            remember: give them to `resume`, too.
        console: where progress and notices go; None for the standard error stream.

    Raises:
        InputError: from the constructor or from `fit`, before anything is trained.

    Examples:
        >>> settings = ["fit.epochs=1", "data.training_images=200"]
        >>> config = modelzoo.load_config("lenet5", dataset="mnist5k", overrides=settings)
        >>> run = modelzoo.Trainer(config, device="cpu", out="first-run").fit()
        >>> run.metrics["epochs"], sorted(run.evaluate()), run.history.shape[0]
        (1, ['accuracy', 'loss'], 1)
    """

    def __init__(
        self,
        config: Config,
        *,
        device: str = "auto",
        out: str | Path | None = None,
        seed: int | None = None,
        precision: str | None = None,
        backend: str | None = None,
        distribute: str | None = None,
        weights: str | Path | None = None,
        weights_sha256: str | None = None,
        freeze: str | Sequence[str] | None = None,
        save_minutes: float | None = None,
        allow_unverified: bool = False,
        share_batches: bool | None = None,
        callbacks: Sequence[Any] = (),
        console: Console | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "seed": seed,
            "precision": precision,
            "backend": backend,
            "distribute": distribute,
            "freeze": freeze,
            "save_minutes": save_minutes,
            "share_batches": share_batches,
        }
        changed = {key: value for key, value in given.items() if value is not None}
        if weights is not None:  # which have a hash of their own
            changed |= {"weights": str(weights), "weights_sha256": weights_sha256}
        elif weights_sha256 is not None:
            changed["weights_sha256"] = weights_sha256
        self.config = config.with_values({"trainer": changed}, "Trainer") if changed else config
        if weights_sha256 is not None and self.config.trainer.weights is None:
            raise InputError("weights_sha256 (--sha256): no weights are given (--weights)")
        self.allow_unverified, self.device, self.console = allow_unverified, device, console
        self.out = None if out is None else Path(out)
        self.callbacks = _checked(callbacks)

    def fit(self) -> Run:
        """Train, score the test set once with the best weights, and write the run's files.

        Raises:
            InputError: data, device or folder cannot be used.
            RunError: the loss became NaN.
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the batch in progress is done and
                everything is saved; the second raises it at once.
        """
        # Data, weights and a folder that cannot be used are refused before the framework starts.
        data = self.config.data
        check_dataset_name(data.dataset)
        cluster = read_cluster(self.config.trainer, self.device)
        if self.config.trainer.distribute == "workers" and self.out is None:
            raise InputError("--distribute workers: needs --out, a folder that all workers see")
        self.config, start = find_start(self.config, allow_unverified=self.allow_unverified)
        if cluster.is_chief and (images := picture_folder(data.dataset)):  # what it finds is kept
            usable(find_images(images), skip=data.skip_bad_images, console=self.console)
        kind = RunFolder if cluster.is_chief else SharedRunFolder
        with contextlib.nullcontext() if self.out is None else kind.create(self.out) as folder:
            return _train(
                self.config, self.device, cluster, self.console, folder, start, self.callbacks
            )


def resume(
    path: str | Path,
    *,
    epochs: int | None = None,
    device: str = "auto",
    distribute: str | None = None,
    callbacks: Sequence[Any] = (),
    console: Console | None = None,
) -> Run:
    """Continue an interrupted run as if it had never stopped.

    The optimizer, the epoch, the order of the images, the random state, the best value and the
    history go on where they were saved: after the batch in which a run was interrupted, and for one
    that was killed after its last epoch or the last `trainer.save_minutes` within it.

    Args:
        path: the run's folder.
        epochs: train up to this many in all, in place of the configuration's number.
        device: as for `Trainer`.
        distribute: as for `Trainer`: what is trained is the same on any number of devices.
        callbacks: as for `Trainer`.
        console: where progress and notices go.

    Raises:
        InputError: the folder holds no run, or its files are damaged.

    Examples:
        >>> run = modelzoo.resume("first-run", epochs=2, device="cpu")
        >>> run.metrics["epochs"]
        2
    """
    added = _checked(callbacks)
    # The configuration says how to train, and so who may lock the folder.
    config = load_config(config_file=SharedRunFolder.open(Path(path)).config)
    if distribute is not None:
        config = config.with_values({"trainer": {"distribute": distribute}}, "--distribute")
    if epochs is not None:
        config = config.with_values({"fit": {"epochs": epochs}}, "--epochs")
    cluster = read_cluster(config.trainer, device)
    with (RunFolder if cluster.is_chief else SharedRunFolder).open(Path(path)) as folder:
        if folder.is_finished:
            _, progress = folder.load_state()
            if progress.epochs_done >= config.fit.epochs or progress.stopped:
                done = progress.epochs_done
                raise InputError(f"{path}: is finished, {done} epochs; --epochs N trains on")
        return _train(config, device, cluster, console, folder, None, added)


def _checked(callbacks: Sequence[Any]) -> Sequence[Any]:
    """Refuse what is no callback of Keras, without starting it."""
    keras = sys.modules.get("keras")  # which made them, if they are
    given = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    for each in given:
        if not (keras and isinstance(each, keras.callbacks.Callback)):
            raise InputError(f"callbacks: {each!r:.80} is no keras.callbacks.Callback")
    return given


def _train(
    config: Config,
    device: str,
    cluster: Cluster,
    console: Console | None,
    folder: RunFolder | None,
    start: Path | None,
    callbacks: Sequence[Any],
) -> Run:
    """Start the framework, and train."""
    from modelzoo.charts.style import begin_library

    begin_library()
    shown = (console or make_console(stderr=True)) if cluster.is_chief else make_console(quiet=True)
    section = config.trainer
    one_thread = section.share_batches and section.distribute == "none"
    chosen = start_framework(section.backend, device, one_thread=one_thread)
    notify = partial(tell, shown, style="bold")
    distribution = start_distribution(section, cluster, chosen, notify)
    from modelzoo.training.train import train

    return train(config, chosen, distribution, shown, folder, start, callbacks)
