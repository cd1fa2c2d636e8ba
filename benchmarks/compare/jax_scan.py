"""LeNet-5 in JAX, an epoch as one scan, convolutions as products: the fastest found on a processor.

XLA's gradient of a convolution is slow on a processor, so that patches are gathered (im2col) and
multiplied; the batches of an epoch are gathered in the compiled scan.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.compare import plain_data

Settings = dict[str, Any]
Weights = list[tuple[jax.Array, jax.Array]]  # kernel and bias of each layer
SHAPES = [(25, 6), (150, 16), (256, 120), (120, 84), (84, 10)]  # kernels: inputs, outputs
RHO, EPSILON = 0.95, 1e-7  # of Adadelta, as in Keras


def initial(seed: int) -> Weights:
    """Return weights as Keras initialises them: Glorot's uniform, biases 0."""
    generator = np.random.default_rng(seed)
    receptive = (25, 25, 1, 1, 1)  # the fans of a convolution count its window
    weights = []
    for (inputs, outputs), window in zip(SHAPES, receptive, strict=True):
        limit = (6 / (inputs + outputs * window)) ** 0.5
        kernel = generator.uniform(-limit, limit, (inputs, outputs)).astype("float32")
        weights.append((jnp.asarray(kernel), jnp.zeros(outputs)))
    return weights


def patches(images: jax.Array) -> jax.Array:
    """Return the 5x5 patches of (n, h, w, c) as (n, h - 4, w - 4, 25 c), rows first."""
    high, wide = images.shape[1] - 4, images.shape[2] - 4
    taps = [images[:, i : i + high, j : j + wide] for i in range(5) for j in range(5)]
    return jnp.concatenate(taps, axis=-1)


def pooled(maps: jax.Array) -> jax.Array:
    """Return the means of 2x2 pixels."""
    count, high, wide, channels = maps.shape
    return maps.reshape(count, high // 2, 2, wide // 2, 2, channels).mean(axis=(2, 4))


def scores_of(weights: Weights, images: jax.Array) -> jax.Array:
    """Return the scores of float32 images (n, 28, 28, 1) from 0 to 1, (n, 10)."""
    values = images
    for kernel, bias in weights[:2]:
        values = pooled(jnp.tanh(patches(values) @ kernel + bias))
    values = values.reshape(len(values), -1)
    for kernel, bias in weights[2:4]:
        values = jax.nn.sigmoid(values @ kernel + bias)
    return values @ weights[4][0] + weights[4][1]


def loss_of(weights: Weights, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross-entropy."""
    logarithms = jax.nn.log_softmax(scores_of(weights, images))
    return -jnp.take_along_axis(logarithms, labels[:, None], axis=1).mean()


def step(state: Any, batch: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
    """Take one step of Adadelta with the rate 1; the state is weights and two running means."""
    weights, squares, deltas = state
    loss, gradients = jax.value_and_grad(loss_of)(weights, *batch)
    squares = jax.tree.map(lambda a, g: RHO * a + (1 - RHO) * g * g, squares, gradients)
    changes = jax.tree.map(
        lambda g, a, d: -jnp.sqrt(d + EPSILON) / jnp.sqrt(a + EPSILON) * g,
        gradients,
        squares,
        deltas,
    )
    deltas = jax.tree.map(lambda d, c: RHO * d + (1 - RHO) * c * c, deltas, changes)
    return (jax.tree.map(jnp.add, weights, changes), squares, deltas), loss


@jax.jit
def epoch(state: Any, images: jax.Array, labels: jax.Array, order: jax.Array) -> Any:
    """Train on the rows of `order`, (steps, batch), one after the other."""

    def one(state: Any, chosen: jax.Array) -> tuple[Any, jax.Array]:
        return step(state, (images[chosen] / 255, labels[chosen]))

    return jax.lax.scan(one, state, order)


@jax.jit
def score(weights: Weights, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return loss and accuracy."""
    outputs = scores_of(weights, images / 255)
    right = jnp.take_along_axis(jax.nn.log_softmax(outputs), labels[:, None], axis=1)
    return -right.mean(), (outputs.argmax(axis=1) == labels).mean()


def lenet5_epoch(settings: Settings) -> dict[str, Any]:
    """Seconds of each epoch but the first, with its validation images scored.

    The images of the last, smaller batch are left out: a scan has steps of one size.
    """
    train, test = (
        (jnp.asarray(x.reshape(-1, 28, 28, 1)), jnp.asarray(y.reshape(-1).astype("int32")))
        for x, y in plain_data.load("mnist")
    )
    cut, weights, seconds = settings["training"], initial(0), []
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state, generator = (weights, zeros, zeros), np.random.default_rng(0)
    training, validation = ([each[part] for each in train] for part in (
        slice(cut), slice(cut, cut + settings["validation"])
    ))  # fmt: skip
    for _ in range(settings["epochs"]):
        began = time.perf_counter()
        order = generator.permutation(cut)[: cut // 128 * 128].reshape(-1, 128)
        state, losses = epoch(state, *training, jnp.asarray(order))
        jax.block_until_ready((losses, score(state[0], *validation)))
        seconds.append(time.perf_counter() - began)
    loss, accuracy = score(state[0], *test)
    facts = {
        "first_seconds": seconds[0],
        "parameters": sum(int(np.prod(shape)) + shape[1] for shape in SHAPES),
        "test_loss": float(loss),
        "test_accuracy": float(accuracy),
    }
    return {"samples": seconds[1:], "facts": facts}
