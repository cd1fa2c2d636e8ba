"""Convolution in which each output map sees only some of the input maps, as C3 of LeNet-5."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from modelzoo.networks.layers.paper_layer import PaperLayer, pair


@keras.saving.register_keras_serializable(package="modelzoo")
class ConnectionTableConv2D(PaperLayer):
    """Convolve each output map with the input maps that a table joins it to, and add its bias.

    Only the kernels of existing connections are weights. They are laid into a kernel that is zero
    everywhere else, so that one ordinary convolution does the work.

    Args:
        connection_table: 0 or 1 in a row for each input map and a column for each output map.
            Every output map has at least one input map.
        kernel_size: n or (height, width).
        strides: n or (vertical, horizontal).
        padding: "valid" or "same"; as in TensorFlow, "same" adds half of what is missing before
            the picture and half after it, where an odd row or column goes.
        padding_value: what "same" pads with, such as the value of the background.
        kernel_initializer: Keras initializer of the kernels, (height, width, connections).
        bias_initializer: Keras initializer of the biases.

    Weights: `kernel` (height, width, connections), where the connections of the first output map
    come first, in the order of their input maps; `bias` (output maps,).

    Input shape: (batch, height, width, input maps), float.

    Output shape: (batch, new height, new width, output maps).

    Raises:
        ValueError: a table that is no table of 0 and 1, or does not fit the input.

    Example:
        >>> ConnectionTableConv2D([[1, 0], [1, 1]], 3)(keras.ops.ones((1, 8, 8, 2))).shape
        TensorShape([1, 6, 6, 2])

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), section II.B and table I.

    Deviations: the kernel is not turned around, which every framework calls convolution.
    """

    def __init__(
        self,
        connection_table: Sequence[Sequence[int]],
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: Literal["valid", "same"] = "valid",
        padding_value: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.connection_table = _checked_table(connection_table)
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.strides = pair(strides, "strides")
        if padding not in ("valid", "same"):
            raise ValueError(f"padding: {padding!r} should be 'valid' or 'same'")
        self.padding, self.padding_value = padding, padding_value
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    @property
    def connections(self) -> int:
        """How many pairs of an input and an output map are joined."""
        return int(self.connection_table.sum())

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the kernels that exist, and the biases."""
        maps, filters = self.connection_table.shape
        if input_shape[-1] != maps:
            raise ValueError(
                f"connection_table: has {maps} rows, but the input has {input_shape[-1]} maps"
            )
        if self.padding == "same" and None in input_shape[1:3]:
            raise ValueError("padding: 'same' needs an input of known height and width")
        self.kernel = self.add_weight(
            shape=(*self.kernel_size, self.connections),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self._margins = [(0, 0), *map(self._margin, input_shape[1:3], (0, 1)), (0, 0)]
        self.bias = self.add_weight(
            shape=self.bias_shape(input_shape), initializer=self.bias_initializer, name="bias"
        )
        # Where each place of the full kernel finds its values; those without any find the zeros
        # that `call` appends.
        places = np.full((filters, maps), self.connections)
        places[self.connection_table.T == 1] = np.arange(self.connections)
        self._places = places.T.reshape(-1)

    def bias_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the shape of the bias: one for each output map."""
        return self.connection_table.shape[1:]

    def call(self, inputs: Any) -> Any:
        """Return the output maps."""
        if self.padding == "same":
            inputs = ops.pad(inputs, self._margins, constant_values=self.padding_value)
        kernel = ops.pad(self.kernel, [(0, 0), (0, 0), (0, 1)])
        kernel = ops.take(kernel, self._places, axis=-1)
        kernel = ops.reshape(kernel, (*self.kernel_size, *self.connection_table.shape))
        outputs = ops.conv(inputs, kernel, self.strides, "valid", data_format="channels_last")
        return outputs + self.bias

    def _margin(self, size: int | None, axis: int) -> tuple[int, int]:
        """Return the rows or columns that "same" adds before and after."""
        if self.padding == "valid" or size is None:
            return 0, 0
        last_start = (-(-size // self.strides[axis]) - 1) * self.strides[axis]
        missing = max(last_start + self.kernel_size[axis] - size, 0)
        return missing // 2, missing - missing // 2


def _checked_table(connection_table: Sequence[Sequence[int]]) -> np.ndarray:
    table = np.asarray(connection_table)
    if table.ndim != 2 or not np.isin(table, (0, 1)).all():
        raise ValueError("connection_table: should hold rows of 0 and 1, all of one length")
    if not table.size or not table.any(axis=0).all():
        raise ValueError("connection_table: every output map should have an input map")
    return table.astype(int)
