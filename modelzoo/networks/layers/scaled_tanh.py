"""The squashing function of LeNet: a hyperbolic tangent that keeps +1 and -1 where they are."""

from typing import Any

import keras
from keras import ops

from modelzoo.networks.layers.paper_layer import PaperLayer


@keras.saving.register_keras_serializable(package="modelzoo")
class ScaledTanh(PaperLayer):
    """A tanh(S x), with f(1) = 1 and f(-1) = -1 to within 3e-5 for the default A and S.

    Args:
        amplitude: A, the limit for large inputs; the paper's 1.7159.
        slope: S, which makes the slope at 0 A S = 1.1439 with the paper's 2/3.

    Input shape: any, float.

    Output shape: the same; values between -amplitude and amplitude.

    Example:
        >>> ScaledTanh()(keras.ops.ones((1, 2))).shape
        TensorShape([1, 2])

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), equation 6 and appendix A.

    Deviations: none.
    """

    def __init__(self, amplitude: float = 1.7159, slope: float = 2 / 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.amplitude, self.slope = amplitude, slope

    def call(self, inputs: Any) -> Any:
        """Return the squashed activations."""
        return self.amplitude * ops.tanh(self.slope * inputs)
