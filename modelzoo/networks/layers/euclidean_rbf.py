"""The output units of LeNet-5: how far the features are from the code of each class."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from modelzoo.networks.layers.paper_layer import PaperLayer


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
        ValueError: codes that are no table, or another number of features.

    Example:
        >>> EuclideanRBF([[1, -1], [-1, -1]])(keras.ops.ones((1, 2))).shape
        TensorShape([1, 2])

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), section II.B, equation 7.

    Deviations: none. (The paper keeps the codes fixed "at least initially"; here they stay so.)
    """

    def __init__(self, codes: Sequence[Sequence[float]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.codes = np.asarray(codes, "float32")
        if self.codes.ndim != 2 or not self.codes.size:
            raise ValueError("codes: should hold a row for each class, all of one length")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check that the codes are as long as the input."""
        if input_shape[-1] != self.codes.shape[1]:
            raise ValueError(
                f"codes: have {self.codes.shape[1]} features, the input has {input_shape[-1]}"
            )

    def call(self, inputs: Any) -> Any:
        """Return the distances."""
        codes = ops.convert_to_tensor(self.codes, inputs.dtype)
        # Difference first: the expanded square loses small distances to rounding.
        return ops.sum(ops.square(ops.expand_dims(inputs, -2) - codes), axis=-1)
