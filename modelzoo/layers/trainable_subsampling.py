"""Subsampling as LeNet has it: pooling with a trainable coefficient and bias for each map."""

from typing import Any, Literal

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="modelzoo")
class TrainableSubsampling(keras.layers.Layer):
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
        height, width = (pool_size, pool_size) if isinstance(pool_size, int) else pool_size
        if min(height, width) < 1:
            raise ValueError(f"pool_size: {pool_size} should be at least 1")
        if reduction not in ("sum", "mean"):
            raise ValueError(f"reduction: {reduction!r} should be 'sum' or 'mean'")
        self.pool_size, self.reduction = (height, width), reduction
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

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape with height and width divided by the window's."""
        batch, *sizes, maps = input_shape
        windows = zip(sizes, self.pool_size, strict=True)
        return (batch, *(size and size // window for size, window in windows), maps)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that a saved model can be read again."""
        settings = {
            "pool_size": self.pool_size,
            "reduction": self.reduction,
            "coefficient_initializer": keras.initializers.serialize(self.coefficient_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
        return {**super().get_config(), **settings}
