"""What the layers of the papers share."""

import inspect
from typing import Any

import keras
import numpy as np


class PaperLayer(keras.layers.Layer):
    """A layer that keeps its constructors' arguments under their names, and is saved with them.

    A subclass states `call`, from which Keras finds the shape of the output, and `build` if it has
    weights.
    """

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        own = [cls for cls in type(self).__mro__ if cls not in PaperLayer.__mro__]
        for name in [name for cls in own for name in inspect.signature(cls).parameters]:
            if name not in ("args", "kwargs"):
                config[name] = _plain(getattr(self, name))
        return config


def _plain(value: Any) -> Any:
    if isinstance(value, keras.initializers.Initializer):
        return keras.initializers.serialize(value)
    return value.tolist() if isinstance(value, np.ndarray) else value
