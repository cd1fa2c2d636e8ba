"""Recognise a chain of steps as a network that one of our builders makes.

What has no place in them but can be said in another way, exactly, is rewritten: a batch
normalisation becomes part of the kernel beside it, an activation moves before a max pooling, and
zero padding before a convolution becomes padding: same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.errors import InputError
from modelzoo.importing.steps import Step

EPSILON = 1e-3  # of the batch normalisation in our builders
RISING = {"relu", "relu6", "tanh", "sigmoid", "elu", "selu", "leaky_relu", "softplus", "softsign",
          "hard_sigmoid", "exponential", "linear"}  # fmt: skip


@dataclass
class Plan:
    """A foreign network in our terms.

    Attributes:
        builder: "lenet5" or "alexnet".
        model: the builder's arguments.
        arrays: the weights in the builder's order.
        preprocessing: layers of the file that stand before the first convolution.
        notes: what was rewritten or left out.
    """

    builder: str
    model: dict[str, Any]
    arrays: list[np.ndarray]
    preprocessing: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def recognise(steps: list[Step], shape: tuple[int, int, int], path: Path) -> Plan:
    """Return the plan of a network that takes pictures of `shape`.

    Raises:
        InputError: our builders cannot express it; the message names the layer that stands out.
    """
    notes: list[str] = []
    preprocessing, steps, shape = _preprocessing(list(steps), shape)
    steps = _simplified(steps, path, notes)
    stages, dense = _stages(steps, path)
    arrays = [a for step in steps if step.kind in ("conv", "dense", "norm") for a in step.arrays]
    norms = ["batch" if stage.get("norm") else "none" for stage in stages]
    groups = [stage["conv"].settings["groups"] for stage in stages]
    builder = "alexnet" if any(g != 1 for g in groups) or "batch" in norms else "lenet5"
    convs = [stage["conv"] for stage in stages]
    pools = [stage["pool"].settings if stage.get("pool") else None for stage in stages]
    model: dict[str, Any] = {
        "input_shape": list(shape),
        "num_classes": int(dense[-1][0].arrays[1].size),
        "conv_maps": [int(conv.arrays[1].size) for conv in convs],
        "kernel_size": _one_or_all([_size(conv.arrays[0].shape[:2]) for conv in convs]),
        "strides": _one_or_all([_size(conv.settings["strides"]) for conv in convs]),
        "conv_padding": _one_or_all([conv.settings["padding"] for conv in convs]),
        "pooling": _one_or_all([pool["pooling"] if pool else "none" for pool in pools]),
        "pool_size": _one_or_all([_size(pool["size"]) if pool else 2 for pool in pools]),
        "pool_strides": _one_or_all([_size(pool["strides"]) if pool else None for pool in pools]),
        "pool_padding": _one_or_all([pool["padding"] if pool else "valid" for pool in pools]),
        "dense_units": [int(step.arrays[1].size) for step, _ in dense[:-1]],
        "dense_activation": _one_or_all([step.settings["activation"] for step, _ in dense[:-1]]),
        "dropout": _one_or_all([rate for _, rate in dense[:-1]]) or 0.0,
        "output_activation": dense[-1][0].settings["activation"],
    }
    activations = _one_or_all([conv.settings["activation"] for conv in convs])
    squashing = [s["act"].settings["activation"] if "act" in s else "linear" for s in stages]
    if builder == "alexnet" and set(squashing) - {"linear"}:
        raise InputError(
            f"{path}: has an activation after a pooling, as only lenet5 has, and groups or batch "
            "normalisation, as only alexnet has"
        )
    if builder == "alexnet":
        model |= {"activation": activations, "groups": _one_or_all(groups)}
        model["normalization"] = _one_or_all(norms)
        # Of a network with weights only a later training from scratch makes use of these.
        model |= {"kernel_initializer": "GlorotUniform", "bias_initializer": "Zeros"}
    else:
        model["conv_activation"] = activations
        model["pool_activation"] = _one_or_all(squashing)
    for key in [key for key, value in model.items() if value == [] and key.endswith("activation")]:
        del model[key]  # of layers that the network does not have
    model = {key: v for key, v in model.items() if v != [] or key in ("conv_maps", "dense_units")}
    return Plan(builder, model, arrays, preprocessing, notes)


def _preprocessing(
    steps: list[Step], shape: tuple[int, int, int]
) -> tuple[list[dict[str, Any]], list[Step], tuple[int, int, int]]:
    """Take off what stands before the first convolution and belongs to the pictures."""
    specs: list[dict[str, Any]] = []
    height, width, channels = shape
    while steps and steps[0].kind in ("rescale", "normalize", "pad"):
        step = steps.pop(0)
        if step.kind == "pad":
            if steps and steps[0].kind == "conv" and _is_same(step, steps[0]):
                steps.insert(0, step)  # becomes padding: same
                break
            rows, columns = step.settings["padding"]
            height, width = height + sum(rows), width + sum(columns)
            specs.append({"class_name": "ZeroPadding2D", "config": {"padding": [rows, columns]}})
        else:
            name = {"rescale": "Rescaling", "normalize": "Normalization"}[step.kind]
            specs.append({"class_name": name, "config": dict(step.settings)})
    return specs, steps, (height, width, channels)


def _simplified(steps: list[Step], path: Path, notes: list[str]) -> list[Step]:
    """Rewrite until every step has its place in a builder, or name the one that has none."""
    first_dense = next((i for i, step in enumerate(steps) if step.kind == "dense"), len(steps))
    for step in steps[:first_dense]:
        if step.kind == "dropout":
            notes.append(f"Dropout ({step.name}) is left out: it acts in training only")
    steps = [s for i, s in enumerate(steps) if s.kind != "dropout" or i > first_dense]
    changed = True
    while changed:
        changed = any(_rewrite(steps, index, notes) for index in range(len(steps)))
    for index, step in enumerate(steps):
        before = steps[index - 1].kind if index else "the input"
        after_activation = step.kind == "norm" and before == "conv"
        if step.kind == "act" and before == "pool":
            continue  # LeNet-5 squashes there
        if step.kind in ("act", "pad", "rescale", "normalize") or (
            step.kind == "norm" and not after_activation
        ):
            raise InputError(
                f"{path}: layer {step.name!r:.80} ({step.kind} after {before}) has no place in the "
                "networks of our builders, and cannot be rewritten exactly"
            )
    return steps


def _rewrite(steps: list[Step], index: int, notes: list[str]) -> bool:
    """Rewrite the step at `index` with a neighbour, if an exact rule applies; say whether."""
    step = steps[index]
    before = steps[index - 1] if index else None
    after = steps[index + 1] if index + 1 < len(steps) else None
    if step.kind == "act" and step.settings["activation"] == "linear":
        del steps[index]
        return True
    if step.kind in ("act", "norm") and before is not None:
        swaps = before.kind == "dropout" or (step.kind == "act" and before.kind == "flatten")
        if before.kind == "pool":
            swaps = before.settings["pooling"] == "average" and step.kind == "norm"
            if before.settings["pooling"] == "max":
                rising = step.settings.get("activation") in RISING
                swaps = rising if step.kind == "act" else bool((step.arrays[0] > 0).all())
        if swaps:
            steps[index - 1], steps[index] = step, before
            return True
    if step.kind == "act" and before is not None and before.kind in ("conv", "dense"):
        own = before.settings["activation"]
        if own == "linear" or (own == "relu" and step.settings["activation"] == "relu"):
            before.settings["activation"] = step.settings["activation"]
            del steps[index]
            return True
    if (
        step.kind == "act"
        and step.settings["activation"] == "relu"
        and index > 1
        and steps[index - 1].kind == "pool"
        and steps[index - 2].kind == "conv"
        and steps[index - 2].settings["activation"] in ("relu", "relu6", "sigmoid")
    ):
        del steps[index]  # averages of what is not negative are not negative
        return True
    if step.kind == "norm":
        return _fold(steps, index, before, after, notes)
    if step.kind == "pad" and after is not None and after.kind == "conv" and _is_same(step, after):
        after.settings["padding"] = "same"
        notes.append(f"the zero padding {step.name} is written as padding: same of {after.name}")
        del steps[index]
        return True
    return False


def _fold(
    steps: list[Step], index: int, before: Step | None, after: Step | None, notes: list[str]
) -> bool:
    """Make a batch normalisation part of the kernel before or after it."""
    step = steps[index]
    gamma, beta, mean, variance = (array.astype("float64") for array in step.arrays)
    factor = gamma / np.sqrt(variance + step.settings["epsilon"])
    shift = beta - mean * factor
    if before is not None and before.kind in ("conv", "dense"):
        if before.settings["activation"] == "linear":
            kernel, bias = before.arrays
            before.arrays = [_f32(kernel * factor), _f32(bias * factor + shift)]
            notes.append(f"the batch normalisation {step.name} is part of {before.name}'s weights")
            del steps[index]
            return True
        if before.kind == "conv" and step.settings["epsilon"] != EPSILON:
            scale = np.sqrt((variance + EPSILON) / (variance + step.settings["epsilon"]))
            step.arrays[0] = _f32(gamma * scale)
            step.settings["epsilon"] = EPSILON
        if before.kind == "conv" and (after is None or after.kind != "act"):
            return False  # stays: AlexNet's place for it
    target = after
    if after is not None and after.kind in ("flatten", "dropout") and index + 2 < len(steps):
        target = steps[index + 2]
    if target is None or target.kind not in ("conv", "dense"):
        return False
    kernel, bias = target.arrays
    if target.kind == "dense":
        repeats = kernel.shape[0] // factor.size
        factor, shift = np.tile(factor, repeats), np.tile(shift, repeats)
        target.arrays = [_f32(kernel * factor[:, None]), _f32(bias + shift @ kernel)]
    elif target.settings["padding"] == "valid" and target.settings["groups"] == 1:
        moved = np.einsum("hwio,i->o", kernel.astype("float64"), shift)
        target.arrays = [_f32(kernel * factor[:, None]), _f32(bias + moved)]
    else:
        return False
    notes.append(f"the batch normalisation {step.name} is part of {target.name}'s weights")
    del steps[index]
    return True


def _stages(
    steps: list[Step], path: Path
) -> tuple[list[dict[str, Step]], list[tuple[Step, float]]]:
    """Return the convolutions with what follows each, and the dense layers with their dropout."""
    stages: list[dict[str, Step]] = []
    dense: list[tuple[Step, float]] = []
    for step in steps:
        allowed = {"conv": not dense, "dense": True, "flatten": not dense}.get(step.kind, False)
        if step.kind == "conv":
            stages.append({"conv": step})
        elif step.kind in ("norm", "pool") and stages and not dense:
            allowed = "pool" not in stages[-1] and step.kind not in stages[-1]
            stages[-1][step.kind] = step
        elif step.kind == "act" and stages and not dense:
            allowed = "act" not in stages[-1]
            stages[-1]["act"] = step
        elif step.kind == "dense":
            dense.append((step, 0.0))
        elif step.kind == "dropout" and dense:
            allowed = True
            kept = (1 - dense[-1][1]) * (1 - step.settings["rate"])
            dense[-1] = (dense[-1][0], 1 - kept)
        if not allowed:
            raise InputError(
                f"{path}: layer {step.name!r:.80} ({step.kind}) stands where none of our networks "
                "has one: convolutions, each with a pooling or not, come before dense layers"
            )
    if not dense:
        raise InputError(f"{path}: ends without a dense layer; our networks end with one")
    return stages, dense


def _is_same(pad: Step, conv: Step) -> bool:
    """Whether zero padding before a convolution is what padding: same would do."""
    size, settings = conv.arrays[0].shape[:2], conv.settings
    if settings["padding"] != "valid" or tuple(settings["strides"]) != (1, 1):
        return False
    return pad.settings["padding"] == [[(n - 1) // 2, n // 2] for n in size]


def _size(pair: Any) -> int | list[int]:
    height, width = (int(n) for n in pair)
    return height if height == width else [height, width]


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if values and all(v == values[0] for v in values) else values


def _f32(array: np.ndarray) -> np.ndarray:
    return array.astype("float32")
