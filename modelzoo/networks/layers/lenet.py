"""The layers, losses and initial weights of LeNet (1989) and LeNet-5 (1998) that Keras lacks.

The papers are those of the builders in `modelzoo.networks.lenet`.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from modelzoo.networks import kinds
from modelzoo.networks.layers.paper_layer import PaperLayer
from modelzoo.networks.reference.windows import laid_out, margins


@keras.saving.register_keras_serializable(package="modelzoo")
class ConnectionTableConv2D(PaperLayer):
    """Convolve each output map with the input maps that a table joins it to, and add its bias.

    Only the kernels of existing connections are weights. They are laid into a kernel that is zero
    everywhere else, so that one ordinary convolution does the work.

    Args:
        connection_table: 0 or 1 in a row for each input map and a column for each output map;
            each has a 1.
        kernel_size: n or (height, width).
        strides: n or (vertical, horizontal).
        padding: "valid" or "same"; as in TensorFlow, "same" adds half of what is missing before
            the image and half after it, where an odd row or column goes.
        padding_value: what "same" pads with, such as the value of the background.
        kernel_initializer: Keras initializer of the kernels, (height, width, connections).
        bias_initializer: Keras initializer of the biases.

    Weights: `kernel` (height, width, connections), where the connections of the first output map
    come first, in the order of their input maps; `bias` (output maps,).

    Input shape: (batch, height, width, input maps), float; height and width must be known.

    Output shape: (batch, new height, new width, output maps).

    Raises:
        ValueError: a table that is no table of 0 and 1, or does not fit the input.

    Reference:
        LeCun et al. (1998), section II.B and table I.

    Deviations: the kernel is not turned around, which every framework calls convolution.
    """

    kind = kinds.ConnectionTableConv2D

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        window, steps = self.described.window, self.described.steps
        self._margins = [(0, 0), *margins(input_shape[1:3], window, steps, self.padding), (0, 0)]
        # Where each place of the full kernel finds its values: at 0 are zeros that `call` adds.
        numbers = np.arange(1, 1 + np.sum(self.connection_table))[np.newaxis, np.newaxis]
        self._places = laid_out(numbers, self.connection_table).reshape(-1)

    def call(self, inputs: Any) -> Any:
        if self.padding == "same":
            inputs = ops.pad(inputs, self._margins, constant_values=self.padding_value)
        kernel = ops.pad(self.kernel, [(0, 0), (0, 0), (1, 0)])
        kernel = ops.take(kernel, self._places, axis=-1)
        sizes = (*self.described.window, *np.shape(self.connection_table))
        kernel, steps = ops.reshape(kernel, sizes), self.described.steps
        outputs = ops.conv(inputs, kernel, steps, "valid", data_format="channels_last")
        return outputs + self.bias


@keras.saving.register_keras_serializable(package="modelzoo")
class UnitBiasConv2D(ConnectionTableConv2D):
    """A `ConnectionTableConv2D` with a bias for every unit, not one for each output map.

    Its `bias` is of (new height, new width, output maps). A table of ones joins all maps.

    Reference:
        LeCun et al. (1989), layers H1 and H2.
    """

    kind = kinds.UnitBiasConv2D


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

    Reference:
        LeCun et al. (1998), section II.B, layers S2 and S4.

    Deviations: none with "sum".
    """

    kind = kinds.TrainableSubsampling

    def call(self, inputs: Any) -> Any:
        # strides written out: left to their default, they fail on JAX (Keras 3.15)
        window = self.described.window
        pooled = ops.average_pool(inputs, window, strides=window, data_format="channels_last")
        added = {"sum": window[0] * window[1], "mean": 1}[self.reduction]
        return pooled * (self.coefficient * added) + self.bias


@keras.saving.register_keras_serializable(package="modelzoo")
class ScaledTanh(PaperLayer):
    """A tanh(S x), with f(1) = 1 and f(-1) = -1 to within 3e-5 for the default A and S.

    Args:
        amplitude: A, the limit for large inputs; the paper's 1.7159.
        slope: S, which makes the slope at 0 A S = 1.1439 with the paper's 2/3.

    Input shape: any, float.

    Output shape: the same; values between -amplitude and amplitude.

    Reference:
        LeCun et al. (1998), equation 6 and appendix A.

    Deviations: none.
    """

    kind = kinds.ScaledTanh

    def call(self, inputs: Any) -> Any:
        return self.amplitude * ops.tanh(self.slope * inputs)


@keras.saving.register_keras_serializable(package="modelzoo")
class EuclideanRBF(PaperLayer):
    """Squared Euclidean distance of the input to a fixed code for each class.

    y_i = sum over j of (x_j - w_ij)**2: the penalty of class i, 0 for a perfect match. The smallest
    wins; `keras.layers.Rescaling(-1)` behind it gives scores of which the largest wins.

    Args:
        codes: w, a row for each class; +1 and -1 in the paper. Not trained, and no weights: they
            are part of the layer's configuration.

    Input shape: (batch, features), float.

    Output shape: (batch, classes); from 0.

    Raises:
        ValueError: codes of another length than the input.

    Reference:
        LeCun et al. (1998), section II.B, equation 7.

    Deviations: none. (The paper keeps the codes fixed "at least initially"; here they stay so.)
    """

    kind = kinds.EuclideanRBF

    def call(self, inputs: Any) -> Any:
        codes = ops.convert_to_tensor(self.codes, inputs.dtype)
        # Difference first: the expanded square loses small distances to rounding.
        return ops.sum(ops.square(ops.expand_dims(inputs, -2) - codes), axis=-1)


@keras.saving.register_keras_serializable(package="modelzoo")
class MAPCriterion(keras.losses.Loss):
    """The maximum a posteriori criterion of LeNet-5: the right class against all, and rubbish.

    For the penalties y_i = -score_i and the right class D the loss of an image is

        y_D + log(exp(-j) + sum over i of exp(-y_i)),

    which is -log of the probability of D where "none of them", the rubbish class, has the constant
    penalty j. It pulls the right class's penalty down and pushes the others up, to little above j.

    Args:
        j: the penalty of the rubbish class, larger than 0.
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: one-hot labels (batch, classes); mixed labels give the mean of their losses.
        y_pred: scores (batch, classes), the negated penalties.

    Raises:
        ValueError: j is not above 0.

    Reference:
        LeCun et al. (1998), section II.C, equation 9.

    Deviations: none. (The paper gives no value for j; the configuration states ours.)
    """

    def __init__(
        self,
        j: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "map_criterion",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not j > 0:
            raise ValueError(f"j: {j} should be above 0")
        self.j = j

    def call(self, y_true: Any, y_pred: Any) -> Any:
        penalty = -ops.sum(y_true * y_pred, axis=-1)
        return penalty + ops.logaddexp(ops.logsumexp(y_pred, axis=-1), -self.j)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "j": self.j}


@keras.saving.register_keras_serializable(package="modelzoo")
class BipolarMeanSquaredError(keras.losses.Loss):
    """Mean squared error where the right unit should be at +1 and every other at -1.

    Call arguments:
        y_true: one-hot labels (batch, classes) of 0 and 1.
        y_pred: activations (batch, classes).

    Reference:
        LeCun et al. (1989).

    Deviations: none. (The paper prints no formula; the mean here is over units and images.)
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(2 * y_true - 1 - y_pred), axis=-1)


@keras.saving.register_keras_serializable(package="modelzoo")
class FanInUniform(keras.initializers.Initializer):
    """Uniform between -2.4 / F and 2.4 / F, where F is the number of inputs of a unit.

    Args:
        fan_in: F, one number, or one for each entry of the weight's last axis. None for a weight
            whose last axis counts the units or maps, and whose others their inputs.
        seed: of Keras' random numbers; None for another one each time.

    Reference:
        LeCun et al. (1989), section 4; LeCun et al. (1998), appendix A.

    Deviations: none. (F counts the inputs of a unit without its bias, as the papers' tables do.)
    """

    def __init__(self, fan_in: int | Sequence[int] | None = None, seed: int | None = None) -> None:
        self.fan_in, self.seed = fan_in, seed
        self._uniform = keras.initializers.RandomUniform(-2.4, 2.4, seed=seed)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        values = self._uniform(shape, dtype=dtype)
        fan_in = math.prod(shape[:-1]) if self.fan_in is None else self.fan_in
        return values / ops.cast(np.asarray(fan_in), values.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"fan_in": self.fan_in, "seed": self.seed}
