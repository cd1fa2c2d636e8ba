"""What the layers of the papers share."""

import inspect
from typing import Any

import keras
import numpy as np


class PaperLayer(keras.layers.Layer):
    """A layer that keeps its constructor's arguments under their names, and is saved with them.

    A subclass states `call`, from which Keras finds the shape of the output, and `build` if it has
    weights.
    """

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, so that a saved model can be read again."""
        config = super().get_config()
        for name in inspect.signature(type(self).__init__).parameters:
            if name not in ("self", "kwargs"):
                config[name] = _plain(getattr(self, name))
        return config


def pair(size: int | tuple[int, int], name: str) -> tuple[int, int]:
    """Return (height, width) from n or (height, width), or raise ValueError under the name."""
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"{name}: {size} should be at least 1")
    return height, width


def _plain(value: Any) -> Any:
    if isinstance(value, keras.initializers.Initializer):
        return keras.initializers.serialize(value)
    return value.tolist() if isinstance(value, np.ndarray) else value
