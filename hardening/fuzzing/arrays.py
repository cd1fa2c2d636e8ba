"""`.npz` files: data sets, and the state that a run is resumed from."""

import io
import os
import pickle
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from hardening.fuzzing import material
from hardening.fuzzing.mutation import anything, mutated_bytes
from hardening.fuzzing.worker import Place, command

DTYPES = ("u1", "<i8", ">i4", "<f4", "<f2", "<c8", "?", "<U3", "S4", "O", "<M8[D]", "u1,u1", "V9")
SHAPES = ((), (0,), (1,), (3, 0, 2), (48,), (24,), (1, 1, 1, 1), (48, 28), (2,) * 20, (48, 28, 28))
SIZES = (-1, 0, 1, 2**31, 2**40, 2**63, 10**30)


class Canary:
    """An object whose unpickling would be noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what unpickling would call."""
        return os.system, ("touch canary",)


def header(chance: random.Random) -> bytes:
    """Return the beginning of an .npy file that says whatever it likes, without its numbers."""
    shape: Any = chance.choice(SHAPES)
    if chance.random() < 0.7:
        shape = [chance.choice(SIZES) for _ in range(chance.choice((1, 3, 4)))]
        shape = tuple(shape) if chance.random() < 0.8 else shape
    said: Any = {"descr": chance.choice(DTYPES), "fortran_order": False, "shape": shape}
    if chance.random() < 0.3:
        said[chance.choice(("descr", "fortran_order", "shape", "more"))] = anything(chance)
    text = chance.choice((repr(said), "(" * 500, "__import__('os').system('touch canary')"))
    if chance.random() < 0.7:
        text = repr(said)
    encoded = text[: 2**16 - 2].encode("latin-1", "replace") + b"\n"
    version = chance.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x09\x09"))
    size = len(encoded).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + encoded + bytes(chance.choice((0, 8, 1000)))


def other_array(chance: random.Random) -> bytes:
    """Return an .npy file of another type or shape."""
    target = io.BytesIO()
    dtype, shape = chance.choice(DTYPES), chance.choice(SHAPES)
    array = np.full(shape, Canary()) if dtype == "O" else np.zeros(shape, dtype)
    np.lib.format.write_array(target, array, allow_pickle=True)
    return target.getvalue()


def mutated_npz(content: bytes, chance: random.Random) -> bytes:
    """Return an archive with its bytes, its entries or what they say changed."""
    if chance.random() < 0.3:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            places = [entry.header_offset for entry in archive.infolist()]
            places += [entry.header_offset + 40 for entry in archive.infolist()]
            places += [archive.start_dir, len(content) - 22]
        return mutated_bytes(content, chance, places)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    target = io.BytesIO()
    how = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    victim = chance.choice(sorted(entries))
    action = chance.randrange(9)
    with zipfile.ZipFile(target, "w", how) as changed:
        for name, data in entries.items():
            if name != victim:
                changed.writestr(name, data)
            elif action == 0:
                changed.writestr(name, header(chance))
            elif action == 1:
                changed.writestr(name, other_array(chance))
            elif action == 2:
                changed.writestr(name, mutated_bytes(data, chance, (0, 8, 16, 64)))
            elif action == 3:
                other = chance.choice(("../../x.npy", "/tmp/x.npy", "x_train", "é.npy", name[:-1]))
                changed.writestr(other, data)
            elif action == 4:
                changed.writestr(name, pickle.dumps(Canary()))
            elif action == 5:  # a bomb: its size is said truly, and is small in the file
                with changed.open(name, "w", force_zip64=True) as member:
                    count = chance.choice((10**6, 10**8))
                    said = {"descr": "|u1", "fortran_order": False, "shape": (count,)}
                    np.lib.format.write_array_header_1_0(member, said)
                    for _ in range(count // 10**6):
                        member.write(bytes(10**6))
            elif action == 6:
                changed.writestr(name, data)
                changed.writestr(name, other_array(chance))
            elif action == 7:
                changed.writestr(f"more{name}", other_array(chance))
    return target.getvalue()


class Arrays:
    """Mutated data sets, and mutated `state.npz` and `report-data.npz` of a run."""

    def prepare(self, seeds: Path) -> None:
        """Train a run."""
        material.start()
        run = material.write_run(seeds / "run")
        data = Path(os.environ["MODELZOO_DATA"])
        self.data = (data / "tiny.npz").read_bytes()
        self.state = (run / "state.npz").read_bytes()
        self.report = (run / "report-data.npz").read_bytes()

    def run(self, chance: random.Random, place: Place) -> None:
        """Use one."""
        way = chance.randrange(10)
        if way < 7:
            self._as_data(chance, place)
            return
        run = place.inputs / "run"
        shutil.copytree(place.seeds / "run", run)
        if way == 7:
            (run / "report-data.npz").write_bytes(mutated_npz(self.report, chance))
            command("plot", str(run), "--format", "json", "--out", "charts")
            return
        path = run / "state.npz"
        path.write_bytes(mutated_npz(self.state, chance))
        if way == 8:
            from modelzoo.training.run_folder import RunFolder

            RunFolder(run).load_state()
        else:
            material.forget()
            epochs = chance.choice(("1", "2"))
            command("train", "--resume", str(run), "--epochs", epochs, "--device", "cpu")

    def _as_data(self, chance: random.Random, place: Place) -> None:
        name = chance.choice(("tiny", "mnist"))
        (place.inputs / f"{name}.npz").write_bytes(mutated_npz(self.data, chance))
        before = os.environ["MODELZOO_DATA"]
        os.environ["MODELZOO_DATA"] = str(place.inputs)
        try:
            if chance.random() < 0.9:
                from modelzoo.data.datasets import load_dataset

                data = load_dataset(name, image_shape=chance.choice((None, (32, 32, 3))))
                assert len(data.x_train) == len(data.y_train)
                assert data.y_train.max() < len(data.class_names)
            else:
                material.forget()
                run = str(place.seeds / "run")
                command("evaluate", "--model", run, "--dataset", name, "--device", "cpu")
        finally:
            os.environ["MODELZOO_DATA"] = before
