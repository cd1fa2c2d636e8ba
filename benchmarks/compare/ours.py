"""What modelzoo does: the packaged configurations, through what is public."""

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict

Settings = dict[str, Any]


def _train(
    name: str, dataset: str, overrides: list[str], precision: str | None = None
) -> tuple[list[float], dict[str, Any]]:
    """Train a packaged configuration; return the seconds of each epoch, and what was reached."""
    from modelzoo import RunError, Trainer, load_config

    config = load_config(name, dataset=dataset, overrides=overrides)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = Trainer(config, device="cpu", out=out, precision=precision).fit()
    metrics = run.metrics
    if metrics["dataset"] != dataset:
        raise RunError(f"trained on {metrics['dataset']}, not on {dataset}")
    facts = {key: metrics[key] for key in ("parameters", "test_accuracy", "test_loss")}
    return [float(seconds) for seconds in run.history["seconds"]], facts


def lenet5_epoch(settings: Settings) -> dict[str, Any]:
    """Seconds of each epoch but the first, with its validation images scored."""
    overrides = [
        f"fit.epochs={settings['epochs']}",
        f"data.training_images={settings['training']}",
        f"data.validation_split={settings['validation']}",
    ]
    seconds, facts = _train("lenet5", "mnist", overrides)
    return {"samples": seconds[1:], "facts": facts}


def fit_alexnet(settings: Settings) -> tuple[list[float], dict[str, Any]]:
    """Train a few times some steps, with the whole training set in memory; seconds of each."""
    overrides = [
        f"fit.epochs={settings['epochs']}",
        f"data.training_images={32 * settings['steps']}",
        "data.validation_split=0",
    ]
    return _train("alexnet", "cifar10_jpeg75", overrides, settings.get("precision"))


def alexnet_learning(settings: Settings) -> dict[str, Any]:
    """Mean losses of each stretch of training steps, and scores, with a seed.

    The network, the batches and their order are those of `python -m train`; so is the training
    step, unless settings["step"] names a variant of `benchmarks.steps` in its place.
    """
    from benchmarks.steps import compiled
    from modelzoo import load_config
    from modelzoo.networks import keras_objects
    from modelzoo.training.device import start_framework
    from modelzoo.training.prepare import open_dataset

    overrides = [
        f"trainer.seed={settings['seed']}",
        f"trainer.precision={settings.get('precision', 'float32')}",
        "data.validation_split=0",
        f"compile.steps_per_execution={math.gcd(20, settings['steps'])}",  # of a stretch alone
    ]
    config = load_config("alexnet", dataset="cifar10_jpeg75", overrides=overrides)
    device = start_framework("tensorflow", "cpu")
    from modelzoo.training.evaluation import compile_for_scoring, score
    from modelzoo.training.session import Session

    data, config = open_dataset(config, print)
    session = Session(config, data, device)
    trained, step = session.fitted, settings.get("step")
    if step is not None:
        arguments = {**asdict(config.compile), "metrics": ["accuracy"]}
        arguments["optimizer"] = keras_objects.make(
            "optimizer", arguments["optimizer"], "optimizer"
        )
        trained = compiled(session.network, step, **arguments)
    session.pipeline.start_epoch(0)
    history = trained.fit(
        session.pipeline.training_batches(),
        epochs=settings["stretches"],
        steps_per_epoch=settings["steps"],
        shuffle=False,
        verbose=0,
    )
    compile_for_scoring(session.network, config)
    scores = score(session.network, session.pipeline, "test")
    facts = {"test_accuracy": scores.accuracy, "test_loss": scores.loss}
    facts["parameters"] = session.network.count_params()
    return {"facts": {"losses": history.history["loss"], **facts}}


def lenet5_evaluate(settings: Settings) -> dict[str, Any]:
    """Seconds to score the test set, network and images being loaded."""
    from modelzoo import load_config
    from modelzoo.api import evaluate

    config = load_config("lenet5", dataset="mnist")
    result = evaluate(config, Path(settings["weights"]), device="cpu")
    scores = result.scores
    facts = {"test_accuracy": scores.accuracy, "test_loss": scores.loss}
    facts["parameters"] = result.parameters
    return {"samples": [scores.seconds], "facts": facts}


def latency(settings: Settings) -> dict[str, Any]:
    """Milliseconds from one uint8 image to its probabilities in NumPy."""
    import modelzoo
    from modelzoo.data.datasets import load_dataset

    pictures = load_dataset("mnist").x_test
    if settings.get("engine") == "keras":
        from modelzoo.analysis.explain import on_pictures

        network = modelzoo.load("lenet5", weights="mnist")
        answer = on_pictures(network, modelzoo.load_config("lenet5")).predict_on_batch
    else:
        computed = modelzoo.load("lenet5", weights="mnist", engine="numpy")

        def answer(picture: np.ndarray) -> np.ndarray:
            return computed.predict(picture * np.float32(1 / 255))

    samples = []
    for picture in pictures[: settings["warm_up"] + settings["calls"]]:
        began = time.perf_counter()
        outputs = np.asarray(answer(picture[np.newaxis]))
        samples.append(1000 * (time.perf_counter() - began))
    assert outputs.shape == (1, 10)
    return {"samples": samples[settings["warm_up"] :], "facts": {}}
