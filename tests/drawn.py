"""What is really drawn: charts as images, and the images in their data."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from modelzoo import charts


def pixels_of(url: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(base64.b64decode(url.split(",")[1]))))


def colours_in(image: Image.Image) -> int:
    colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
    return 0 if colours is None else len(colours)


def drawn(chart: charts.Chart, folder: Path) -> Image.Image:
    """Draw a chart as PNG; it must not be blank, nor cut off at its borders."""
    image = Image.open(charts.save(chart, folder / "chart.png", scale=1.0)).convert("RGB")
    assert colours_in(image) > 20 and min(image.size) > 100
    pixels = np.asarray(image)
    assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    return image
