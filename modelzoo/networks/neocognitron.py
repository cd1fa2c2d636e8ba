"""The Neocognitron of 1980, which learns without labels, with a read-out that names its cells."""

from collections.abc import Sequence
from typing import Any

from modelzoo.networks.kinds import CCells, Flatten, SCells
from modelzoo.networks.layer import Count, Layer, Positive, Share, pair
from modelzoo.networks.network import Network, check_input_shape
from modelzoo.networks.stages import Size, classify, per_layer
from modelzoo.support.errors import InputError

Counts = Count | Sequence[Count]
Positives = Positive | Sequence[Positive]
Shares = Share | Sequence[Share]


def neocognitron(
    input_shape: Sequence[int] = (16, 16, 1),
    num_classes: Count = 5,
    *,
    planes: Counts = 24,
    s_size: Size = (16, 8, 2),
    s_area: Counts = 5,
    c_size: Size = (10, 6, 1),
    c_area: Counts = (5, 5, 2),
    c_strides: Counts = (2, 2, 1),
    selectivity: Positives = (4.0, 1.5, 1.5),
    learning_selectivity: Positives | None = None,
    reinforcement: Positives = (1.0, 16.0, 16.0),
    column: Counts = (5, 5, 2),
    saturation: Positives = 0.5,
    s_decay: Shares = (0.9, 0.9, 0.3),
    c_decay: Shares = 0.8,
    initial: Positives = 0.1,
    organizing_steps: Count = 100,
    output_activation: str = "softmax",
    name: str = "neocognitron",
) -> Network:
    """Build the Neocognitron: US1 UC1 US2 UC2 US3 UC3, and a read-out of its last C-cells.

    The S-cells organise themselves in the first batches of `fit`, the labels unseen. Only the
    read-out is trained by gradient, with labels: it tells which class a cell stands for. Wherever a
    list is allowed, it holds one value a module, an S-layer with its C-layer.

    The arguments are those of `SCells` (`area` and `decay` with s_) and `CCells` (with c_), and:

        input_shape: [height, width, channels] of an image.
        num_classes: units of the read-out.
        s_size: cells in an S-plane, n or [height, width]; it says how many modules there are.
        c_size: cells in a C-plane, n or [height, width].
        organizing_steps: batches in which the S-cells are reinforced, from the first on.
        output_activation: name of a Keras activation, for the read-out.
        name: name of the model.

    Input shape: (batch, height, width, channels), float, 0 for the background to 1.

    Output shape: (batch, num_classes); with "softmax", probabilities that sum to 1.

    Returns:
        The network's description. With the defaults it has 29,472 modifiable synapses and 125
        parameters of the read-out.

    Raises:
        InputError: an argument is out of range, or a size that areas and zeros at the borders
            cannot give.

    Reference:
        Fukushima (1980), Neocognitron: a self-organizing neural network model for a mechanism of
        pattern recognition unaffected by shift in position, Biological Cybernetics 36, 193-202.

    Deviations from the paper, in the defaults: it has no read-out. It prints the sizes of the
    planes but not where the areas of their cells lie: here C-cells lie 2 S-cells apart in UC1 and
    UC2, and zeros surround a plane where areas reach beyond it (16 + 5 - 1 = 20 = 2 * 10 and
    8 + 5 - 1 = 12 = 2 * 6, so that every area which touches the plane has its cell). Neither the
    weights c and d nor the first values of a are printed; see `SCells` and `CCells`.
    """
    modules = per_layer(
        locals(),
        "s_size c_size planes s_area c_area c_strides selectivity "
        "learning_selectivity reinforcement column saturation "
        "s_decay c_decay initial",
    )
    layers: list[Layer] = []
    sides = check_input_shape(input_shape)[:2]
    for number, module in enumerate(modules, start=1):
        strides, s_sides = module.c_strides, pair(module.s_size)
        # float32 even under mixed precision: small amounts add up over many images
        layers += [
            SCells(
                name=f"US{number}",
                planes=module.planes,
                area=module.s_area,
                padding=_pads(sides, module.s_size, module.s_area, 1, number, "s_size"),
                selectivity=module.selectivity,
                learning_selectivity=module.learning_selectivity,
                reinforcement=module.reinforcement,
                column=module.column,
                decay=module.s_decay,
                initial=module.initial,
                dtype="float32",
            ),
            CCells(
                name=f"UC{number}",
                area=module.c_area,
                strides=strides,
                padding=_pads(s_sides, module.c_size, module.c_area, strides, number, "c_size"),
                saturation=module.saturation,
                decay=module.c_decay,
                dtype="float32",
            ),
        ]
        sides = pair(module.c_size)
    layers.append(Flatten(name="flatten", dtype="float32"))
    layers.append(classify("output", num_classes, output_activation))
    return Network(name, tuple(input_shape), tuple(layers), organizing_steps)


def _pads(
    sides: Sequence[int], size: Any, area: int, stride: int, number: int, key: str
) -> tuple[tuple[int, int], ...]:
    """Return the zeros (before, after) with which `size` areas cover each side from end to end."""
    pads = []
    for side, count in zip(sides, pair(size), strict=True):
        zeros = (count - 1) * stride + area - side
        if not 0 <= zeros <= 2 * (area - 1):
            least, most = -((area - side) // stride) + 1, (side + area - 2) // stride + 1
            advice = f"give {max(least, 1)} to {most}" if least <= most else "take another distance"
            raise InputError(
                f"{key}: module {number}: {count} areas of {area} at a distance of {stride} do "
                f"not cover {side} cells from end to end; {advice}"
            )
        # An odd row of zeros comes first, then last, and so on: the field stays in the middle.
        before = (zeros + number % 2) // 2
        pads.append((before, zeros - before))
    return tuple(pads)
