"""State dicts as PyTorch writes them, by hand, so that no test needs PyTorch."""

import struct
import zipfile
from pathlib import Path

import numpy as np


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor_text(
    name: str,
    shape: tuple[int, ...],
    count: int,
    strides: tuple[int, ...] | None = None,
    kind: str = "Float",
) -> bytes:
    """Return the instructions that PyTorch writes for one tensor, the storage's key its name."""

    def number(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)  # a LONG1 of eight bytes

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    storage = b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode()
    storage += text(name) + text("cpu")
    storage += number(count) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(0)
    call += numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    return text(name) + call


def state_dict_text(shapes: dict[str, tuple[int, ...]]) -> bytes:
    parts = [tensor_text(name, shape, int(np.prod(shape))) for name, shape in shapes.items()]
    return b"ccollections\nOrderedDict\n)R(" + b"".join(parts) + b"u"


def save_state_dict(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays by name, as `torch.save(network.state_dict(), path)` does."""
    described = state_dict_text({name: array.shape for name, array in arrays.items()})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + described + b".")
        for name, array in arrays.items():
            archive.writestr(f"a/data/{name}", array.astype("<f4").tobytes())
    return path
