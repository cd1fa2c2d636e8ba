"""One training from top to bottom. Importing this starts the framework: choose a device before."""

import contextlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from modelzoo.config import Config
from modelzoo.support.environment import memory_peak, versions
from modelzoo.support.errors import InputError
from modelzoo.support.files import as_typed, replacing, write_csv
from modelzoo.support.terminal import tell
from modelzoo.support.version import ARITHMETIC
from modelzoo.training.callbacks import EpochOrder, Saving, ShowProgress
from modelzoo.training.device import Device, placement
from modelzoo.training.distribution import Distribution
from modelzoo.training.evaluation import Run, Scores, compile_for_scoring, score
from modelzoo.training.prepare import class_weights, open_dataset
from modelzoo.training.results import notices_on_classes, notices_on_history, write_results
from modelzoo.training.run_folder import Progress, RunFolder, default_path
from modelzoo.training.session import Session, load_start
from modelzoo.weights.reader import load_weights


def train(
    config: Config,
    device: Device,
    distribution: Distribution,
    console: Console,
    folder: RunFolder | None = None,
    start: Path | None = None,
    callbacks: Sequence[Any] = (),
) -> Run:
    """Open the data, build the network, fit it, score it once, and write what the run leaves.

    `folder` is a new one; one that holds a run, which goes on with its own `config`; or None for a
    new one under runs/. `start` is the file of the weights that a new run begins with; `callbacks`
    are called beside the configuration's own.
    """
    say, goes_on = partial(tell, console), folder is not None and folder.is_begun
    notify = partial(say, style="bold")
    data, fitted = open_dataset(config, notify, is_new=not goes_on, console=console)
    if folder is None or not goes_on:
        config = fitted  # a run that goes on keeps its own: the same classes, the same split
    elif data.name != config.data.dataset:
        raise InputError(
            f"{folder.path}: was trained on {config.data.dataset}, which is not here now; resuming "
            "on another data set would mix the two"
        )
    with device.scope(), contextlib.ExitStack() as at_end:
        session = Session(config, data, device, distribution)
        session.rehearse()
        name, left_out = data.name, data.left_out
        del data  # the session keeps what it needs of it
        if start is not None:
            with distribution.scope():
                say(load_start(session.network, start, config))
        if folder is None:
            folder = at_end.enter_context(RunFolder.create(default_path(config.name, name)))
        saving = Saving(session, folder, console)
        if goes_on:
            saving.load()
        session.agree(saving.progress.epochs_done)
        if goes_on:
            saving.go_on()
        else:
            folder.write_config(config)
            if left_out:
                rows = [{"image": image, "problem": problem} for image, problem in left_out]
                write_csv(folder.path / "skipped-images.csv", ("image", "problem"), rows)
            saving.save()
        notices = _introduce(session, console)
        try:
            _fit(session, saving, console, callbacks)
            return _finish(session, saving, notices, console)
        except (KeyboardInterrupt, InputError) as error:  # Ctrl-C, or a disk that takes no more
            what = "\ninterrupted; " if isinstance(error, KeyboardInterrupt) else ""
            say(f"{what}{saving.done} are saved in {folder.path}")
            say(f"continue with: python -m train --resume {as_typed(folder.path)}")
            raise


def _introduce(session: Session, console: Console) -> list[str]:
    """Say what is about to be trained, on what and where; return the notices on the classes."""
    config, pipeline, distribution = session.config, session.pipeline, session.distribution
    data, say = pipeline.data, partial(tell, console)
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
    is_weighted = config.fit.class_weight is not None
    notices = notices_on_classes(pipeline.labels("train"), data.class_names, is_weighted)
    for notice in notices:
        say(f"notice: {notice}")
    return notices


def _fit(session: Session, saving: Saving, console: Console, callbacks: Sequence[Any]) -> None:
    """Train what is left; the rest of an epoch, which has fewer batches, by itself."""
    epochs, distribution = session.config.fit.epochs, session.distribution
    again = f"Start all of them again with --resume {as_typed(saving.folder.path)}"
    with saving.interruption, distribution.own_errors(again):
        if saving.progress.batches_done and not saving.progress.stopped:
            _fit_until(saving.progress.epochs_done + 1, session, saving, console, callbacks)
            # The end of a fit may change weights: an average takes their place, or the best do.
            saving.load()
        if saving.progress.epochs_done < epochs and not saving.progress.stopped:
            _fit_until(epochs, session, saving, console, callbacks)
        distribution.agree(saving.done)  # the chief has written the best weights by then
    saving.interruption.end()


def _fit_until(
    epochs: int, session: Session, saving: Saving, console: Console, callbacks: Sequence[Any]
) -> None:
    """Call Keras' `fit` from where the run stands until `epochs` are done."""
    config, pipeline, progress = session.config, session.pipeline, saving.progress
    shown = ShowProgress(console, progress, config.fit.epochs, pipeline.steps_per_epoch)
    first = progress.batches_done
    order = EpochOrder(pipeline, first, saving.running)
    labels, classes = pipeline.labels("train"), config.model.num_classes
    weights = class_weights(config.fit.class_weight, labels, classes)
    own = session.callbacks_in(saving.folder.path)
    training, validation, weights = session.distribution.batches(pipeline, first, weights)
    with contextlib.closing(shown.shown), pipeline.own_errors(), session.distribution.fitting():
        session.fitted.fit(
            training,
            validation_data=validation,
            initial_epoch=progress.epochs_done,
            epochs=epochs,
            class_weight=weights,
            shuffle=False,  # `order` does
            callbacks=[order, *own, *callbacks, shown, saving],
            verbose=0,
        )


def _finish(session: Session, saving: Saving, notices: list[str], console: Console) -> Run:
    """Score the test set, once, with the best weights; write metrics, model and report."""
    folder, progress, pipeline = saving.folder, saving.progress, session.pipeline
    del session.fitted  # and the optimizer's memory, twice that of the weights, with it
    network = session.outside()
    network.trainable = True  # whoever opens it decides what to freeze
    folder.check_best_weights(progress)
    saving.write_history()  # another program may have had it open before
    load_weights(network, folder.best_weights)
    compile_for_scoring(network, session.config)
    scores = score(network, pipeline, "test")
    split = "validation" if pipeline.images_in("validation") else "train"
    found = notices_on_history(progress.history, pipeline.labels(split), progress.best_epoch)
    for notice in found:
        tell(console, f"notice: {notice}")
    metrics = _metrics(session, progress, scores, [*notices, *found])
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
        with replacing(folder.model) as temporary:
            network.save(temporary)
        write_results(run)
    folder.write_metrics(metrics)  # last: its presence says that the run is complete
    return run


def _metrics(
    session: Session, progress: Progress, scores: Scores, notices: list[str]
) -> dict[str, Any]:
    trainer, data, history = session.config.trainer, session.pipeline.data, progress.history
    best = history[progress.best_epoch - 1]
    seconds = sum(row["seconds"] for row in history)
    return {
        "model": session.config.name,
        "dataset": data.name,
        "finished": time.strftime("%Y-%m-%d %H:%M"),
        "note": data.note,
        "notices": notices,
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
        "device_placement": placement(session.network.trainable_variables[0]),
        "distribute": trainer.distribute,
        "replicas": session.distribution.replicas,
        "workers": session.distribution.workers,
        "backend": trainer.backend,
        "precision": trainer.precision,
        "seed": trainer.seed,
        "arithmetic": ARITHMETIC,
        "versions": versions(),
    }
