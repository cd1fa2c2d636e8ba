"""Train a network as its configuration says; leave a folder that explains and repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzoo.config import Config
from modelzoo.data.datasets import check_dataset_name
from modelzoo.support.errors import InputError
from modelzoo.support.terminal import make_console, tell
from modelzoo.training.cluster import read_cluster
from modelzoo.training.device import Device, start_framework
from modelzoo.training.distribution import start_distribution
from modelzoo.training.fine_tuning import find_start
from modelzoo.training.prepare import open_dataset
from modelzoo.training.run_folder import RunFolder, SharedRunFolder, default_path

if TYPE_CHECKING:
    from rich.console import Console

    from modelzoo.training.evaluation import Run


class Trainer:
    """Everything around compile, fit and evaluate.

    Args:
        config: from `load_config`.
        device: "auto" (a GPU if there is one), "cpu", "gpu" or "gpu:N".
        out: folder for the run's files; by default runs/<model>-<dataset>-<time>.
        seed, precision, backend: in place of the configuration's `trainer` section, also of what
            `overrides` put there: the later call wins.
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
            place of `trainer.share_batches`. It needs `own_process`.
        own_process: nothing else is computed in this process, so that the framework's threads may
            be set for this training alone, as `python -m train` does.
        console: where progress and notices go; None for the standard error stream.

    Raises:
        InputError: from the constructor or from `fit`, before anything is trained.

    Example:
        >>> trainer = Trainer(load_config("lenet5", dataset="mnist5k"), device="cpu")
        >>> run = trainer.fit()
        >>> run.evaluate()["accuracy"]
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
        own_process: bool = False,
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
            raise InputError(
                "weights_sha256 (--sha256): no weights are given (--weights) whose hash it could be"
            )
        self.allow_unverified, self.own_process = allow_unverified, own_process
        self.requested_device, self.out = device, None if out is None else Path(out)
        self.console = console or _default_console()
        check_dataset_name(self.config.data.dataset)

    def fit(self) -> Run:
        """Train, score the test set once with the best weights, and write the run's files.

        Raises:
            InputError: data, device or folder cannot be used.
            RunError: the loss became NaN.
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the batch in progress is done and
                everything is saved; the second raises it at once.
        """
        # Weights and a folder that cannot be used are refused before the framework takes its time.
        trainer = self.config.trainer
        distribute, backend = trainer.distribute, trainer.backend
        cluster = read_cluster(distribute, backend, self.requested_device)
        if distribute == "workers" and self.out is None:
            raise InputError("--distribute workers: needs --out, a folder that all workers see")
        if not cluster.is_chief:
            self.console = _quiet_console()
        start = find_start(self.config, allow_unverified=self.allow_unverified)
        if start:
            found = {"weights": start.name, "weights_sha256": start.sha256}
            self.config = self.config.with_values({"trainer": found}, "the start")
        kind = RunFolder if cluster.is_chief else SharedRunFolder
        folder = None if self.out is None else kind.create(self.out)
        try:
            device = _start(self.config, self.requested_device, self.own_process)
            distribution = start_distribution(distribute, cluster, device.name, self._notify)
            data, self.config = open_dataset(self.config, self._notify, is_new=True)
            name = data.name
            from modelzoo.training.session import Session

            with device.scope():
                session = Session(self.config, data, device, self.console, distribution)
                del data  # the session keeps what it needs of it
                session.agree(session.progress)
                if start:
                    session.start_from(start)
                if folder is None:
                    folder = RunFolder.create(default_path(self.config.name, name))
                session.begin(folder)
                return session.run()
        finally:
            if folder is not None:
                folder.release()

    def _notify(self, message: str) -> None:
        tell(self.console, message, style="bold")


def resume(
    path: str | Path,
    *,
    epochs: int | None = None,
    device: str = "auto",
    distribute: str | None = None,
    own_process: bool = False,
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
        own_process: as for `Trainer`.
        console: where progress and notices go.

    Raises:
        InputError: the folder holds no run, or its files are damaged.
    """
    console = console or _default_console()
    # The configuration says how to train, and so who may lock the folder.
    config = SharedRunFolder.open(Path(path)).read_config()
    if distribute is not None:
        config = config.with_values({"trainer": {"distribute": distribute}}, "--distribute")
    asked = config.trainer
    cluster = read_cluster(asked.distribute, asked.backend, device)
    if not cluster.is_chief:
        console = _quiet_console()
    folder = (RunFolder if cluster.is_chief else SharedRunFolder).open(Path(path))
    try:
        if epochs is not None:
            config = config.with_values({"fit": {"epochs": epochs}}, "--epochs")
        progress = folder.load_progress()
        done, total = progress.epochs_done, config.fit.epochs
        if folder.is_finished and (done >= total or progress.stopped):
            raise InputError(f"{path}: is finished, {done} epochs; --epochs N trains it further")
        chosen = _start(config, device, own_process)

        def notify(message: str) -> None:
            tell(console, message)

        distribution = start_distribution(asked.distribute, cluster, chosen.name, notify)
        data, _ = open_dataset(config, notify)
        if data.name != config.data.dataset:
            raise InputError(
                f"{path}: was trained on {config.data.dataset}, which is not here now; "
                "resuming on another data set would mix the two"
            )
        from modelzoo.training.session import Session

        with chosen.scope():
            session = Session(config, data, chosen, console, distribution)
            del data
            session.agree(progress)
            session.restore(folder)
            if folder.warning:
                notify(f"warning: {folder.warning}")
            tell(console, f"resuming {path}: {progress.told(total)} are done")
            return session.run()
    finally:
        folder.release()


def _start(config: Config, device: str, own_process: bool) -> Device:
    section = config.trainer
    share_batches = own_process and section.share_batches and section.distribute == "none"
    return start_framework(section.backend, device, share_batches=share_batches)


def _default_console() -> Console:
    return make_console(stderr=True)


def _quiet_console() -> Console:
    return make_console(quiet=True)
