"""Convolution whose units share their kernels but not their biases, as in LeNet of 1989."""

import keras

from modelzoo.networks.layers.connection_table_conv2d import ConnectionTableConv2D


@keras.saving.register_keras_serializable(package="modelzoo")
class UnitBiasConv2D(ConnectionTableConv2D):
    """A `ConnectionTableConv2D` with a bias for every unit, not one for each output map.

    It takes the same arguments; a table of ones joins every output map to every input map.

    Weights: `kernel` (height, width, connections); `bias` (new height, new width, output maps).

    Input shape: (batch, height, width, input maps), float; height and width must be known.

    Output shape: (batch, new height, new width, output maps).

    Raises:
        ValueError: as `ConnectionTableConv2D`, or an input of unknown size.

    Example:
        >>> layer = UnitBiasConv2D([[1] * 12], 5, strides=2, padding="same", padding_value=-1)
        >>> layer(keras.ops.ones((1, 16, 16, 1))).shape
        TensorShape([1, 8, 8, 12])

    Reference:
        LeCun et al. (1989), Backpropagation applied to handwritten zip code recognition, Neural
        Computation 1, 541-551, layers H1 and H2.

    Deviations: the kernel is not turned around, which every framework calls convolution.
    """

    def bias_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the shape of the bias: one for each unit."""
        sizes = []
        for axis, size in enumerate(input_shape[1:3]):
            if size is None:
                raise ValueError("a bias for each unit needs an input of known height and width")
            padded = size + sum(self._margins[axis + 1])
            sizes.append((padded - self.kernel_size[axis]) // self.strides[axis] + 1)
        return (*sizes, self.connection_table.shape[1])
