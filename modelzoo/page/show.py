"""Show charts, images and pages in a notebook. Everything shown is kept in the notebook itself."""

import html
import importlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from modelzoo.analysis.measuring import Robustness
from modelzoo.charts.canvas import LINE, NOTE, Canvas
from modelzoo.charts.explanations import feature_maps
from modelzoo.charts.style import Chart, shortened
from modelzoo.data.filters import Filtered, read_photograph
from modelzoo.support.errors import InputError
from modelzoo.support.files import is_there
from modelzoo.training.evaluation import Run

SIDE, GAP, WIDTH = 72, 8, 960  # pixels of an image in a grid, between images, and of a grid
LARGE = 360  # pixels of an image by itself
FEW, MOST = 6, 100  # images that are drawn larger, and at most
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")


def show(*things: Any, titles: Sequence[Any] | None = None) -> None:
    """Show charts, images, feature maps or reports in a notebook: Jupyter, Colab or VS Code.

    Args:
        things: each a chart, which becomes an image of it; a finished run, or the path of a page
            (.html), which is shown in a frame; what `robustness` or `filters` returns; the path of
            an image file; an image, (height, width) or (height, width, 1 or 3); or several as a
            grid, (n, height, width), (n, height, width, 1 or 3), or a list, also of files. An
            array (height, width, maps) is a grid of its maps, and the dict of `features` a chart
            of those of its first image. Of numbers that are not all from 0 to 255 with some above
            1, the least is black and the largest white.
        titles: of the images of a grid, one each.

    Raises:
        InputError: there is no IPython, or no way to show a thing.

    Examples:
        >>> digits = modelzoo.load_dataset("mnist5k")
        >>> modelzoo.show(digits.x_test[:5], titles=digits.y_test[:5])
        <IPython.core.display.Image object>
    """
    if not things:
        raise InputError("show(): give a chart, images, a run or a file")
    for thing in things:
        if isinstance(thing, Run):
            thing = thing.folder / "report.html"
        if isinstance(thing, str | Path):
            path = Path(thing)
            if not is_there(path):
                raise InputError(f"show(): {path}: no such file")
            if path.suffix.lower() == ".html":
                show_page(path.read_text("utf-8"))
            elif path.suffix.lower() in PICTURES:
                _display("Image", path.read_bytes())
            else:
                raise InputError(f"show(): {path}: is no page (.html) and no image file")
            continue
        chart = _chart(thing, titles)
        file = io.BytesIO()
        chart.save(file, "png", scale_factor=2.0)
        with Image.open(file) as drawn:
            width = drawn.width // 2
        _display("Image", file.getvalue(), width=width)


def show_page(page: str) -> None:
    """Show an HTML page in a frame of a notebook, which has no access to what is around it."""
    frame = f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(page)}" title="modelzoo" '
    style = 'style="width: 100%; height: 900px; border: 0"'
    _display("HTML", f"<div>{frame}{style}></iframe></div>")


def _display(kind: str, data: Any, **options: Any) -> None:
    try:
        display: Any = importlib.import_module("IPython.display")
    except ImportError:
        raise InputError(
            "a notebook shows this, which needs IPython\n"
            "In a terminal, modelzoo demo writes its page as a file, and charts.save a chart."
        ) from None
    display.display(getattr(display, kind)(data, **options))


def _chart(thing: Any, titles: Sequence[Any] | None) -> Chart:
    if isinstance(thing, Robustness):
        return thing.chart
    if isinstance(thing, Chart):
        return thing
    if isinstance(thing, Mapping):
        return feature_maps(None, {name: each[0] for name, each in thing.items()}, ())
    thing = [thing] if isinstance(thing, Filtered) else thing
    if isinstance(thing, np.ndarray):
        images = list(_separate(_as_grey(thing)))
    elif not isinstance(thing, list | tuple):
        raise InputError(f"show(): there is no way to show an {type(thing).__name__}")
    else:
        if titles is None and thing and all(isinstance(each, Filtered) for each in thing):
            titles = [each.name for each in thing]
        images = [_separate(_as_grey(_pixels(each)))[0] for each in thing]
    if titles is not None and len(titles) != len(images):
        raise InputError(f"show(): {len(titles)} titles for {len(images)} images")
    return _grid(images, titles)


def _pixels(thing: Any) -> np.ndarray:
    if isinstance(thing, str | Path):
        return read_photograph(thing)[0]
    return thing.pixels if isinstance(thing, Filtered) else np.asarray(thing)


def _as_grey(values: np.ndarray) -> np.ndarray:
    """Return uint8 of an array of another type, see `show`."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "bif" or not values.size or not np.isfinite(values).all():
        raise InputError(f"show(): an array of {values.dtype} {values.shape} is no image")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and 1 < high <= 255):
        values = (values - low) * (255 / ((high - low) or 1.0))
    return np.rint(values).astype("uint8")


def _separate(array: np.ndarray) -> np.ndarray:
    """Return the images of an array, (n, height, width, 1 or 3), see `show`."""
    shape = array.shape
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)):
        return array.reshape(1, *shape[:2], -1)
    if len(shape) == 3:
        is_stack = shape[1] == shape[2] != shape[0]
        return (array if is_stack else np.moveaxis(array, 2, 0))[..., np.newaxis]
    if len(shape) == 4 and shape[3] in (1, 3):
        return array
    raise InputError(f"show(): an array of the shape {shape} holds no images")


def _grid(images: Sequence[np.ndarray], titles: Sequence[Any] | None) -> Chart:
    """Draw images side by side, in rows."""
    shown = images[:MOST]
    side = LARGE if len(images) == 1 else SIDE if len(images) > FEW else 2 * SIDE
    below = LINE + 2 if titles is not None else 0
    columns = max(1, min(len(shown), WIDTH // (side + GAP)))
    canvas, deepest = Canvas(), 0.0
    for number, pixels in enumerate(shown):
        row, column = divmod(number, columns)
        x, y = column * (side + GAP), row * (side + GAP + below)
        title = "" if titles is None else str(titles[number])
        high, _ = canvas.picture(pixels, side, x, y, title or f"image {number}")
        if title:
            canvas.text(x, y + high + 2, shortened(title, side // 6))
        deepest = max(deepest, y + high + below)
    if len(images) > MOST:
        canvas.text(0, deepest + 4, f"and {len(images) - MOST:,} more", NOTE)
        deepest += LINE + 4
    width = columns * (side + GAP) - GAP
    return canvas.chart(width, deepest, "", "", f"{len(images)} images")
