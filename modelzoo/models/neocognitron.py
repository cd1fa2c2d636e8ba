"""The Neocognitron of 1980, which learns without labels, with a read-out that names its cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelzoo.errors import InputError
from modelzoo.models.plan import (
    check_features,
    check_input_shape,
    check_layers,
    check_parameters,
    pair,
    per_layer,
    positive,
)

if TYPE_CHECKING:
    import keras


def neocognitron(
    input_shape: Sequence[int] = (16, 16, 1),
    num_classes: int = 5,
    *,
    planes: int | Sequence[int] = 24,
    s_size: Sequence[int | Sequence[int]] = (16, 8, 2),
    s_area: int | Sequence[int] = 5,
    c_size: Sequence[int | Sequence[int]] = (10, 6, 1),
    c_area: int | Sequence[int] = (5, 5, 2),
    c_strides: int | Sequence[int] = (2, 2, 1),
    selectivity: float | Sequence[float] = (4.0, 1.5, 1.5),
    learning_selectivity: float | Sequence[float] | None = None,
    reinforcement: float | Sequence[float] = (1.0, 16.0, 16.0),
    column: int | Sequence[int] = (5, 5, 2),
    saturation: float | Sequence[float] = 0.5,
    s_decay: float | Sequence[float] = (0.9, 0.9, 0.3),
    c_decay: float | Sequence[float] = 0.8,
    initial: float | Sequence[float] = 0.1,
    organizing_steps: int = 100,
    output_activation: str = "softmax",
    name: str = "neocognitron",
) -> keras.Model:
    """Build the Neocognitron: US1 UC1 US2 UC2 US3 UC3, and a read-out of its last C-cells.

    The S-cells organise themselves in the first batches of `fit`, the labels unseen. Only the
    read-out is trained by gradient, with labels: it tells which class a cell stands for. Wherever a
    list is allowed, it holds one value a module, an S-layer with its C-layer.

    Args:
        input_shape: [height, width, channels] of a picture.
        num_classes: units of the read-out.
        planes: S-planes, and as many C-planes, of each module.
        s_size: cells in an S-plane, n or [height, width]; it says how many modules there are.
        s_area: side of the square of cells that an S-cell sees in each plane before it.
        c_size: cells in a C-plane, n or [height, width].
        c_area: side of the square of S-cells that a C-cell sees.
        c_strides: S-cells between the areas of neighbouring C-cells.
        selectivity: r, efficacy of the inhibition.
        learning_selectivity: r in the competition for reinforcement; null for the same.
        reinforcement: q, speed of learning.
        column: side of an S-column, in which cells compete.
        saturation: alpha of the C-cells.
        s_decay: of the V-cells' weights c, with the distance in cells.
        c_decay: of the C-cells' weights d, with the distance in cells.
        initial: scale of the S-cells' weights before learning.
        organizing_steps: batches in which the S-cells are reinforced, from the first on.
        output_activation: name of a Keras activation, for the read-out.
        name: name of the model.

    Input shape: (batch, height, width, channels), float, 0 for the background to 1.

    Output shape: (batch, num_classes); with "softmax", probabilities that sum to 1.

    Returns:
        An uncompiled `keras.Model`. With the defaults it has 29,472 modifiable synapses and 125
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
    given = {
        "planes": planes, "s_area": s_area, "c_area": c_area, "c_strides": c_strides,
        "column": column, "selectivity": selectivity, "reinforcement": reinforcement,
        "learning_selectivity": learning_selectivity, "saturation": saturation,
        "s_decay": s_decay, "c_decay": c_decay, "initial": initial, "c_size": c_size,
    }  # fmt: skip
    count = check_layers("s_size", s_size)
    spread = {key: per_layer(key, value, count) for key, value in given.items()}
    modules = [
        {"s_size": size, **{key: values[index] for key, values in spread.items()}}
        for index, size in enumerate(s_size)
    ]
    pads = _place(check_input_shape(input_shape), modules)
    _check_size(input_shape[2], modules, positive("num_classes", num_classes))
    positive("organizing_steps", organizing_steps)

    from keras import Input, layers  # only now: signatures are read without a framework

    from modelzoo.layers.c_cells import CCells
    from modelzoo.layers.s_cells import SCells
    from modelzoo.models.self_organization import SelfOrganizing

    inputs = Input(tuple(input_shape), name="input")
    x = inputs
    for number, (module, (s_pads, c_pads)) in enumerate(zip(modules, pads, strict=True), start=1):
        # float32 even under mixed precision: small amounts add up over many pictures
        x = SCells(
            module["planes"],
            module["s_area"],
            padding=s_pads,
            selectivity=module["selectivity"],
            learning_selectivity=module["learning_selectivity"],
            reinforcement=module["reinforcement"],
            column=module["column"],
            decay=module["s_decay"],
            initial=module["initial"],
            dtype="float32",
            name=f"US{number}",
        )(x)
        x = CCells(
            module["c_area"],
            strides=module["c_strides"],
            padding=c_pads,
            saturation=module["saturation"],
            decay=module["c_decay"],
            dtype="float32",
            name=f"UC{number}",
        )(x)
    x = layers.Flatten(dtype="float32", name="flatten")(x)
    outputs = layers.Dense(
        num_classes, activation=output_activation, dtype="float32", name="output"
    )(x)
    return SelfOrganizing(inputs, outputs, steps=organizing_steps, name=name)


COUNTS = ("planes", "s_area", "c_area", "c_strides", "column")
Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)


def _place(shape: tuple[int, int, int], modules: Sequence[dict[str, Any]]) -> list[list[Pads]]:
    """Check the modules, and return the zeros around the inputs of each S-layer and C-layer."""
    sides, pads = shape[:2], []
    for number, module in enumerate(modules, start=1):
        for key, value in module.items():
            if key in COUNTS:
                positive(key, value)
            elif not key.endswith("size"):
                _check_number(key, value)
        of_module = []
        for kind, stride in (("s", 1), ("c", module["c_strides"])):
            sizes, area = pair(f"{kind}_size", module[f"{kind}_size"]), module[f"{kind}_area"]
            where = f"{kind}_size: module {number}"
            # An odd row of zeros comes first, then last, and so on: the field stays in the middle.
            up, across = (
                _surround(side, size, area, stride, number % 2, where)
                for side, size in zip(sides, sizes, strict=True)
            )
            of_module.append((up, across))
            sides = sizes
        pads.append(of_module)
    return pads


def _check_size(planes: int, modules: Sequence[dict[str, Any]], num_classes: int) -> None:
    """Refuse immense layers; `planes` are those of the input."""
    parameters, cells = 0, 0
    for number, module in enumerate(modules, start=1):
        for kind in ("s", "c"):
            height, width = pair(f"{kind}_size", module[f"{kind}_size"])
            check_features(f"{kind}_size: module {number}", height, width, module["planes"])
            cells = height * width * module["planes"]
        # Eight times: what a starts from is computed in float64, in steps.
        parameters += 8 * module["s_area"] ** 2 * planes * module["planes"]
        parameters += 8 * module["c_area"] ** 2 * module["planes"]
        planes = module["planes"]
    check_parameters(parameters + cells * num_classes)


def _surround(
    side: int, size: int, area: int, stride: int, first: int, where: str
) -> tuple[int, int]:
    """Return the zeros (before, after) with which `size` areas cover a plane from end to end."""
    zeros = (size - 1) * stride + area - side
    if not 0 <= zeros <= 2 * (area - 1):
        least, most = -((area - side) // stride) + 1, (side + area - 2) // stride + 1
        advice = f"give {max(least, 1)} to {most}" if least <= most else "take another distance"
        raise InputError(
            f"{where}: {size} areas of {area} at a distance of {stride} do not cover {side} cells "
            f"from end to end; {advice}"
        )
    before = (zeros + first) // 2
    return before, zeros - before


def _check_number(key: str, value: Any) -> None:
    if value is None and key == "learning_selectivity":
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    most = 1 if key.endswith("decay") else math.inf
    if not is_number or not math.isfinite(value) or not 0 < value <= most:
        limits = "above 0" + (" and at most 1" if most == 1 else "")
        raise InputError(f"{key}: {value!r} should be a number {limits}")
