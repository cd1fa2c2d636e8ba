"""Weights: `.h5` files of all three layouts, and state dicts of PyTorch."""

import contextlib
import io
import json
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hardening.fuzzing import material
from hardening.fuzzing.arrays import Canary
from hardening.fuzzing.mutation import TEXTS, anything, misspelled, mutated_bytes, mutated_values
from hardening.fuzzing.worker import Place, command
from tests.test_hostile_h5 import SHAPES, write_right

FOUND = Path(os.environ.get("MODELZOO_LEGACY_H5", material.PROJECT.parent / "shared" / "legacy_h5"))
# What HDF5 keeps of an object stands behind such marks: headers, trees, heaps, messages of chunks.
MARKS = (
    b"\x89HDF",
    b"TREE",
    b"SNOD",
    b"HEAP",
    b"GCOL",
    b"OHDR",
    b"OCHK",
    b"FRHP",
    b"BTHD",
    b"FSHD",
)


class H5Files:
    """Mutated `.h5` files through the reader, into networks, and through `import`."""

    def prepare(self, seeds: Path) -> None:
        """Take real files where they are, files of ours, and a network for each."""
        material.start()
        material.write_data()
        paths = sorted(FOUND.glob("*.h5"))
        with write_right(seeds / "whole.h5"):
            pass
        with h5py.File(seeds / "whole.h5") as old, h5py.File(seeds / "only.h5", "w") as new:
            for name in old["model_weights"]:
                old.copy(f"model_weights/{name}", new)
            for name, value in old["model_weights"].attrs.items():
                new.attrs[name] = value
        packaged = material.PROJECT / "modelzoo" / "weights" / "files"
        paths += [seeds / "whole.h5", seeds / "only.h5"]
        paths += sorted(packaged.glob("lenet*/*.h5")) + sorted(packaged.glob("mlp/*.h5"))
        self.files = [path.read_bytes() for path in paths]
        self.places = [_marks(content) for content in self.files]

    def run(self, chance: random.Random, place: Place) -> None:
        """Use one."""
        index = chance.randrange(len(self.files))
        path = place.inputs / "mutated.h5"
        content = self.files[index]
        if chance.random() < 0.5:
            path.write_bytes(mutated_bytes(content, chance, self.places[index]))
        else:
            path.write_bytes(content)
            _change(path, chance)
        way = chance.randrange(10)
        if way < 4:
            _read(path)
        elif way < 7:
            _load(path, chance)
        else:
            material.forget()
            options = chance.choice(
                ((), ("--model", "lenet5"), ("--dataset", "mnist"), ("--json",))
            )
            command("import", str(path), "--out", "out", *options)


def _marks(content: bytes) -> list[int]:
    places = list(range(0, 200, 8))
    for mark in MARKS:
        at = content.find(mark)
        while at >= 0 and len(places) < 500:
            places.append(at)
            at = content.find(mark, at + 4)
    return places


def _read(path: Path) -> None:
    """Look at every object, and read every array."""
    from modelzoo.weights.stored import read_stored

    for layer in read_stored(path).layers:
        assert all(np.isfinite(array).all() for array in layer.arrays)


def _load(path: Path, chance: random.Random) -> None:
    """Load into a network; after a refusal it must be as it was."""
    from modelzoo import build
    from modelzoo.support.errors import InputError
    from modelzoo.weights.reader import load_weights

    material.forget()
    network = build(chance.choice(("lenet5", "lenet5", "mlp", "lenet5_1998")))
    before = network.get_weights()
    try:
        load_weights(network, path, new_head=chance.random() < 0.3)
    except InputError:
        assert all(map(np.array_equal, before, network.get_weights())), "half of it was loaded"
        raise
    assert all(np.isfinite(weight).all() for weight in network.get_weights())


def _change(path: Path, chance: random.Random) -> None:
    """Change what the file says: its description, names, arrays, links, types."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        arrays = [name for name in names if isinstance(file[name], h5py.Dataset)]
        with_texts = [name for name in ("/", *names) if len(file[name].attrs)]
        for _ in range(chance.choice((1, 1, 2))):
            name = chance.choice(arrays)
            if "model_config" in file.attrs and chance.random() < 0.4:
                _change_description(file, chance)
            elif chance.random() < 0.4 and with_texts:
                item = file.get(chance.choice(with_texts))
                if item is not None and len(item.attrs):
                    _change_attribute(item, chance)
            elif isinstance(file.get(name), h5py.Dataset):  # no change before has replaced it
                _change_array(file, name, names, chance)


def _change_description(file: h5py.File, chance: random.Random) -> None:
    text = file.attrs["model_config"]
    text = text.decode() if isinstance(text, bytes) else str(text)
    action = chance.randrange(6)
    if action == 0:
        text = mutated_bytes(text.encode(), chance).decode("utf-8", "replace").replace("\0", "")
    elif action == 1:
        text = chance.choice(("", "null", "[]", "{}", "[" * 5000, '{"a":' * 3000, "1e999", "NaN"))
    else:
        with contextlib.suppress(ValueError, RecursionError):  # a change before: no JSON, or deep
            text = _other_description(text, chance)
    file.attrs["model_config"] = text


def _other_description(text: str, chance: random.Random) -> str:
    values = json.loads(text)
    for _ in range(chance.choice((1, 1, 2))):
        values = mutated_values(values, chance, deeper=0.95)
    return json.dumps(values)


def _change_attribute(item: Any, chance: random.Random) -> None:
    name = chance.choice(sorted(item.attrs))
    value = item.attrs[name]
    action = chance.randrange(6)
    if action == 0:
        del item.attrs[name]
    elif action == 1:
        item.attrs[name] = chance.choice((3, 2.5, np.zeros((3, 0)), np.zeros(3, "S"), b"\xff\xfe"))
    elif action == 2:
        item.attrs[f"{name}{chance.choice(('0', '1', 'x'))}"] = value
    elif isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        texts = [each if isinstance(each, bytes) else str(each).encode() for each in value]
        at = chance.randrange(len(texts)) if texts else 0
        other = chance.choice((misspelled("conv2d/kernel:0", chance), *TEXTS[:20])).encode()
        other = other.replace(b"\0", b"")[:5000]
        texts[at : at + 1] = chance.choice(([other], [], texts[at : at + 1] * 2))
        item.attrs[name] = np.array(texts, dtype=object if action == 3 and texts else None)
    else:
        item.attrs[name] = chance.choice(("theano", "0.1", "3.99.0", "", "x" * 10_000))


def _change_array(file: h5py.File, name: str, names: list[str], chance: random.Random) -> None:
    """Replace, move or remove an array."""
    before = file[name]
    usual = before.dtype.kind == "f" and before.shape and before.size < 10**7
    content = before[()] if usual else np.zeros((2, 3), "f4")  # else a change before has made it
    del file[name]
    others = (
        lambda: None,
        lambda: file.move(chance.choice([each for each in names if each in file]), f"{name}x"),
        lambda: file.create_dataset(name, data=content.astype(chance.choice(("<f2", ">f8", "i4")))),
        lambda: file.create_dataset(name, data=np.where(content == content.max(), np.nan, content)),
        lambda: file.create_dataset(name, data=content[..., np.newaxis]),
        lambda: file.create_dataset(name, data=np.concatenate([content.ravel()] * 2)),
        lambda: file.create_dataset(name, data=np.zeros((0, 3), "f4")),
        lambda: file.create_dataset(name, shape=(2**20, 2**20), dtype="f4", chunks=(1024, 1024)),
        lambda: file.create_dataset(name, shape=content.shape, maxshape=(None,) * content.ndim),
        lambda: file.create_dataset(name, data=np.zeros(10**6, "f4"), compression="gzip"),
        lambda: file.create_dataset(name, data=content, compression="gzip", shuffle=True),
        lambda: file.create_dataset(name, data=h5py.Empty("f4")),
        lambda: file.create_dataset(name, data=np.zeros(3, "S5")),
        lambda: file.create_dataset(name, data=np.zeros(3, [("a", "f4")])),
        lambda: file.create_dataset(name, data=[b"x"], dtype=h5py.string_dtype()),
        lambda: file.create_dataset(name, shape=(2,), dtype=h5py.ref_dtype),
        lambda: file.create_dataset(name, shape=(99,), external=[("/etc/passwd", 0, 396)]),
        lambda: file.__setitem__(name, np.dtype("f4")),
        lambda: file.__setitem__(name, h5py.SoftLink(chance.choice(("/", "/x", *names)))),
        lambda: file.__setitem__(name, h5py.ExternalLink("/etc/passwd", "/")),
        lambda: file.__setitem__(name, h5py.ExternalLink("mutated.h5", "/")),
        lambda: file.__setitem__(name, file["/"]),
        lambda: file.create_group(name),
        lambda: file.create_group(f"{name}/" + "/".join("d" * 40)),
    )
    chance.choice(others)()


# State dicts. They are written by hand, so that no PyTorch is needed.


def state_pickle(tensors: dict[str, tuple[int, ...]], chance: random.Random | None = None) -> bytes:
    """Return `data.pkl` for tensors of float32; with a `chance`, one that lies in a place."""
    lie = (lambda: chance.random() < 0.05) if chance else (lambda: False)

    def text(value: str) -> bytes:
        encoded = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(encoded)) + encoded

    def number(value: int) -> bytes:
        if lie() and chance:
            value = chance.choice((-1, 0, 1, 2**31, 2**40, 2**62, 2**2000))
        size = value.bit_length() // 8 + 1
        if size < 256:
            return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        return b"\x8b" + struct.pack("<I", size) + value.to_bytes(size, "little", signed=True)

    def several(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(number(each) for each in values) + b"t"

    def name(module: str, word: str) -> bytes:
        if lie() and chance:
            module, word = chance.choice(
                (("os", "system"), ("builtins", "eval"), ("torch", "LongStorage"), ("", ""),
                 ("torch.serialization", "load"), ("collections", "Counter"), (module, "x" * 9999))
            )  # fmt: skip
        return f"c{module}\n{word}\n".encode()

    parts = [b"\x80\x02", name("collections", "OrderedDict"), b")R("]
    for index, (key, shape) in enumerate(tensors.items()):
        count = int(np.prod(shape))
        strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
        storage = (
            b"(" + text("storage") + name("torch", "FloatStorage") + text(str(index)) + text("cpu")
        )
        parts += [text(key), name("torch._utils", "_rebuild_tensor_v2"), b"("]
        parts += [storage, number(count), b"tQ", number(0), several(shape), several(strides)]
        parts += [b"\x89", name("collections", "OrderedDict"), b")RtR"]
    return b"".join([*parts, b"u."])


class StateDicts:
    """Mutated `.pth` files through the reader, into a network, and through `import`."""

    def prepare(self, seeds: Path) -> None:
        """Make one that fits LeNet-5."""
        material.start()
        self.tensors: dict[str, tuple[int, ...]] = {}
        for index, (kernel, bias) in enumerate(SHAPES.values()):
            self.tensors[f"{index}.weight"] = kernel[::-1][:2] + kernel[:2] * (len(kernel) == 4)
            self.tensors[f"{index}.bias"] = bias

    def run(self, chance: random.Random, place: Place) -> None:
        """Use one."""
        path = place.inputs / "mutated.pth"
        path.write_bytes(self._make(chance))
        way = chance.randrange(10)
        if way < 6:
            from modelzoo.weights.state_dict import open_state_dict

            with open_state_dict(path) as state:
                for name in state.tensors:
                    state.read(name)
        elif way < 8:
            _load(path, chance)
        else:
            material.forget()
            options = chance.choice((("--model", "lenet5"), ("--model", "alexnet_owt"), ()))
            command("import", str(path), "--out", "out", *options)

    def _make(self, chance: random.Random) -> bytes:
        kinds = ("right", "lies", "lies", "pickle", "pickle", "archive", "bytes")
        kind = chance.choice(kinds)
        tensors = dict(self.tensors)
        if chance.random() < 0.2:
            victim = chance.choice(sorted(tensors))
            tensors[chance.choice(TEXTS[:30])] = tensors.pop(victim)
        described = state_pickle(tensors, chance if kind == "lies" else None)
        if kind == "pickle":
            described = self._other_pickle(described, chance)
        entries = {"data.pkl": described, "version": b"3\n", "byteorder": b"little"}
        for index, shape in enumerate(tensors.values()):
            numbers = np.zeros(int(np.prod(shape)), "<f4").tobytes()
            entries[f"data/{index}"] = numbers
        folder, how = "archive", zipfile.ZIP_STORED
        if kind == "archive":
            victim = chance.choice(sorted(entries))
            action = chance.randrange(6)
            if action == 0:
                entries[victim] = mutated_bytes(entries[victim], chance)
            elif action == 1:
                entries[chance.choice(("../x", "/etc/x", "", "data", "é"))] = entries.pop(victim)
            elif action == 2:
                del entries[victim]
            elif action == 3:
                folder = chance.choice(("", "..", "/", "a/b", "x" * 300))
            elif action == 4:
                how = zipfile.ZIP_DEFLATED
            else:
                entries[f"code/{victim}"] = b"import os"
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", how) as archive:
            for name, content in entries.items():
                archive.writestr(f"{folder}/{name}", content)
        content = target.getvalue()
        if kind == "bytes":
            places = [content.find(b"PK\x01\x02"), len(content) - 22, 0]
            return mutated_bytes(content, chance, places)
        return content

    def _other_pickle(self, described: bytes, chance: random.Random) -> bytes:
        """Return other instructions: of a real object, of code, changed ones, or deep ones."""
        action = chance.randrange(6)
        if action == 0:
            return pickle.dumps({"0.weight": Canary()}, protocol=chance.randrange(6))
        if action == 1:
            return pickle.dumps(anything(chance), protocol=chance.randrange(6))
        if action == 2:
            return b"\x80\x02" + chance.choice((b"(", b"]", b"}", b"\x85")) * 100_000 + b"."
        if action == 3:
            return b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"x."
        return mutated_bytes(described, chance)
