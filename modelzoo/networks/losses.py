"""Losses of the papers that Keras lacks. A YAML names them as it names those of Keras."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="modelzoo")
class MAPCriterion(keras.losses.Loss):
    """The maximum a posteriori criterion of LeNet-5: the right class against all, and rubbish.

    For the penalties y_i = -score_i and the right class D the loss of an image is

        y_D + log(exp(-j) + sum over i of exp(-y_i)),

    which is -log p_D for p_i = exp(-y_i) / (exp(-j) + sum over k of exp(-y_k)): the probability
    of class D where "none of them", the rubbish class, has the constant penalty j. It pulls the
    penalty of the right class down and pushes those of the others up, but not far above j.

    Args:
        j: the penalty of the rubbish class, larger than 0.
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: one-hot labels (batch, classes); mixed labels give the mean of their losses.
        y_pred: scores (batch, classes), the negated penalties.

    Raises:
        ValueError: j is not above 0.

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), section II.C, equation 9.

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
        """Return the loss of each image, (batch,)."""
        penalty = -ops.sum(y_true * y_pred, axis=-1)
        return penalty + ops.logaddexp(ops.logsumexp(y_pred, axis=-1), -self.j)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that a saved model can be read again."""
        return {**super().get_config(), "j": self.j}


@keras.saving.register_keras_serializable(package="modelzoo")
class BipolarMeanSquaredError(keras.losses.Loss):
    """Mean squared error where the right unit should be at +1 and every other at -1.

    Args:
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: one-hot labels (batch, classes) of 0 and 1.
        y_pred: activations (batch, classes).

    Reference:
        LeCun et al. (1989), Backpropagation applied to handwritten zip code recognition, Neural
        Computation 1, 541-551.

    Deviations: none. (The paper prints no formula; the mean here is over units and images.)
    """

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "bipolar_mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (batch,)."""
        return ops.mean(ops.square(2 * y_true - 1 - y_pred), axis=-1)
