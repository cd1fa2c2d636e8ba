"""The images and the small data sets that the recorded commands run on."""

import os
from pathlib import Path

import numpy as np
from PIL import Image


def write_inputs(folder: Path) -> Path:
    """Write the images and the small data sets, the same each time; return the data folder."""
    source = Path(os.environ.get("MODELZOO_DATA", "")).resolve()
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*.npz"):
        (data / path.name).unlink(missing_ok=True)
        (data / path.name).symlink_to(path)
    for name, of, count in (("digits2000", "mnist", 2000), ("photos600", "cifar10_jpeg75", 600)):
        with np.load(source / f"{of}.npz") as opened:
            parts = {f"{kind}_train": opened[f"{kind}_train"][:count] for kind in "xy"}
            parts |= {f"{kind}_test": opened[f"{kind}_test"][: count // 4] for kind in "xy"}
        np.savez(data / f"{name}.npz", **parts)
        if of == "mnist":
            for number, digit in enumerate(parts["x_test"][:5].reshape(5, 28, 28)):
                Image.fromarray(digit).save(folder / f"digit{number}.png")
            page = np.full((300, 400), 235, np.uint8)  # dark ink on paper, off the centre
            page[60:172, 40:152] -= np.kron(
                parts["x_test"][0].reshape(28, 28) // 2, np.ones((4, 4), np.uint8)
            )
            Image.fromarray(page).save(folder / "page.png")
        else:
            photo = Image.fromarray(parts["x_test"][0]).resize((96, 64), Image.Resampling.BICUBIC)
            photo.save(folder / "photo.png")
    return data
