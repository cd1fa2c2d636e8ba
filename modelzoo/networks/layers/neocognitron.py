"""The cells of the Neocognitron, and a network of them that organises itself inside `fit`."""

from typing import Any

import keras
import numpy as np
from keras import ops

from modelzoo.networks import kinds
from modelzoo.networks.layers.paper_layer import PaperLayer
from modelzoo.networks.reference.neocognitron import fall_off, v_cell_weights

GRADES = 2048.0  # of each factor e, in which outputs compete
LOWEST_GRADE = 2.0**18  # added, so that the grade of the smallest float32 is above 0
Synapses = list[tuple[Any, Any]]  # a and b of each S-layer, from the input on


@keras.saving.register_keras_serializable(package="modelzoo")
class SCells(PaperLayer):
    """S-planes with shunting inhibition, and the winner-take-all rule that reinforces them.

    In each position n of a plane k, with u the inputs and v over an area around n:

        e = sum of a(v, k) u(n + v)                       excitation
        h = sqrt(sum of c(v) u(n + v)**2)                 output of the V-cell
        output = r phi[(1 + e) / (1 + 2 r / (1 + r) b(k) h) - 1],  phi[x] = max(x, 0)

    a and b change by `reinforce` alone: they are not trainable by gradient, and calling the layer
    leaves them as they are. c falls off as decay**|v|, |v| in cells, and sums to 1 over area and
    input planes.

    Args:
        planes: number of S-planes.
        area: side of the square of input cells that a cell is joined to.
        padding: rows and columns of zeros around the inputs, ((top, bottom), (left, right)).
        selectivity: r, efficacy of the inhibition, above 0. A cell that has learned a feature well
            answers what is similar to it by more than r / (1 + r), where 1 is the feature itself.
        learning_selectivity: r in the competition for reinforcement; None for the same.
        reinforcement: q, the speed of learning, above 0.
        column: side of an S-column, the square of cells of all planes that compete.
        decay: of c, in (0, 1].
        initial: scale of a before learning, above 0; b starts at 0.

    Input shape: (batch, height, width, input planes), float, not negative.

    Output shape: (batch, height + padding - area + 1, width + padding - area + 1, planes).

    Reference:
        Fukushima (1980), equations 1-3, 7 and 8, and section 5.

    Deviations: the paper does not print c nor the initial a. c is as above. a starts at `initial`
    times c, times a tuning to lines through the centre at the angle pi k / K, times
    1 - d, where d is the distance of k' / K' and k / K on a circle of length 1, as far as the
    paper's words go ("a function of v, k/K and |k'/K' - k/K|", weakly orientated, not random).
    Outputs compete in grades of 0.05 %: of equal largest ones in an S-column all are candidates,
    at one position the plane of lowest number, and of a plane's the first. A
    `learning_selectivity` of its own is of Fukushima (2003), not of the paper.
    """

    kind = kinds.SCells

    def build(self, input_shape: Any) -> None:
        self.c = v_cell_weights(self.area, self.decay, input_shape[-1])
        start = self.initial * initial_tuning(self.area, input_shape[-1], self.planes)
        start = start * self.c[:, :, np.newaxis, np.newaxis]
        self.a_initializer = lambda shape, dtype: ops.convert_to_tensor(start, dtype)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return self._outputs(*self._sums(inputs, self.a, self.b), self.selectivity)

    def _sums(self, inputs: Any, a: Any, b: Any) -> tuple[Any, Any]:
        """Return the excitation of every cell and its inhibition, b times the V-cell's output."""
        inputs = ops.pad(inputs, [(0, 0), *self.padding, (0, 0)])
        c = ops.convert_to_tensor(self.c[:, :, np.newaxis, np.newaxis], inputs.dtype)
        energy = ops.sum(ops.square(inputs), axis=-1, keepdims=True)
        excitation = ops.conv(inputs, a, padding="valid", data_format="channels_last")
        energy = ops.conv(energy, c, padding="valid", data_format="channels_last")
        seen = energy > 0  # the root has no derivative at 0, where nothing is seen: it counts as 0
        root = ops.sqrt(ops.where(seen, energy, ops.ones_like(energy)))
        return excitation, b * ops.where(seen, root, ops.zeros_like(root))

    def _outputs(self, excitation: Any, inhibition: Any, selectivity: float) -> Any:
        # (1 + e) / (1 + i) - 1, in a form that keeps small outputs exact: they compete, too
        shunting = 2.0 * selectivity / (1.0 + selectivity) * inhibition
        return selectivity * ops.relu((excitation - shunting) / (1.0 + shunting))

    def reinforce(self, inputs: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
        """Show one image, (1, height, width, input planes), to cells with the synapses a and b.

        Return the outputs as the image finds them, and a and b as it leaves them, not assigned.
        """
        sums = self._sums(inputs, a, b)
        outputs = competing = self._outputs(*sums, self.selectivity)
        if self.learning_selectivity is not None:
            competing = self._outputs(*sums, self.learning_selectivity)
        added_a, added_b = self._changes(inputs[0], competing[0])
        return outputs, a + added_a, b + added_b

    def _changes(self, image: Any, outputs: Any) -> tuple[Any, Any]:
        """Return what one image adds to a and b, by the areas that the representatives saw."""
        found, places = self._representatives(outputs)
        padded = ops.pad(image, [*self.padding, (0, 0)])
        height, width, planes = padded.shape
        corners = places // outputs.shape[1] * width + places % outputs.shape[1]
        steps = ops.arange(self.area, dtype=corners.dtype)
        cells = corners[:, None, None] + steps[:, None] * width + steps
        seen = ops.take(ops.reshape(padded, (height * width, planes)), cells, axis=0)
        c = ops.convert_to_tensor(self.c[:, :, np.newaxis], seen.dtype)
        v = ops.sqrt(ops.sum(c * ops.square(seen), axis=(1, 2, 3)))  # planes
        added = self.reinforcement * found[:, None, None, None] * c * seen  # planes, area, area, …
        return ops.transpose(added, (1, 2, 3, 0)), self.reinforcement / 2 * found * v

    def _representatives(self, outputs: Any) -> tuple[Any, Any]:
        """Return for each plane whether it has a representative (1 or 0), and at which position.

        `representatives` of the reference has the rule.
        """
        outputs = _graded(outputs)
        height, width, planes = outputs.shape
        column = (min(self.column, height), min(self.column, width))
        largest = ops.max(outputs, axis=-1)[None, :, :, None]
        of_columns = _max_pool(largest, column)
        # A cell is the largest of a column if it reaches the least of the columns it stands in.
        around = [(0, 0), *((side - 1, side - 1) for side in column), (0, 0)]
        least = -_max_pool(ops.pad(-of_columns, around, constant_values=-np.inf), column)
        candidates = (largest >= least)[0]
        planes_of = ops.argmax(outputs, axis=-1)[..., None] == ops.arange(planes)
        kept = ops.where(ops.logical_and(candidates, planes_of), outputs, ops.zeros_like(outputs))
        kept = ops.reshape(kept, (height * width, planes))
        found = ops.cast(ops.max(kept, axis=0) > 0, outputs.dtype)
        return found, ops.argmax(kept, axis=0)


@keras.saving.register_keras_serializable(package="modelzoo")
class CCells(PaperLayer):
    """C-planes: each blurs one S-plane, under the inhibition of the average over all planes.

    In each position n of a plane k, with u the inputs and v over an area around n:

        e(k) = sum of d(v) u(n + v, k)                    excitation
        h = mean of e over the planes                     output of the V-cell
        output = psi[(1 + e) / (1 + h) - 1],  psi[x] = x / (saturation + x) above 0, else 0

    d falls off as decay**|v|, |v| in cells, and is 1 in the middle of an odd area. Nothing is
    learned.

    Args:
        area: side of the square of S-cells that a cell is joined to.
        strides: distance of neighbouring cells' areas, from 1.
        padding: rows and columns of zeros around the inputs, ((top, bottom), (left, right)).
        saturation: alpha, above 0.
        decay: of d, in (0, 1].

    Input shape: (batch, height, width, planes), float, not negative.

    Output shape: (batch, (height + padding - area) // strides + 1, width likewise, planes); 0 to
    below 1.

    Reference:
        Fukushima (1980), equations 4-6.

    Deviations: the paper does not print d. psi is 0 below 0, also where the printed x / (alpha + x)
    becomes positive again, x < -alpha.
    """

    kind = kinds.CCells

    def call(self, inputs: Any) -> Any:
        inputs = ops.pad(inputs, [(0, 0), *self.padding, (0, 0)])
        d = fall_off(self.area, self.decay)[:, :, np.newaxis, np.newaxis]
        d = ops.convert_to_tensor(np.repeat(d, inputs.shape[-1], axis=2), inputs.dtype)
        excitation = ops.depthwise_conv(
            inputs, d, strides=self.strides, padding="valid", data_format="channels_last"
        )
        # not ops.mean: on PyTorch it takes the mean of float64 in float32
        inhibition = ops.sum(excitation, axis=-1, keepdims=True) / excitation.shape[-1]
        # (1 + e) / (1 + h) - 1 in a form that keeps small outputs exact
        x = ops.relu((excitation - inhibition) / (1.0 + inhibition))
        return x / (self.saturation + x)


@keras.saving.register_keras_serializable(package="modelzoo")
class SelfOrganizing(keras.Model):
    """A chain of `SCells`, `CCells` and others whose `train_step` reinforces the S-cells first.

    In each of the first `steps` batches, which the optimizer counts, every image is shown by
    itself, and all S-layers are reinforced by it, before the next is shown: the batch size makes no
    difference. Labels are not looked at. In every batch, also after those, Keras' own step trains
    the layers that have trainable weights: a read-out on top.
    """

    def __init__(self, *args: Any, steps: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = steps

    def train_step(self, *arguments: Any) -> Any:
        """Train on one batch: Keras passes data, or state and data where the backend is JAX."""
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

    def _show(self, image: Any, synapses: Synapses) -> Synapses:
        """Return the synapses that one image, of shape (1, height, width, channels), leaves."""
        after: Synapses = []
        for layer in self.layers:
            if isinstance(layer, SCells):
                image, a, b = layer.reinforce(image, *synapses[len(after)])
                after.append((a, b))
            elif isinstance(layer, CCells):
                image = layer(image)
        return after

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "SelfOrganizing":
        described = {name: value for name, value in config.items() if name != "steps"}
        model = super().from_config(described, custom_objects=custom_objects)
        model.steps = config["steps"]
        return model


def initial_tuning(area: int, input_planes: int, planes: int) -> np.ndarray:
    """Return (area, area, input planes, planes), 0.25 to 1: what a prefers before it learns."""
    side = np.arange(area) - (area - 1) / 2
    angle = np.pi * np.arange(1, planes + 1) / planes
    away = side[:, None, None] * np.cos(angle) + side[:, None] * np.sin(angle)  # rows downwards
    lines = 0.5 + 0.5 * np.exp(-(away**2))
    if input_planes == 1:
        return lines[:, :, None, :]
    shares = np.arange(1, input_planes + 1)[:, None] / input_planes
    apart = np.abs(shares - np.arange(1, planes + 1) / planes)
    return lines[:, :, None, :] * (1 - np.minimum(apart, 1 - apart))


def _graded(outputs: Any) -> Any:
    """Return 0 for silent cells, and for others a grade of 0.05 %, larger for larger outputs.

    Lines are symmetric, so planes often tie: without grades, rounding would choose the winner.
    """
    answers = outputs > 0
    grade = ops.round(ops.log(ops.where(answers, outputs, ops.ones_like(outputs))) * GRADES)
    return ops.where(answers, grade + LOWEST_GRADE, ops.zeros_like(outputs))


def _max_pool(x: Any, size: tuple[int, int]) -> Any:
    return ops.max_pool(x, size, strides=1, padding="valid", data_format="channels_last")
