"""Where the arrays of a network lie in a file: the three layouts that Keras has written.

* Keras 3 `.weights.h5`: layers/NAME/vars/0, 1, ...
* legacy weights-only `.h5` of `save_weights`: a group a layer, `layer_names`, `weight_names`
* legacy whole-model `.h5` of `save`: the same below `model_weights`, beside `model_config` and
  optimizer state
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from modelzoo.weights.hdf5 import ArrayFacts, CheckedFile

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # the second: Keras 2.12 to 3.0
FLOATS = ("float16", "float32", "float64")


@dataclass(frozen=True)
class StoredLayer:
    """The arrays of one layer, in the order in which Keras keeps them.

    Attributes:
        name: what the layer was called where it was saved, "" if the file does not say.
        key: what stands for the layer in the file, such as "conv2d_1".
        arrays: shapes and places; `kernel` before `bias`, gamma, beta, mean, variance.
    """

    name: str
    key: str
    arrays: tuple[ArrayFacts, ...]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the arrays."""
        return [array.shape for array in self.arrays]


@dataclass(frozen=True)
class Stored:
    """The weighted layers of a file, and what it says of itself.

    Attributes:
        layout: "Keras 3 weights", "legacy weights" or "legacy model".
        layers: those that have arrays; in a legacy file in the network's order.
        layer_names: all layers of a legacy file in order, also those without arrays.
        version: of Keras, "" if unknown.
        backend: "tensorflow", "theano", ...
        config: JSON text that describes the network, if there is one.
    """

    layout: str
    layers: list[StoredLayer]
    layer_names: list[str]
    version: str = ""
    backend: str = ""
    config: str | None = None

    @property
    def in_order(self) -> bool:
        """Whether the file tells the order of layers of different kinds."""
        return self.layout != "Keras 3 weights"


def find_layers(checked: CheckedFile) -> Stored:
    """Return the layers of a file, after checking that every array belongs to one.

    Raises:
        InputError: another layout, a name that points nowhere, or an array that is left over.
    """
    root = "model_weights" if "model_weights" in checked.groups else ""
    if any(checked.has_attribute(root, name) for name in ("layer_names", "layer_names0")):
        return _legacy(checked, root)
    if any(group.split("/")[-1].split("\\")[0] in CONTAINERS for group in checked.groups):
        return _keras_3(checked)
    raise checked.refuse("", "holds no weights in a layout of Keras 2.0 to 3.x")


def read_array(checked: CheckedFile, stored: Stored, facts: ArrayFacts) -> np.ndarray:
    """Return an array as TensorFlow uses it: Theano's convolutions turn the kernel around.

    Raises:
        InputError: its numbers are not floats, are damaged, or are not all finite.
    """
    if facts.dtype.name not in FLOATS:
        raise checked.refuse(
            facts.path, f"holds {facts.dtype.name} numbers; weights are {', '.join(FLOATS)}"
        )
    array = checked.read(facts.path)
    if stored.backend == "theano" and array.ndim == 4:
        return array[::-1, ::-1].copy()
    return array


def by_pixel(kernel: np.ndarray, height: int, width: int, maps: int) -> np.ndarray:
    """Return the kernel (inputs, units) of a dense layer for inputs that run pixel by pixel.

    Keras makes maps flat so, channels last. PyTorch runs channel by channel.
    """
    by_channel = kernel.reshape(maps, height, width, -1)
    return by_channel.transpose(1, 2, 0, 3).reshape(kernel.shape)


def differ_in_units(shapes: list[tuple[int, ...]], others: list[tuple[int, ...]]) -> bool:
    """Whether two layers are alike but for their units, the last dimension of each array."""
    if shapes == others or len(shapes) != len(others):
        return False
    return all(a and b and a[:-1] == b[:-1] for a, b in zip(shapes, others, strict=True))


def _legacy(checked: CheckedFile, root: str) -> Stored:
    names = _names(checked, root, "layer_names")
    layers: list[StoredLayer] = []
    placed: set[str] = set()
    for name in names:
        group = _inside(checked, root, name)
        if group not in checked.groups:
            raise checked.refuse(group, "is a layer that the file names but does not hold")
        by_parent: dict[str, list[ArrayFacts]] = {}  # a nested network is one group of many layers
        for weight in _names(checked, group, "weight_names"):
            path = _inside(checked, group, weight)
            if path not in checked.arrays:
                raise checked.refuse(path, "is an array that the file names but does not hold")
            if path in placed:
                raise checked.refuse(path, "is named twice")
            placed.add(path)
            if not _is_random_state(weight):
                parent = weight.rpartition("/")[0].rpartition("/")[2] or name
                by_parent.setdefault(parent, []).append(checked.arrays[path])
        single = len(by_parent) == 1
        layers += [
            StoredLayer(name if single else parent, name if single else parent, tuple(arrays))
            for parent, arrays in by_parent.items()
        ]
    prefix = f"{root}/" if root else ""
    _refuse_rest(
        checked,
        {
            path
            for path in checked.arrays
            if path.startswith(prefix) and path not in placed and not path.startswith("optimizer")
        },
    )
    return Stored(
        layout="legacy model" if checked.has_attribute("", "model_config") else "legacy weights",
        layers=layers,
        layer_names=names,
        version=_about(checked, root, "keras_version"),
        backend=_about(checked, root, "backend"),
        config=checked.text("", "model_config"),
    )


def _keras_3(checked: CheckedFile) -> Stored:
    found: dict[str, dict[int, ArrayFacts]] = {}
    names: dict[str, str] = {}
    rest: set[str] = set()
    for path, facts in checked.arrays.items():
        parts = path.replace("\\", "/").split("/")  # the second: written on Windows
        if parts[0] == "optimizer" or _is_random_state(path):
            continue
        if len(parts) < 4 or parts[-2] != "vars" or parts[-4] not in CONTAINERS:
            rest.add(path)
            continue
        key, number = parts[-3], parts[-1]
        arrays = found.setdefault(key, {})
        if not re.fullmatch(r"\d{1,3}", number) or int(number) in arrays:
            raise checked.refuse(path, "is not where Keras 3 puts an array")
        arrays[int(number)] = facts
        group = path.rpartition("/")[0]
        names[key] = checked.text(group, "name") or ""
    _refuse_rest(checked, rest)
    layers = []
    for key in sorted(found, key=lambda key: (re.sub(r"_\d+$", "", key), _number(key))):
        arrays = found[key]
        if sorted(arrays) != list(range(len(arrays))):
            raise checked.refuse(key, f"has arrays {sorted(arrays)}; some are missing")
        ordered = tuple(arrays[number] for number in sorted(arrays))
        layers.append(StoredLayer(names[key], key, ordered))
    return Stored("Keras 3 weights", layers, [layer.key for layer in layers])


def _refuse_rest(checked: CheckedFile, paths: set[str]) -> None:
    if left := sorted(paths):
        more = f", with {len(left) - 1} more" if len(left) > 1 else ""
        raise checked.refuse(
            left[0], f"is an array of no layer{more}; nothing is left out silently"
        )


def _names(checked: CheckedFile, group: str, attribute: str) -> list[str]:
    """Return a list of names; a list above 64 kB was split by Keras into NAME0, NAME1, ..."""
    if checked.has_attribute(group, attribute):
        return checked.texts(group, attribute)
    names: list[str] = []
    number = 0
    while checked.has_attribute(group, f"{attribute}{number}"):
        names += checked.texts(group, f"{attribute}{number}")
        number += 1
    return names


def _inside(checked: CheckedFile, group: str, name: str) -> str:
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise checked.refuse(name, f"is no name of something inside {group or 'the file'!r:.80}")
    return f"{group}/{name}" if group else name


def _about(checked: CheckedFile, root: str, name: str) -> str:
    return checked.text(root, name) or checked.text("", name) or ""


def _is_random_state(path: str) -> bool:
    return "seed_generator" in path or "random_generator" in path


def _number(key: str) -> int:
    match = re.search(r"_(\d{1,6})$", key)
    return int(match[1]) if match else 0
