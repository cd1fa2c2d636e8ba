"""A network of S- and C-cells that organises itself inside Keras' `fit`."""

from typing import Any

import keras
from keras import ops

from modelzoo.networks.layers import CCells, SCells

Synapses = list[tuple[Any, Any]]  # a and b of each S-layer, from the input on


@keras.saving.register_keras_serializable(package="modelzoo")
class SelfOrganizing(keras.Model):
    """A functional model whose `train_step` reinforces its S-cells, then trains what follows.

    In each of the first `steps` batches, every image is shown by itself, and all S-layers are
    reinforced by it, before the next is shown: the batch size makes no difference. Labels are not
    looked at. In every batch, also after those, Keras' own step trains the layers that have
    trainable weights: a read-out on top.

    Args:
        args: inputs and outputs, as of `keras.Model`; `SCells` and `CCells` from the input on, in
            one line, and then layers of other kinds.
        steps: batches, counted by the optimizer, in which the S-cells are reinforced.
        kwargs: `inputs`, `outputs`, `name`, … of `keras.Model`.
    """

    def __init__(self, *args: Any, steps: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = steps

    def train_step(self, *arguments: Any) -> Any:
        """Train on one batch.

        Args:
            arguments: data, or state and data where the backend is JAX, as Keras hands them over.
        """
        if keras.backend.backend() == "jax":
            state, data = arguments
            return super().train_step(self._organized_state(state, data[0]), data)
        (data,) = arguments
        self._organize(data[0])
        return super().train_step(data)

    def _organized_state(self, state: Any, images: Any) -> Any:
        """Return JAX's state of a training with the S-cells reinforced by `images`."""
        trainable, others, optimizer, metrics = state
        variables = [*self.non_trainable_variables, *self.optimizer.variables]
        values = zip(variables, [*others, *optimizer], strict=True)
        with keras.StatelessScope(state_mapping=list(values)) as scope:
            self._organize(images)
        others = [scope.get_current_value(each) for each in self.non_trainable_variables]
        return trainable, others, optimizer, metrics

    def _organize(self, images: Any) -> None:
        """Reinforce the S-cells by each image of a batch in turn, if there are steps left."""
        layers = [layer for layer in self.layers if isinstance(layer, SCells)]
        before = [tuple(ops.convert_to_tensor(each) for each in (s.a, s.b)) for s in layers]

        def show_all() -> Synapses:
            def show(number: Any, synapses: Synapses) -> Synapses:
                return self._show(images[number][None], synapses)

            return ops.fori_loop(0, ops.shape(images)[0], show, before)

        is_learning = self.optimizer.iterations < self.steps
        after = ops.cond(is_learning, show_all, lambda: before)
        for layer, (a, b) in zip(layers, after, strict=True):
            layer.a.assign(a)
            layer.b.assign(b)

    def _show(self, picture: Any, synapses: Synapses) -> Synapses:
        """Return the synapses that one image, of shape (1, height, width, channels), leaves."""
        after: Synapses = []
        for layer in self.layers:
            if isinstance(layer, SCells):
                picture, a, b = layer.reinforce(picture, *synapses[len(after)])
                after.append((a, b))
            elif isinstance(layer, CCells):
                picture = layer(picture)
        return after

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the model."""
        return {**super().get_config(), "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "SelfOrganizing":
        """Rebuild a model from what `get_config` returned."""
        config = dict(config)
        steps = config.pop("steps")
        model = super().from_config(config, custom_objects=custom_objects)
        model.steps = steps
        return model
