"""Images of five formats: mutated, and bombs whose headers promise gigabytes."""

import io
import random
import struct
import zlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

from hardening.fuzzing import material
from hardening.fuzzing.mutation import mutated_bytes
from hardening.fuzzing.worker import Place, command

HEADER = tuple(range(0, 200, 8))


def make_pictures() -> dict[str, bytes]:
    """Return small right images of many kinds, by name."""
    noise = np.random.default_rng(0).integers(0, 256, (37, 41, 4), np.uint8)
    modes: dict[str, Image.Image] = {
        "RGB": Image.fromarray(noise[..., :3]),
        "RGBA": Image.fromarray(noise),
        "L": Image.fromarray(noise[..., 0]),
        "1": Image.fromarray(noise[..., 0] > 128),
        "I;16": Image.fromarray(noise[..., 0].astype(np.uint16) * 257),
        "F": Image.fromarray(noise[..., 0].astype(np.float32)),
    }
    modes["P"] = modes["RGB"].quantize(16)
    modes["CMYK"] = modes["RGB"].convert("CMYK")
    exif = Image.Exif()
    exif[0x0112] = 6
    wanted: dict[str, tuple[str, str, dict[str, Any]]] = {
        "rgb.png": ("RGB", "PNG", {}), "rgba.png": ("RGBA", "PNG", {}), "p.png": ("P", "PNG", {}),
        "i16.png": ("I;16", "PNG", {}), "1.png": ("1", "PNG", {}), "l.jpg": ("L", "JPEG", {}),
        "rgb.jpg": ("RGB", "JPEG", {"exif": exif}), "cmyk.jpg": ("CMYK", "JPEG", {}),
        "progressive.jpg": ("RGB", "JPEG", {"progressive": True}), "p.gif": ("P", "GIF", {}),
        "many.gif": ("P", "GIF", {"save_all": True, "append_images": [modes["P"]] * 3}),
        "rgb.bmp": ("RGB", "BMP", {}), "p.bmp": ("P", "BMP", {}), "1.bmp": ("1", "BMP", {}),
        "rgb.tiff": ("RGB", "TIFF", {}), "f.tiff": ("F", "TIFF", {}),
        "lzw.tiff": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
        "deflate.tiff": ("L", "TIFF", {"compression": "tiff_adobe_deflate"}),
        "g4.tiff": ("1", "TIFF", {"compression": "group4"}), "i16.tiff": ("I;16", "TIFF", {}),
    }  # fmt: skip
    files = {}
    for name, (mode, form, options) in wanted.items():
        target = io.BytesIO()
        modes[mode].save(target, form, **options)
        files[name] = target.getvalue()
    return files


def png_bomb(width: int, height: int, real: int) -> bytes:
    """Return a PNG of any said size that holds `real` bytes of zeros."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(real), 9)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb(pictures: dict[str, bytes], chance: random.Random) -> tuple[str, bytes]:
    """Return a file whose header says that it is immense, or as large as is just allowed."""
    side = chance.choice((8_000, 8_944, 10_000, 20_000, 65_535, 2**31 - 1))
    other = chance.choice((1, 2, 100, 8_000, side))
    kind = chance.choice(("png", "gif", "bmp", "tiff", "text"))
    if kind == "png":
        real = chance.choice((100, 10**6, 30_000_000))
        return "bomb.png", png_bomb(side, other, real)
    if kind == "text":  # a compressed comment
        text = b"zTXt"
        content = b"Comment\x00\x00" + zlib.compress(bytes(chance.choice((10**5, 10**8))), 9)
        whole = pictures["rgb.png"]
        size, check = struct.pack(">I", len(content)), struct.pack(">I", zlib.crc32(text + content))
        return "bomb.png", whole[:33] + size + text + content + check + whole[33:]
    name = {"gif": "p.gif", "bmp": "rgb.bmp", "tiff": "rgb.tiff"}[kind]
    content = bytearray(pictures[name])
    if kind == "gif":
        content[6:10] = struct.pack("<HH", min(side, 65_535), min(other, 65_535))
    elif kind == "bmp":
        content[18:26] = struct.pack("<ii", side, other)
    else:
        (start,) = struct.unpack_from("<I", content, 4)
        (entries,) = struct.unpack_from("<H", content, start)
        for index in range(entries):
            at = start + 2 + 12 * index
            tag = struct.unpack_from("<H", content, at)[0]
            if tag in (256, 257):
                struct.pack_into("<HII", content, at + 2, 4, 1, side if tag == 256 else other)
    return f"bomb.{kind}", bytes(content)


class Pictures:
    """Mutated images: read in every way, given to `predict` and `filters`, in a data set."""

    def prepare(self, seeds: Path) -> None:
        """Make them."""
        material.start()
        self.pictures = make_pictures()

    def run(self, chance: random.Random, place: Place) -> None:
        """Use one."""
        if chance.random() < 0.15:
            name, content = bomb(self.pictures, chance)
        else:
            name = chance.choice(sorted(self.pictures))
            content = mutated_bytes(self.pictures[name], chance, HEADER)
        if chance.random() < 0.1:
            name = chance.choice(("x.png", "x.jpg", "x.gif", "💥.bmp", "a b.tiff"))
        path = place.inputs / name
        path.write_bytes(content)
        way = chance.randrange(10)
        if way < 2:
            material.forget()
            model = chance.choice(("lenet5", "mlp"))
            command("predict", "--model", model, "--weights", "mnist", str(path))
        elif way == 2:
            command("filters", str(path), "--filter", "sobel_x", "--format", "json", "--out", "out")
        elif way == 3:
            _in_a_folder(path, self.pictures["rgb.png"], chance)
        else:
            _read(path, content, chance)


def _read(path: Path, content: bytes, chance: random.Random) -> None:
    from modelzoo.data.images import Fit, Ink, read_image

    shape = chance.choice(((28, 28, 1), (32, 32, 3), (16, 16, 1), (227, 227, 3), (5, 9, 3)))
    fit, ink = chance.choice(get_args(Fit)), chance.choice(get_args(Ink))
    read = read_image(content if chance.random() < 0.2 else path, shape, fit=fit, ink=ink)
    assert read.pixels.shape == shape, read.pixels.shape
    assert read.pixels.dtype == np.uint8, read.pixels.dtype


def _in_a_folder(path: Path, right: bytes, chance: random.Random) -> None:
    """Give the image to a data set of others."""
    from modelzoo.data.datasets import load_dataset

    root = path.parent / "pictures"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            (folder / "1.png").write_bytes(right)
    path.rename(root / chance.choice(("train", "test")) / "cat" / path.name)
    data = load_dataset(f"folder:{root}", image_shape=(32, 32, 3))
    for images in (data.x_train, data.x_test):
        assert images[0 : len(images)].shape == (len(images), 32, 32, 3)
