"""What the layers of the papers share."""

import inspect
from typing import Any

import keras
import numpy as np

from modelzoo.networks.layer import Layer
from modelzoo.networks.network import convert_layer, plain

STARTS = {  # the initializers that a description leaves to the layer
    "kernel_initializer": "glorot_uniform",
    "coefficient_initializer": "ones",
    "bias_initializer": "zeros",
}


class PaperLayer(keras.layers.Layer):
    """A layer with the arguments, their defaults and the weights of its description.

    Each argument is an attribute, too. By place they follow one another as in `kind`, the
    initializers last. A subclass states `call`, from which Keras finds the shape of the output.
    """

    kind: type[Layer]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__signature__ = inspect.signature(cls.kind)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = [name for name in self.kind.__struct_fields__ if name not in ("name", "dtype")]
        names.sort(key=STARTS.__contains__)
        kwargs = dict(**dict(zip(names[: len(args)], args, strict=True)), **kwargs)
        own = {name: kwargs.pop(name) for name in names if name in kwargs}
        super().__init__(**kwargs)
        for name in names:
            if name in STARTS:
                start = own.pop(name, None) or STARTS[name]
                setattr(self, name, keras.initializers.get(start))
            elif isinstance(own.get(name), np.ndarray):
                own[name] = own[name].tolist()
        self.described: Any = convert_layer(self.kind, own, type(self).__name__)
        for name in set(names) - STARTS.keys():
            setattr(self, name, getattr(self.described, name))

    def build(self, input_shape: Any) -> None:
        inputs = tuple(input_shape[1:])
        if None not in inputs:
            self.described.output_shape(inputs)  # raises InputError if they do not fit
        for name, shape in self.described.weights(inputs).items():
            start = getattr(self, f"{name}_initializer", "zeros")
            trainable = name not in self.kind.fixed
            weight = self.add_weight(shape=shape, initializer=start, trainable=trainable, name=name)
            setattr(self, name, weight)

    def get_config(self) -> dict[str, Any]:
        config = {**plain(self.described), **super().get_config()}
        for name in STARTS.keys() & config.keys():
            config[name] = keras.initializers.serialize(getattr(self, name))
        return config
