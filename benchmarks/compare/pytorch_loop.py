"""A PyTorch loop on the same networks, batches, optimizer and data: plain, or compiled.

The whole set lies in memory as float32 tensors, channels first, and a batch is `images[chosen]` of
a shuffled permutation: no DataLoader, whose workers and collating would only cost time here.
With settings["compiled"], the network and the optimizer's step are compiled, and images lie with
their channels last: the fastest that was found on a processor. That needs a C++ compiler.
"""

import statistics
import time
from typing import Any

import h5py
import torch
from torch import nn

from benchmarks import networks_pytorch as networks
from benchmarks.compare import plain_data

Settings = dict[str, Any]
Tensors = tuple[torch.Tensor, torch.Tensor]


def prepared(name: str) -> tuple[Tensors, Tensors]:
    """Return training and test set: float32 from 0 to 1, (n, channels, height, width); int64."""
    train, test = (
        (
            torch.from_numpy(x.reshape(*x.shape[:3], -1)).permute(0, 3, 1, 2).contiguous().float(),
            torch.from_numpy(y.reshape(-1)).long(),
        )
        for x, y in plain_data.load(name)
    )
    train[0].div_(255)
    test[0].div_(255)
    return train, test


def adadelta(model: nn.Module, *, compiled: bool = False) -> torch.optim.Optimizer:
    """Return Adadelta with the settings that Keras has by default, and the rate of 1.0."""
    settings = {"lr": 1.0, "rho": 0.95, "eps": 1e-7, "foreach": compiled}
    optimizer = torch.optim.Adadelta(model.parameters(), **settings)
    if compiled:
        optimizer.step = torch.compile(optimizer.step)
    return optimizer


def contestant(model: nn.Module, settings: Settings) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a network and its optimizer, compiled if the settings ask for that."""
    if not settings.get("compiled"):
        return model, adadelta(model)
    model = model.to(memory_format=torch.channels_last)
    return torch.compile(model), adadelta(model, compiled=True)


def laid_out(images: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Return images as the network takes them fastest."""
    last = torch.channels_last if settings.get("compiled") else torch.contiguous_format
    return images.contiguous(memory_format=last)


def train(
    model: nn.Module, optimizer: Any, data: Tensors, batch_size: int, steps: int | None = None
) -> dict[str, float]:
    """Train an epoch, or some steps of one; return mean loss and accuracy as Keras shows them."""
    images, labels = data
    model.train()
    loss_sum = correct = seen = 0.0
    for chosen in torch.randperm(len(images)).split(batch_size)[:steps]:
        x, y = images[chosen], labels[chosen]
        optimizer.zero_grad()
        scores = model(x)
        loss = nn.functional.cross_entropy(scores, y)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(x)
        correct += (scores.argmax(1) == y).sum().item()
        seen += len(x)
    return {"loss": loss_sum / seen, "accuracy": correct / seen}


@torch.no_grad()
def score(model: nn.Module, data: Tensors, batch_size: int = 1000) -> dict[str, float]:
    """Return mean loss and accuracy, batches as large as in PyTorch's own MNIST example."""
    model.eval()
    loss = correct = 0.0
    for x, y in zip(*(each.split(batch_size) for each in data), strict=True):
        scores = model(x)
        loss += nn.functional.cross_entropy(scores, y, reduction="sum").item()
        correct += (scores.argmax(1) == y).sum().item()
    return {"test_loss": loss / len(data[0]), "test_accuracy": correct / len(data[0])}


def lenet5_epoch(settings: Settings) -> dict[str, Any]:
    """Seconds of each epoch but the first, with its validation images scored."""
    (images, labels), test = prepared("mnist")
    images, cut = laid_out(images, settings), settings["training"]
    model, optimizer = contestant(networks.lenet5(), settings)
    end = cut + settings["validation"]
    training, validation = (images[:cut], labels[:cut]), (images[cut:end], labels[cut:end])
    seconds = []
    for _ in range(settings["epochs"]):
        began = time.perf_counter()
        train(model, optimizer, training, 128)
        score(model, validation)
        seconds.append(time.perf_counter() - began)
    facts = {"first_seconds": seconds[0], **_facts(model, test)}  # compiling included
    return {"samples": seconds[1:], "facts": facts}


def fit_alexnet(settings: Settings) -> tuple[list[float], dict[str, Any]]:
    """Train a few times some steps, with the whole training set in memory; seconds of each."""
    (images, labels), test = prepared("cifar10_jpeg75")
    training, seconds = (laid_out(images, settings), labels), []
    model, optimizer = contestant(networks.alexnet(), settings)
    for _ in range(settings["epochs"]):
        began = time.perf_counter()
        train(model, optimizer, training, 32, settings["steps"])
        seconds.append(time.perf_counter() - began)
    return seconds, {"first_seconds": seconds[0], **_facts(model, test)}


def alexnet_learning(settings: Settings) -> dict[str, Any]:
    """Mean losses of each stretch of training steps, and scores, with a seed."""
    torch.manual_seed(settings["seed"])
    (images, labels), test = prepared("cifar10_jpeg75")
    model, losses = networks.alexnet(), []
    optimizer = adadelta(model)
    stretches = torch.randperm(len(images)).split(32 * settings["steps"])
    for chosen in stretches[: settings["stretches"]]:
        stretch = images[chosen], labels[chosen]
        losses.append(train(model, optimizer, stretch, 32)["loss"])
    return {"facts": {"losses": losses, **_facts(model, test)}}


def lenet5_evaluate(settings: Settings) -> dict[str, Any]:
    """Seconds to score the test set, network and images being loaded."""
    _, test = prepared("mnist")
    model = _published(settings)
    began = time.perf_counter()
    facts = _facts(model, test)
    return {"samples": [time.perf_counter() - began], "facts": facts}


def lenet5_first_result(settings: Settings) -> dict[str, Any]:
    """Load network and images, score the test set; the parent times the whole process."""
    return {"facts": lenet5_evaluate(settings)["facts"]}


@torch.no_grad()
def latency(settings: Settings) -> dict[str, Any]:
    """Milliseconds from one uint8 image to its probabilities in NumPy."""
    _, (x_test, _) = plain_data.load("mnist")
    model = _published(settings).eval()
    samples = []
    for picture in x_test[: settings["warm_up"] + settings["calls"]]:
        began = time.perf_counter()
        x = torch.from_numpy(picture.reshape(1, 1, 28, 28)).float() / 255
        outputs = model(x).softmax(1).numpy()
        samples.append(1000 * (time.perf_counter() - began))
    assert outputs.shape == (1, 10)
    return {"samples": samples[settings["warm_up"] :], "facts": {}}


def cold_start_lenet5(settings: Settings) -> dict[str, Any]:
    """Train by the tutorial's recipe until the goal; the parent times the whole process."""
    training, test = prepared("mnist")
    model = networks.lenet5()
    optimizer, accuracies = adadelta(model), []
    for _ in range(settings["epochs"]):
        train(model, optimizer, training, 128)
        accuracies.append(score(model, test)["test_accuracy"])
        if accuracies[-1] >= settings["goal"]:
            break
    return {"facts": {**_facts(model, test), "accuracy_by_epoch": accuracies}}


def cold_start_alexnet(settings: Settings) -> dict[str, Any]:
    """Extrapolate the seconds of the published recipe from those of a step, without validation."""
    step = statistics.median(fit_alexnet(settings)[0][1:]) / settings["steps"]
    return {
        "samples": [step * settings["tutorial_steps"]],
        "facts": {"seconds_per_step": step, "extrapolated": True},
    }


def _published(settings: Settings) -> nn.Module:
    """Return LeNet-5 with the published weights, read in the order of its layers."""
    model = networks.lenet5()
    names = ("conv2d", "conv2d_1", "dense", "dense_1", "dense_2")
    with h5py.File(settings["weights"]) as file:
        arrays = [file[f"layers/{name}/vars/{i}"][()] for name in names for i in (0, 1)]
    networks.copy_from_keras(model, arrays)
    return model


def _facts(model: nn.Module, test: Tensors) -> dict[str, Any]:
    return {"parameters": networks.parameters(model), **score(model, test)}
