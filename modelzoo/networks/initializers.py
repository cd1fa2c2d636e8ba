"""Initial weights of the papers that Keras lacks."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="modelzoo")
class FanInUniform(keras.initializers.Initializer):
    """Uniform between -2.4 / F and 2.4 / F, where F is the number of inputs of a unit.

    Args:
        fan_in: F, one number, or one for each entry of the weight's last axis.
        seed: of Keras' random numbers; None for another one each time.

    Reference:
        LeCun et al. (1989), section 4; LeCun, Bottou, Bengio, Haffner (1998), appendix A.

    Deviations: none. (F counts the inputs of a unit without its bias, as the papers' tables do.)
    """

    def __init__(self, fan_in: int | Sequence[int], seed: int | None = None) -> None:
        self.fan_in, self.seed = fan_in, seed
        self._uniform = keras.initializers.RandomUniform(-2.4, 2.4, seed=seed)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """Return the initial values."""
        values = self._uniform(shape, dtype=dtype)
        return values / keras.ops.cast(np.asarray(self.fan_in), values.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that a saved model can be read again."""
        fan_in = self.fan_in if isinstance(self.fan_in, int) else list(self.fan_in)
        return {"fan_in": fan_in, "seed": self.seed}
