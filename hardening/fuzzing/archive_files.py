"""Weights in `.keras`, `.safetensors` and Caffe's `.npy`."""

import json
import random
import zipfile
from pathlib import Path

import numpy as np

from hardening.fuzzing import material
from hardening.fuzzing.mutation import TEXTS, anything, mutated_bytes, mutated_values
from hardening.fuzzing.weight_files import _change, _load, _read
from hardening.fuzzing.worker import Place, command
from tests.other_files import caffe, keras_entries, safetensors, write_zip
from tests.test_hostile_h5 import SHAPES


class OtherFiles:
    """Mutated files of one kind through the reader, into networks, and through `import`."""

    name = ""

    def prepare(self, seeds: Path) -> None:
        """Draw weights that fit LeNet-5."""
        material.start()
        material.write_data()
        generator = np.random.default_rng(0)
        self.arrays = {
            name: [generator.normal(0, 0.1, shape).astype("f4") for shape in shapes]
            for name, shapes in SHAPES.items()
        }

    def run(self, chance: random.Random, place: Place) -> None:
        """Use one."""
        path = place.inputs / self.name
        self.write(path, chance)
        way = chance.randrange(10)
        if way < 6:
            _read(path)
        elif way < 8:
            _load(path, chance)
        else:
            material.forget()
            options = chance.choice(((), ("--model", "lenet5"), ("--json",)))
            command("import", str(path), "--out", "out", *options)

    def write(self, path: Path, chance: random.Random) -> None:
        """Write a file with something wrong in it, or nothing."""
        raise NotImplementedError


class KerasArchives(OtherFiles):
    """Archives with another description, other weights, names, sizes or bytes."""

    name = "mutated.keras"

    def write(self, path: Path, chance: random.Random) -> None:
        """Write one."""
        entries, how = keras_entries(), chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        victim = chance.choice(sorted(entries))
        action = chance.randrange(8)
        if action < 2:
            values = json.loads(entries["config.json"])
            for _ in range(chance.choice((1, 1, 2))):
                values = mutated_values(values, chance, deeper=0.95)
            entries["config.json"] = json.dumps(values).encode()
        elif action == 2:
            inner = path.with_suffix(".h5")
            inner.write_bytes(entries["model.weights.h5"])
            _change(inner, chance)
            entries["model.weights.h5"] = inner.read_bytes()
        elif action == 3:
            entries[victim] = mutated_bytes(entries[victim], chance)
        elif action == 4:
            others = ("../x", "/etc/x", "..\\x", "assets/x", "é", "C:x")
            entries[chance.choice(others)] = entries[victim]
            if chance.random() < 0.5:
                del entries[victim]
        elif action == 5:
            entries[victim] = bytes(chance.choice((0, 10**6, 5 * 10**7)))
        write_zip(path, entries, how)
        if action >= 6:
            content = path.read_bytes()
            places = [content.find(b"PK\x01\x02"), len(content) - 22, 0]
            path.write_bytes(mutated_bytes(content, chance, places))


class SafeTensors(OtherFiles):
    """Headers that lie, and other bytes."""

    name = "mutated.safetensors"

    def write(self, path: Path, chance: random.Random) -> None:
        """Write one."""
        arrays = {}
        for name, (kernel, bias) in self.arrays.items():
            turned = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
            key = chance.choice(TEXTS) if chance.random() < 0.03 else name
            arrays |= {f"{key}.weight": kernel.transpose(turned).copy(), f"{key}.bias": bias}
        content = safetensors(arrays)
        length = int.from_bytes(content[:8], "little")
        header, numbers = json.loads(content[8 : 8 + length]), content[8 + length :]
        action = chance.randrange(5)
        if action == 0:
            content = mutated_bytes(content, chance, [0, 8, length, 8 + length])
        elif action < 4:
            if action == 1:
                header = mutated_values(header, chance, deeper=0.95)
            else:
                victim, key = chance.choice(sorted(header)), chance.choice(("dtype", "shape", "x"))
                header[victim] = {**header[victim], key: anything(chance)}
            text = json.dumps(header).encode()
            content = len(text).to_bytes(8, "little") + text + numbers
        path.write_bytes(content)


class CaffeArrays(OtherFiles):
    """Pickles in `.npy` with other instructions and bytes."""

    name = "mutated.npy"

    def write(self, path: Path, chance: random.Random) -> None:
        """Write one."""
        arrays = dict(self.arrays)
        if chance.random() < 0.2:
            victim = chance.choice(sorted(arrays))
            arrays[victim] = chance.choice(([], arrays[victim] * 3, arrays[victim][:1]))
        content = caffe(arrays)
        if chance.random() < 0.8:
            marks = (b"\x80\x02", b"numpy", b"(K\x01", b"U\x02f4", b"tb", b"ue", b"\x93NUMPY")
            content = mutated_bytes(content, chance, [content.find(mark) for mark in marks])
        path.write_bytes(content)
