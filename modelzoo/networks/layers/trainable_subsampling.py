"""Subsampling as LeNet has it: pooling with a trainable coefficient and bias for each map."""

from typing import Any, Literal

import keras
from keras import ops

from modelzoo.networks.layers.paper_layer import PaperLayer, pair


@keras.saving.register_keras_serializable(package="modelzoo")
class TrainableSubsampling(PaperLayer):
    """Add the inputs of each window, multiply by the map's coefficient, add the map's bias.

    Windows do not overlap; rows and columns that no full window covers are ignored. The squashing
    function that follows in the paper is a layer of its own, `ScaledTanh`.

    Args:
        pool_size: height and width of a window, n or (height, width).
        reduction: "sum" of the window's inputs, as in the paper, or their "mean".
        coefficient_initializer: Keras initializer of the coefficients.
        bias_initializer: Keras initializer of the biases.

    Input shape: (batch, height, width, maps), float.

    Output shape: (batch, height // pool height, width // pool width, maps).

    Raises:
        ValueError: another reduction, or a window below 1.

    Example:
        >>> TrainableSubsampling()(keras.ops.ones((1, 28, 28, 6))).shape
        TensorShape([1, 14, 14, 6])

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), section II.B, layers S2 and S4.

    Deviations: none with "sum".
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 2,
        reduction: Literal["sum", "mean"] = "sum",
        coefficient_initializer: Any = "ones",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if reduction not in ("sum", "mean"):
            raise ValueError(f"reduction: {reduction!r} should be 'sum' or 'mean'")
        self.pool_size, self.reduction = pair(pool_size, "pool_size"), reduction
        self.coefficient_initializer = keras.initializers.get(coefficient_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make a coefficient and a bias for each map."""
        maps = (input_shape[-1],)
        self.coefficient = self.add_weight(
            shape=maps, initializer=self.coefficient_initializer, name="coefficient"
        )
        self.bias = self.add_weight(shape=maps, initializer=self.bias_initializer, name="bias")

    def call(self, inputs: Any) -> Any:
        """Return the subsampled maps."""
        # strides written out: left to their default, they fail on JAX (Keras 3.15)
        pooled = ops.average_pool(
            inputs, self.pool_size, strides=self.pool_size, data_format="channels_last"
        )
        inputs_added = self.pool_size[0] * self.pool_size[1] if self.reduction == "sum" else 1
        return pooled * (self.coefficient * inputs_added) + self.bias
