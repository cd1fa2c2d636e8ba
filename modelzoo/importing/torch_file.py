"""A state dict of PyTorch, which holds nothing but names, shapes and numbers."""

from __future__ import annotations

from pathlib import Path

from modelzoo.config import list_models, load_config
from modelzoo.importing.foreign import FLAT_BY_PIXEL, Foreign, Weighted, check_chain
from modelzoo.weights.from_torch import classes_of, keras_kernel, modules_of
from modelzoo.weights.state_dict import StateDict, open_state_dict

TURNED = "kernels: from (outputs, inputs, height, width) to (height, width, inputs, outputs)"


def look_at_torch(path: Path) -> Foreign:
    """Return what a `.pth` file says.

    Raises:
        InputError: the file cannot be read.
    """

    def weighted() -> list[Weighted]:
        with open_state_dict(path) as again:
            return _weighted(again)

    with open_state_dict(path) as state:
        return Foreign(
            path,
            "PyTorch state dict",
            weighted,
            is_torch=True,
            classes=classes_of(state),
            packaged=_packaged(state),
            notes=[TURNED, FLAT_BY_PIXEL],
        )


def _weighted(state: StateDict) -> list[Weighted]:
    """Return the layers with weights, their kernels as Keras has them.

    Raises:
        InputError: arrays that are no convolution and no dense layer.
    """
    layers: list[Weighted] = []
    for module, shapes in modules_of(state).items():
        shape = shapes.get("weight", ())
        kind = {4: "Conv2D", 2: "Dense"}.get(len(shape))
        if kind is None or shapes.get("bias", shape[:1]) != shape[:1]:
            raise state.refuse(module, f"has arrays of {shapes}, which fit no layer of ours")
        arrays = [keras_kernel(state.read(f"{module}.weight"))]
        if "bias" in shapes:
            arrays.append(state.read(f"{module}.bias"))
        layers.append(Weighted(kind, module, arrays))
    check_chain(layers, state.path)
    return layers


def _packaged(state: StateDict) -> str:
    """Return the packaged network that has the file's maps and publishes such a state dict."""
    found = [tensor.shape[0] for tensor in state.tensors.values() if len(tensor.shape) == 4]
    for name in list_models():
        config = load_config(name)
        published = any(entry.format == "torch" for entry in config.weights)
        if published and list(config.model.conv_maps) == found:
            return name
    return ""
