"""What a file of weights holds, whatever wrote it: its layers, with their arrays as Keras has them.

* Keras 3 `.weights.h5`: layers/NAME/vars/0, 1, ...
* legacy weights-only `.h5` of `save_weights`: a group a layer, `layer_names`, `weight_names`
* legacy whole-model `.h5` of `save`: the same below `model_weights`, beside `model_config` and
  optimizer state
* `.keras` archive: Keras 3 weights, beside a description
* a state dict of PyTorch (`.pth`, `.safetensors`): MODULE.weight, MODULE.bias, ...
* a network of Caffe (`.npy`): LAYER: [kernel, bias]
"""

import contextlib
import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.networks.layer import Shape
from modelzoo.weights.archives import (
    CaffeArrays,
    SafeTensors,
    numbered,
    open_caffe,
    open_keras,
    open_safetensors,
)
from modelzoo.weights.hdf5 import CheckedFile, open_checked
from modelzoo.weights.state_dict import StateDict, open_state_dict

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # the second: Keras 2.12 to 3.0
KERAS_3, KERAS_ARCHIVE = "Keras 3 weights", "Keras archive"
TORCH, SAFETENSORS, CAFFE = "PyTorch state dict", "PyTorch safetensors", "Caffe arrays"
OPENERS = {  # by suffix; all others are HDF5
    ".keras": open_keras,
    ".npy": open_caffe,
    ".pt": open_state_dict,
    ".pth": open_state_dict,
    ".safetensors": open_safetensors,
}
TORCH_NAMES = ("weight", "bias", "running_mean", "running_var")  # in Keras' order
LEFT_OVER = "is an array of no layer; nothing is left out silently"


@dataclass(frozen=True)
class StoredLayer:
    """The weights of one layer.

    They are float32, in Keras' layout and order: kernel, bias; gamma, beta, mean, variance.
    """

    name: str  # that the layer had where it was saved, "" if the file does not say
    key: str  # what stands for the layer in the file, such as "conv2d_1"
    arrays: list[np.ndarray]

    @property
    def label(self) -> str:
        return self.name or self.key

    @property
    def shapes(self) -> list[Shape]:
        return [array.shape for array in self.arrays]

    @property
    def kind(self) -> str:
        """Conv2D, Dense or BatchNormalization; "" if no layer has weights of these shapes."""
        shapes = self.shapes
        ranks = [len(shape) for shape in shapes]
        if ranks in ([4, 1], [4], [2, 1], [2]) and shapes[-1][-1] == shapes[0][-1]:
            return "Conv2D" if ranks[0] == 4 else "Dense"
        return "BatchNormalization" if ranks == [1] * 4 and len(set(shapes)) == 1 else ""


@dataclass(frozen=True)
class Stored:
    """The layers of a file that have weights, and what it says of itself."""

    path: Path
    layout: str  # one of the constants, "legacy weights" or "legacy model"
    layers: list[StoredLayer]  # in the network's order, unless they are `sorted_by_kind`
    layer_names: list[str] = field(default_factory=list)  # of a legacy file, also without arrays
    version: str = ""  # of Keras
    backend: str = ""  # "tensorflow", "theano", ...
    config: str | None = None  # JSON that describes the network

    @property
    def is_torch(self) -> bool:
        """Whether maps were flattened channel by channel, not pixel by pixel as Keras does."""
        return self.layout in (TORCH, SAFETENSORS)

    @property
    def is_caffe(self) -> bool:
        """Whether its first layer takes blue, green and red, and normalisation is Caffe's."""
        return self.layout == CAFFE

    @property
    def sorted_by_kind(self) -> bool:
        """Whether the order of the layers is lost: Keras 3 numbers those of each class."""
        return self.layout in (KERAS_3, KERAS_ARCHIVE)


def read_stored(path: Path) -> Stored:
    """Read a file of weights, after checking that every array belongs to a layer."""
    with _opened(path) as file:
        if isinstance(file, StateDict | SafeTensors):
            layers = _torch_layers(file)
            if isinstance(file, StateDict):
                return Stored(path, TORCH, layers)
            return Stored(path, SAFETENSORS, _in_order(layers))
        if isinstance(file, CaffeArrays):
            return Stored(
                path, CAFFE, [StoredLayer(name, name, a) for name, a in file.layers.items()]
            )
        root = "model_weights" if "model_weights" in file.groups else ""
        if any(file.has_attribute(root, name) for name in ("layer_names", "layer_names0")):
            return _legacy(file, root)
        if any(re.split(r"[/\\]", group)[-1] in CONTAINERS for group in file.groups):
            layout = KERAS_3 if file.description is None else KERAS_ARCHIVE
            layers = _keras_3_layers(file)
            return Stored(path, layout, layers, version=file.version, config=file.description)
        raise file.refuse("", "holds no weights in a layout of Keras 2.0 to 3.x")


def check_whole(path: Path) -> None:
    """Raise an InputError if a file is cut off, or holds what no file of weights does."""
    with _opened(path):
        pass


def _opened(path: Path) -> contextlib.AbstractContextManager[Any]:
    return OPENERS.get(path.suffix, open_checked)(path)


def _torch_layers(state: StateDict | SafeTensors) -> list[StoredLayer]:
    """Return the modules of a state dict as layers, in the order of the file."""
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in state.tensors.items():
        module, _, kind = name.rpartition(".")
        module = re.sub(r"\A((module|_orig_mod)\.)+", "", module)  # of its wrappers
        arrays = modules.setdefault(module, {})
        if kind not in TORCH_NAMES or not tensor.shape or kind in arrays:
            raise state.refuse(name, "is neither the weight nor the bias of a layer that we have")
        array = state.read(name)
        if array.ndim in (2, 4):  # (maps, inputs, height, width) -> (height, width, inputs, maps)
            array = array.transpose(*range(2, array.ndim), 1, 0)
        arrays[kind] = array
    for module, arrays in modules.items():
        if ("running_mean" in arrays) != ("running_var" in arrays):
            raise state.refuse(f"{module}.running_mean", "needs a variance, and the reverse")
    return [
        StoredLayer(module, module, [arrays[kind] for kind in TORCH_NAMES if kind in arrays])
        for module, arrays in modules.items()
    ]


def _in_order(layers: list[StoredLayer]) -> list[StoredLayer]:
    """Return layers in the order of a chain, where a file has them by name.

    Convolutions come before dense layers, each kind by its numbers; a normalisation comes behind
    the first layer left with as many maps.
    """
    norms = [each for each in layers if each.kind == "BatchNormalization"]
    chain = [each for each in layers if each.kind != "BatchNormalization"]
    chain.sort(key=lambda each: (each.kind == "Dense", numbered(each.key)))
    at = 0
    for norm in sorted(norms, key=lambda each: numbered(each.key)):
        maps = norm.shapes[0]
        at = next(
            (n + 1 for n in range(at, len(chain)) if chain[n].shapes[0][-1:] == maps), len(chain)
        )
        chain.insert(at, norm)
        at += 1
    return chain


def _legacy(checked: CheckedFile, root: str) -> Stored:
    names, prefix = _names(checked, root, "layer_names"), f"{root}/" if root else ""
    version, backend = (
        checked.text(root, name) or checked.text("", name) or ""
        for name in ("keras_version", "backend")
    )
    layers: list[StoredLayer] = []
    placed: set[str] = set()
    for name in names:
        group = f"{prefix}{name}"
        if group not in checked.groups:
            raise checked.refuse(group, "is a layer that the file names but does not hold")
        by_parent: dict[str, list[np.ndarray]] = {}  # a nested network is one group of many layers
        for weight in _names(checked, group, "weight_names"):
            path = f"{group}/{weight}"
            if path not in checked.arrays:
                raise checked.refuse(path, "is an array that the file names but does not hold")
            if path in placed:
                raise checked.refuse(path, "is named twice")
            placed.add(path)
            if not _is_random_state(weight):
                array = checked.read(path)
                if backend == "theano" and array.ndim == 4:  # it turns the kernel around
                    array = array[::-1, ::-1].copy()
                parent = weight.rpartition("/")[0].rpartition("/")[2] or name
                by_parent.setdefault(parent, []).append(array)
        if len(by_parent) == 1:
            by_parent = {name: by_parent.popitem()[1]}
        layers += [StoredLayer(each, each, arrays) for each, arrays in by_parent.items()]
    for path in checked.arrays:
        if path.startswith(prefix) and path not in placed and not path.startswith("optimizer"):
            raise checked.refuse(path, LEFT_OVER)
    config = checked.text("", "model_config")
    layout = "legacy weights" if config is None else "legacy model"
    return Stored(checked.path, layout, layers, names, version, backend, config)


def _keras_3_layers(checked: CheckedFile) -> list[StoredLayer]:
    places: dict[str, dict[int, str]] = {}  # of the arrays of each layer
    for path in checked.arrays:
        parts = re.split(r"[/\\]", path)  # the second: written on Windows
        if parts[0] == "optimizer" or _is_random_state(path):
            continue
        if len(parts) < 4 or parts[-2] != "vars" or parts[-4] not in CONTAINERS:
            raise checked.refuse(path, LEFT_OVER)
        key = "/".join(part for part in parts[:-2] if part not in CONTAINERS)
        numbered = places.setdefault(key, {})
        if not re.fullmatch(r"\d{1,3}", parts[-1]) or int(parts[-1]) in numbered:
            raise checked.refuse(path, "is not where Keras 3 puts an array")
        numbered[int(parts[-1])] = path
    layers = []
    last = {key.rpartition("/")[2] for key in places}
    for key, numbered_paths in places.items():
        if len(last) == len(places):  # else a nested network has layers of the same name
            key = key.rpartition("/")[2]
        paths = dict(sorted(numbered_paths.items()))
        if list(paths) != list(range(len(paths))):
            raise checked.refuse(key, f"has arrays {list(paths)}; some are missing")
        name = checked.text(paths[0].rpartition("/")[0], "name") or ""
        layers.append(StoredLayer(name, key, [checked.read(path) for path in paths.values()]))
    return _in_order(layers)


def _names(checked: CheckedFile, group: str, attribute: str) -> list[str]:
    """Return a list of names; a list above 64 kB was split by Keras into NAME0, NAME1, ..."""
    numbered = (f"{attribute}{number}" for number in itertools.count())
    parts = [*itertools.takewhile(lambda part: checked.has_attribute(group, part), numbered)]
    if checked.has_attribute(group, attribute):
        parts = [attribute]
    return [name for part in parts for name in checked.texts(group, part)]


def _is_random_state(path: str) -> bool:
    return "seed_generator" in path or "random_generator" in path
