"""The document's script as a person would write it for Keras 3, on the backend of $KERAS_BACKEND.

NumPy arrays in float32, one-hot labels, `model.fit`; Adadelta with the learning rate of 1.0 that
the tutorial's Keras had by default. `verbose=0`: no time goes into progress bars.
"""

import statistics
import time
from typing import Any

import keras
import numpy as np
from keras import layers

from benchmarks.compare import plain_data

Settings = dict[str, Any]


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, from its begin to its end: training and, if any, validation."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop."""
        self.seconds.append(time.perf_counter() - self.began)


def lenet5() -> keras.Model:
    """Return the tutorial's LeNet-5, compiled."""
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="sigmoid"),
            layers.Dense(84, activation="sigmoid"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return _compiled(model)


def alexnet(dropout: float = 0.5) -> keras.Model:
    """Return the tutorial's AlexNet, compiled."""
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(96, 11, strides=4, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(3, strides=2),
            layers.Conv2D(256, 5, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            layers.Conv2D(384, 3, padding="same", activation="relu"),
            layers.Conv2D(384, 3, padding="same", activation="relu"),
            layers.Conv2D(384, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            layers.Flatten(),
            layers.Dense(4096, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(4096, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return _compiled(model)


def _compiled(model: keras.Model) -> keras.Model:
    model.compile(
        loss="categorical_crossentropy",
        optimizer=keras.optimizers.Adadelta(learning_rate=1.0),
        metrics=["accuracy"],
    )
    return model


def prepared(name: str) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return training and test set: float32 from 0 to 1 with channels, and one-hot labels."""
    (x_train, y_train), (x_test, y_test) = plain_data.load(name)
    x_train = x_train.reshape(*x_train.shape[:3], -1).astype("float32")
    x_test = x_test.reshape(*x_test.shape[:3], -1).astype("float32")
    x_train /= 255
    x_test /= 255
    y_train = keras.utils.to_categorical(y_train, 10)
    y_test = keras.utils.to_categorical(y_test, 10)
    return (x_train, y_train), (x_test, y_test)


def lenet5_epoch(settings: Settings) -> dict[str, Any]:
    """Seconds of each epoch but the first, with its validation images scored."""
    (x_train, y_train), (x_test, y_test) = prepared("mnist")
    model, clock, cut = lenet5(), Clock(), settings["training"]
    end = cut + settings["validation"]
    model.fit(
        x_train[:cut],
        y_train[:cut],
        batch_size=128,
        epochs=settings["epochs"],
        verbose=0,
        validation_data=(x_train[cut:end], y_train[cut:end]),
        callbacks=[clock],
    )
    return {"samples": clock.seconds[1:], "facts": _facts(model, x_test, y_test)}


def fit_alexnet(settings: Settings) -> tuple[list[float], dict[str, Any]]:
    """Train a few times some steps, with the whole training set in memory; seconds of each."""
    (x_train, y_train), (x_test, y_test) = prepared("cifar10_jpeg75")
    model, clock = alexnet(), Clock()
    model.fit(
        x_train,
        y_train,
        batch_size=32,
        epochs=settings["epochs"],
        steps_per_epoch=settings["steps"],
        verbose=0,
        callbacks=[clock],
    )
    return clock.seconds, _facts(model, x_test, y_test)


def alexnet_learning(settings: Settings) -> dict[str, Any]:
    """Mean losses of each stretch of training steps, and scores, with a seed."""
    keras.utils.set_random_seed(settings["seed"])
    (x_train, y_train), (x_test, y_test) = prepared("cifar10_jpeg75")
    model = alexnet()
    history = model.fit(
        x_train,
        y_train,
        batch_size=32,
        epochs=settings["stretches"],
        steps_per_epoch=settings["steps"],
        verbose=0,
    )
    losses = [float(value) for value in history.history["loss"]]
    return {"facts": {"losses": losses, **_facts(model, x_test, y_test)}}


def lenet5_evaluate(settings: Settings) -> dict[str, Any]:
    """Seconds to score the test set, network and images being loaded."""
    _, (x_test, y_test) = prepared("mnist")
    model = lenet5()
    model.load_weights(settings["weights"])
    began = time.perf_counter()
    facts = _facts(model, x_test, y_test)
    return {"samples": [time.perf_counter() - began], "facts": facts}


def lenet5_first_result(settings: Settings) -> dict[str, Any]:
    """Load network and images, score the test set; the parent times the whole process."""
    return {"facts": lenet5_evaluate(settings)["facts"]}


def latency(settings: Settings) -> dict[str, Any]:
    """Milliseconds from one uint8 image to its probabilities in NumPy."""
    _, (x_test, _) = plain_data.load("mnist")
    model = lenet5()
    model.load_weights(settings["weights"])
    samples = []
    for picture in x_test[: settings["warm_up"] + settings["calls"]]:
        began = time.perf_counter()
        x = picture.reshape(1, 28, 28, 1).astype("float32") / 255
        if settings["call"] == "predict":
            outputs = model.predict(x, verbose=0)
        else:
            outputs = keras.ops.convert_to_numpy(model(x))
        samples.append(1000 * (time.perf_counter() - began))
    assert outputs.shape == (1, 10)
    return {"samples": samples[settings["warm_up"] :], "facts": {}}


class Reached(keras.callbacks.Callback):
    """Ends a training once the accuracy of its validation images reaches a goal."""

    def __init__(self, goal: float) -> None:
        super().__init__()
        self.goal = goal

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.model.stop_training = logs["val_accuracy"] >= self.goal


def cold_start_lenet5(settings: Settings) -> dict[str, Any]:
    """Train by the tutorial's recipe until the goal; the parent times the whole process."""
    (x_train, y_train), (x_test, y_test) = prepared("mnist")
    model = lenet5()
    history = model.fit(
        x_train,
        y_train,
        batch_size=128,
        epochs=settings["epochs"],
        verbose=0,
        validation_data=(x_test, y_test),
        callbacks=[Reached(settings["goal"])],
    )
    accuracies = [float(value) for value in history.history["val_accuracy"]]
    return {"facts": {**_facts(model, x_test, y_test), "accuracy_by_epoch": accuracies}}


def cold_start_alexnet(settings: Settings) -> dict[str, Any]:
    """Extrapolate the seconds of the published recipe from those of a step, without validation."""
    step = statistics.median(fit_alexnet(settings)[0][1:]) / settings["steps"]
    return {
        "samples": [step * settings["tutorial_steps"]],
        "facts": {"seconds_per_step": step, "extrapolated": True},
    }


def _facts(model: keras.Model, x_test: np.ndarray, y_test: np.ndarray) -> dict[str, Any]:
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    return {
        "parameters": model.count_params(),
        "test_accuracy": float(accuracy),
        "test_loss": float(loss),
    }
