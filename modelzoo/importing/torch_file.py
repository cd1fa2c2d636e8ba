"""A state dict of PyTorch, which holds nothing but names, shapes and numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelzoo.config import list_models, load_config
from modelzoo.importing.foreign import FLAT_BY_PIXEL, Foreign, check_chain
from modelzoo.importing.steps import Step
from modelzoo.weights.from_torch import classes_of, keras_kernel, modules_of
from modelzoo.weights.state_dict import StateDict, open_state_dict

TURNED = "kernels: from (outputs, inputs, height, width) to (height, width, inputs, outputs)"


def look_at_torch(path: Path) -> Foreign:
    """Return what a `.pth` file says.

    Raises:
        InputError: the file cannot be read.
    """

    def skeleton() -> list[Step]:
        with open_state_dict(path) as again:
            return _skeleton(again)

    with open_state_dict(path) as state:
        return Foreign(
            path,
            "PyTorch state dict",
            skeleton,
            is_torch=True,
            classes=classes_of(state),
            packaged=_packaged(state),
            notes=[TURNED, FLAT_BY_PIXEL],
        )


def _skeleton(state: StateDict) -> list[Step]:
    """Return the weighted layers as steps, their kernels as Keras has them.

    Raises:
        InputError: arrays that are no convolution and no dense layer.
    """
    steps: list[Step] = []
    for module, shapes in modules_of(state).items():
        shape = shapes.get("weight", ())
        kind = {4: "conv", 2: "dense"}.get(len(shape))
        if kind is None or shapes.get("bias", shape[:1]) != shape[:1]:
            raise state.refuse(module, f"has arrays of {shapes}, which fit no layer of ours")
        kernel = keras_kernel(state.read(f"{module}.weight"))
        bias = np.zeros(shape[0], "float32")
        if "bias" in shapes:
            bias = state.read(f"{module}.bias")
        steps.append(Step(kind, module, {}, [kernel, bias]))
    check_chain(steps, state.path)
    return steps


def _packaged(state: StateDict) -> str:
    """Return the packaged network that has the file's maps and publishes such a state dict."""
    found = [tensor.shape[0] for tensor in state.tensors.values() if len(tensor.shape) == 4]
    for name in list_models():
        config = load_config(name)
        published = any(entry.format == "torch" for entry in config.weights)
        if published and list(config.model.conv_maps) == found:
            return name
    return ""
