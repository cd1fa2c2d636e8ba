"""Local response normalisation, the lateral inhibition of AlexNet."""

from typing import Any

import keras
from keras import ops

from modelzoo.networks.layers.paper_layer import PaperLayer


@keras.saving.register_keras_serializable(package="modelzoo")
class LocalResponseNormalization(PaperLayer):
    """Divide each activation by the activity of its neighbours in the channels next to it.

    b_i = a_i / (k + alpha * sum of a_j**2 for j in [i - n // 2, i + n // 2]) ** beta, where the
    sum ends at the first and the last channel.

    Args:
        k: offset; larger than 0 keeps the divisor away from 0.
        n: channels in a neighbourhood, odd.
        alpha: weight of the neighbours' activity; not divided by n.
        beta: exponent.

    Input shape: (batch, height, width, channels), float.

    Output shape: the same.

    Example:
        >>> LocalResponseNormalization()(keras.ops.ones((1, 2, 2, 8))).shape
        TensorShape([1, 2, 2, 8])

    Reference:
        Krizhevsky, Sutskever, Hinton (2012), section 3.3.

    Deviations: none.
    """

    def __init__(
        self, k: float = 2.0, n: int = 5, alpha: float = 1e-4, beta: float = 0.75, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if n < 1 or n % 2 == 0:
            raise ValueError(f"n: {n} should be an odd number of channels")
        self.k, self.n, self.alpha, self.beta = k, n, alpha, beta

    def call(self, inputs: Any) -> Any:
        """Return the normalised activations."""
        radius = self.n // 2
        channels = inputs.shape[-1]
        padding = [(0, 0)] * (len(inputs.shape) - 1) + [(radius, radius)]
        squares = ops.pad(ops.square(inputs), padding)
        activity = sum(squares[..., shift : shift + channels] for shift in range(self.n))
        return inputs / ops.power(self.k + self.alpha * activity, self.beta)
