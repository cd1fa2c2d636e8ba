"""One training from top to bottom. Importing this starts the framework: choose a device before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from modelzoo.config import Config
from modelzoo.support.errors import InputError
from modelzoo.support.files import as_typed
from modelzoo.support.machine import memory_peak, versions
from modelzoo.support.terminal import tell
from modelzoo.training.callbacks import EpochOrder, Interruption, SaveProgress, ShowProgress
from modelzoo.training.device import Device
from modelzoo.training.distribution import Distribution
from modelzoo.training.evaluation import Run, Scores, compile_for_scoring, score
from modelzoo.training.fine_tuning import Start, load_start
from modelzoo.training.notices import notices_on_classes, notices_on_history
from modelzoo.training.prepare import class_weights, images_per_class, open_dataset
from modelzoo.training.results import save_network, write_results
from modelzoo.training.run_folder import RunFolder, default_path
from modelzoo.training.saving import Saving
from modelzoo.training.session import Session
from modelzoo.training.state import Progress
from modelzoo.weights.reader import load_weights

if TYPE_CHECKING:
    from rich.console import Console

Say = Callable[[str], None]


def train(
    config: Config,
    device: Device,
    distribution: Distribution,
    console: Console,
    folder: RunFolder | None = None,
    start: Start | None = None,
) -> Run:
    """Open the data, build the network, fit it, score it once, and write what the run leaves.

    Args:
        config: of a run that goes on, its own.
        device: where the framework has started.
        distribution: over how many devices and processes.
        console: where progress and notices go.
        folder: a new one; one that holds a run, which goes on; or None for a new one under runs/.
        start: weights that a new run begins with.

    Raises:
        InputError: the parts do not fit each other, or the folder holds another run's state.
        RunError: the loss became NaN, or another worker has gone.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once everything is saved.
    """
    say, goes_on = partial(tell, console), folder is not None and folder.is_begun
    data, fitted = open_dataset(config, partial(say, style="bold"), is_new=not goes_on)
    if folder is None or not goes_on:
        config = fitted  # a run that goes on keeps its own: the same classes, the same split
    elif data.name != config.data.dataset:
        raise InputError(
            f"{folder.path}: was trained on {config.data.dataset}, which is not here now; resuming "
            "on another data set would mix the two"
        )
    with device.scope(), contextlib.ExitStack() as at_end:
        session = Session(config, data, device, distribution)
        del data  # the session keeps what it needs of it
        session.agree(folder.load_progress() if folder is not None and goes_on else Progress())
        if start is not None:
            with distribution.scope():
                say(load_start(session.network, start, config.model.num_classes))
        if folder is None:
            folder = RunFolder.create(default_path(config.name, session.pipeline.data.name))
            at_end.callback(folder.release)
        saving = Saving(session, folder)
        if goes_on:
            saving.restore()
            if folder.warning:
                say(f"warning: {folder.warning}")
            say(f"resuming {folder.path}: {saving.done} are done")
        else:
            saving.begin()
        notices = _introduce(session, say)
        try:
            _fit(session, saving, console)
            return _finish(session, saving, notices, say)
        except (KeyboardInterrupt, InputError) as error:  # Ctrl-C, or a disk that takes no more
            what = "\ninterrupted; " if isinstance(error, KeyboardInterrupt) else ""
            say(f"{what}{saving.done} are saved in {folder.path}")
            say(f"continue with: python -m train --resume {as_typed(folder.path)}")
            raise


def _introduce(session: Session, say: Say) -> list[str]:
    """Say what is about to be trained, on what and where; return the notices on the classes."""
    config, pipeline, distribution = session.config, session.pipeline, session.distribution
    data = pipeline.data
    text = (
        f"{config.name} ({session.network.count_params():,} parameters) on {data.name}; "
        f"{session.device.description}"
    )
    if distribution.replicas > 1:
        workers = distribution.workers
        text += f"; {distribution.replicas} replicas in {workers} process{'es' * (workers > 1)}"
    say(text)
    say(
        f"{pipeline.images_in('train'):,} training, {pipeline.images_in('validation'):,} "
        f"validation, {pipeline.images_in('test'):,} test images"
    )
    if session.frozen:
        trained = f"{session.trainable_parameters:,} parameters are trained"
        say(f"frozen: {', '.join(session.frozen)}; {trained}")
    if data.note:
        say(f"note: {data.note}")
    counts = images_per_class(pipeline.labels("train"), len(data.class_names))
    is_weighted = config.fit.class_weight is not None
    return _told(notices_on_classes(counts, data.class_names, is_weighted=is_weighted), say)


def _told(notices: Sequence[str], say: Say) -> list[str]:
    for notice in notices:
        say(f"notice: {notice}")
    return list(notices)


def _fit(session: Session, saving: Saving, console: Console) -> None:
    """Train what is left; the rest of an epoch, which has fewer batches, by itself."""
    epochs, distribution = session.config.fit.epochs, session.distribution
    again = f"Start all of them again with --resume {as_typed(saving.folder.path)}"
    interruption = Interruption()
    # Several replicas are saved when all are at the end of an epoch.
    noting = interruption if distribution.replicas == 1 else contextlib.nullcontext()
    with noting, distribution.own_errors(again):
        if saving.progress.batches_done and not saving.progress.stopped:
            _fit_until(saving.progress.epochs_done + 1, session, saving, interruption, console)
            # The end of a fit may change weights: an average takes their place, or the best do.
            saving.load()
        if saving.progress.epochs_done < epochs and not saving.progress.stopped:
            _fit_until(epochs, session, saving, interruption, console)
        distribution.agree(saving.done)  # the chief has written the best weights by then
    interruption.end()


def _fit_until(
    epochs: int,
    session: Session,
    saving: Saving,
    interruption: Interruption,
    console: Console,
) -> None:
    """Call Keras' `fit` from where the run stands until `epochs` are done."""
    config, pipeline, progress = session.config, session.pipeline, saving.progress
    shown = ShowProgress(console, progress, config.fit.epochs, pipeline.steps_per_epoch)
    first = progress.batches_done
    labels, classes = pipeline.labels("train"), config.model.num_classes
    weights = class_weights(config.fit.class_weight, labels, classes)
    training, validation, weights = session.distribution.batches(pipeline, first, weights)
    try:
        with pipeline.own_errors(), session.distribution.fitting():
            session.fitted.fit(
                training,
                validation_data=validation,
                initial_epoch=progress.epochs_done,
                epochs=epochs,
                class_weight=weights,
                shuffle=False,  # EpochOrder does
                callbacks=[
                    EpochOrder(pipeline, first, saving.running),
                    *session.callbacks,
                    shown,
                    SaveProgress(saving, partial(tell, console), interruption),
                ],
                verbose=0,
            )
    finally:
        shown.close()


def _finish(session: Session, saving: Saving, notices: list[str], say: Say) -> Run:
    """Score the test set, once, with the best weights; write metrics, model and report."""
    folder, progress, pipeline = saving.folder, saving.progress, session.pipeline
    del session.fitted  # and the optimizer's memory, twice that of the weights, with it
    network = session.distribution.outside(session.network, session.config)
    network.trainable = True  # whoever opens it decides what to freeze
    folder.check_best_weights(progress)
    load_weights(network, folder.best_weights)
    compile_for_scoring(network, session.config)
    scores = score(network, pipeline, "test")
    split = "validation" if pipeline.images_in("validation") else "train"
    found = notices_on_history(progress.history, pipeline.labels(split), progress.best_epoch)
    metrics = _metrics(session, progress, scores) | {"notices": [*notices, *_told(found, say)]}
    run = Run(
        folder=folder.path,
        config=session.config,
        model=network,
        history=pd.DataFrame(progress.history),
        metrics=metrics,
        pipeline=pipeline,
        scores=scores,
        is_chief=session.distribution.is_chief,
    )
    if run.is_chief:
        save_network(network, folder.model)
        write_results(run)
    folder.write_metrics(metrics)  # last: its presence says that the run is complete
    return run


def _metrics(session: Session, progress: Progress, scores: Scores) -> dict[str, Any]:
    trainer, data, history = session.config.trainer, session.pipeline.data, progress.history
    best: Mapping[str, float] = history[progress.best_epoch - 1]
    seconds = sum(row["seconds"] for row in history)
    return {
        "model": session.config.name,
        "dataset": data.name,
        "note": data.note,
        "notices": [],
        "parameters": session.network.count_params(),
        "trainable_parameters": session.trainable_parameters,
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
        "images_per_second": session.pipeline.images_in("train") * len(history) / seconds,
        "peak_memory_bytes": memory_peak(),
        "device": session.device.description,
        "device_placement": session.placement,
        "distribute": trainer.distribute,
        "replicas": session.distribution.replicas,
        "workers": session.distribution.workers,
        "backend": trainer.backend,
        "precision": trainer.precision,
        "seed": trainer.seed,
        "versions": versions(),
    }
