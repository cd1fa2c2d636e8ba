"""What an attack on images computes, and a network that is trained on attacked images.

Importing this starts the framework. Epsilon is the most that an attack changes a pixel of a
channel, as a share of the range 0..255; images are float32 in 0..255 and stay there.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from modelzoo.config.sections import Adversarial
from modelzoo.support.errors import InputError
from modelzoo.training.fast import scores_of

FULL_RANGE = 255.0


def log_odds(scores: Any, labels: Any) -> Any:
    """Return by how much the wrong classes are ahead of the right one: log((1 - p) / p), (n,).

    With p, the softmax of the right class, the cross-entropy is log(1 + exp(log_odds)): the signs
    of their gradients agree. Where p is 1 in float32, that of the cross-entropy is 0 or noise.
    Reference: Carlini, Wagner (2017), Towards evaluating the robustness of neural networks, section
    V.B, on losses that vanish.
    """
    scores = ops.cast(scores, "float32")
    right = ops.one_hot(labels, scores.shape[-1], dtype="float32")
    others = ops.logsumexp(scores - 1e9 * right, axis=-1)
    return others - ops.sum(scores * right, axis=-1)


def step_size(epsilon: float, steps: int) -> float:
    """Return the grey levels of a step of PGD; all together cross the region and more."""
    return FULL_RANGE * (2.5 * epsilon / steps)


def moved(points: Any, change: Any, low: Any, high: Any) -> Any:
    """Return the tensor `points + change`, brought back to between `low` and `high`."""
    return ops.clip(ops.convert_to_tensor(points) + change, low, high)


class AdversarialTraining(keras.Model):
    """A network each of whose training steps takes the images that an attack makes of the batch.

    "pgd" climbs from a random point within epsilon, "fgsm" takes one step of epsilon from the
    image itself; both by `log_odds` with dropout off, against the class of the largest label. A
    random point follows from the seed and the number of updates, which a run saves. It shares the
    variables of `network`; batches hold images in 0..255, which `prepare` makes its input of.

    Reference:
        Madry, Makelov, Schmidt, Tsipras, Vladu (2018), Towards deep learning models resistant to
        adversarial attacks, ICLR. Deviations: the loss that is climbed, and the size of a step,
        which are those of `modelzoo.attack`; no step's point is kept but the last.
    """

    def __init__(
        self,
        network: keras.Model,
        settings: Adversarial,
        prepare: Callable[[Any], Any],
        seed: int,
    ) -> None:
        if keras.backend.backend() != "tensorflow":
            raise InputError("fit.adversarial: needs --backend tensorflow")
        if type(network).train_step is not keras.Model.train_step:
            raise InputError(
                f"fit.adversarial: {network.name} learns by a rule of its own, not by the "
                "gradients of its loss; leave it out"
            )
        super().__init__(inputs=network.input, outputs=network.output, name=network.name)
        self.settings, self.prepare, self.seed = settings, prepare, seed

    def attack(self, images: Any, labels: Any) -> Any:
        """Return adversarial images, float32 (n, height, width, channels), of those of a batch."""
        import tensorflow as tf

        settings, images = self.settings, ops.cast(images, "float32")
        labels = ops.argmax(labels, axis=-1) if len(labels.shape) == 2 else labels
        budget, steps, points = FULL_RANGE * settings.epsilon, 1, images
        step = budget
        low, high = ops.maximum(images - budget, 0), ops.minimum(images + budget, FULL_RANGE)
        if settings.attack == "pgd":
            updates = ops.cast(self.optimizer.iterations, "int64")
            seeds = tf.stack([tf.constant(self.seed, tf.int64), updates])
            change = tf.random.stateless_uniform(tf.shape(images), seeds, -budget, budget)
            points, steps = moved(images, change, low, high), settings.steps
            step = step_size(settings.epsilon, steps)

        def climb(points: Any) -> tuple[Any]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(points)
                outputs = self(self.prepare(points), training=False)
                loss = log_odds(scores_of(outputs), labels)
            uphill = tape.gradient(loss, points)
            if uphill is None:
                raise ValueError("no gradient passes data.preprocessing")
            return (moved(points, step * ops.sign(uphill), low, high),)

        return tf.while_loop(lambda _: True, climb, (points,), maximum_iterations=steps)[0]

    def train_step(self, data: Any) -> Any:
        """Attack a batch, and learn from the outcome."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        return super().train_step((self.prepare(self.attack(images, labels)), labels, weights))
