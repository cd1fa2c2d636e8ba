"""What a network learned and sees: kernels, feature maps, saliency, adversarial images."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import altair as alt
import numpy as np

from modelzoo.charts.canvas import LINE, NOTE, OUTLINE, TEXT, TO, Canvas, Row, scaled
from modelzoo.charts.style import BLUE, VERMILLION, Chart, number_text, printable, shortened
from modelzoo.support.errors import InputError

MAPS_SHOWN = 16
CLASSES_SHOWN = 10
TILE, GAP, LEFT = 52, 4, 190  # pixels: a map's longer side, between two, room for the label
STRIP, UNIT, UNITS_SHOWN = 128, 7, 1024  # units in a row, pixels of a unit, units at most
BRIGHT = 99  # percentile from which on values are white: one alone would leave the others black
PICTURE, BAR, BARS = 112, 18, 300  # pixels: the image, height of a bar, length of the longest
LONGEST, LETTER = 28, 6.2  # letters of the name of a class; pixels of a letter
ROW_GAP = 14
SIDE, SIDE_GAP, CAPTION = 224, 24, 20  # pixels: an image, between two, its caption
LIGHT, DARK = (255, 255, 255), (122, 30, 0)  # least and largest saliency
MARK = (213, 94, 0)  # vermillion, laid over the image
KERNELS_SHOWN = 96  # as many as the first layer of AlexNet has
KERNEL, KERNEL_GAP = 60, 10  # pixels of a kernel, and between two
NUMBER_ROOM, ROW_TITLE = 16, 62  # pixels for the number above, and for that of the input map
WEIGHT = [
    alt.Tooltip("kernel:Q", title="Kernel"),
    alt.Tooltip("map:Q", title="Input map"),
    alt.Tooltip("row:Q", title="Row"),
    alt.Tooltip("column:Q", title="Column"),
    alt.Tooltip("value:Q", title="Weight", format=".4f"),
]
GREY_LEVELS = 255
CAPTION_LETTERS = 20  # as many fit below an image
EXAMPLE, LABEL_WIDTH, STEP = 112, 116, 136  # pixels: an image, the labels, from image to image

Answer = tuple[str, float]
Tile = tuple[np.ndarray, float, float, float, str]  # pixels, longer side, x, y, what they are


def feature_maps(
    picture: np.ndarray | None,
    features: Mapping[str, np.ndarray],
    answer: Sequence[Answer],
    *,
    name: str = "a network",
    unit: Literal["probability", "score"] = "probability",
    kinds: Mapping[str, str] | None = None,
) -> Chart:
    """Return an image, the feature maps of each layer for it, and the answer as bars.

    Within a layer, grey goes from its least value (black) to its largest 1% (white). Units of a
    dense layer are a strip of cells, from left to right in rows of 128, 1,024 of them at most; of
    other layers 16 maps are drawn.

    Args:
        picture: uint8, (height, width, 1 or 3); else an InputError. None leaves it out.
        features: by the name of the layer, in the order in which they are drawn, (height, width,
            maps) or (units,), else an InputError; of `modelzoo.features`.
        answer: classes with their values; drawn in this order, ten at most, or none.
        name: of the network, for the title.
        unit: what the values of the answer are.
        kinds: class of each layer, to be written below its name.

    Examples:
        >>> digit = modelzoo.load_dataset("mnist5k").x_test[:1]
        >>> maps = modelzoo.features("lenet5/mnist", digit, ["C1", "S2"])
        >>> first = {name: values[0] for name, values in maps.items()}
        >>> (found,) = modelzoo.predict("lenet5/mnist", digit)
        >>> chart = modelzoo.charts.feature_maps(digit[0], first, found.classes, name="lenet5")
    """
    lines: list[tuple[list[str], list[Tile], int]] = []
    if picture is not None:
        high, wide, *channels = picture.shape
        size = f"{high} × {wide}, {'grey' if channels == [1] else 'colour'}"
        lines = [(["image", size], [(picture, PICTURE, 0, 0, "The image")], 0)]
    for layer, values in features.items():
        kind, grey = (kinds or {}).get(layer, ""), _as_grey(layer, values)
        lines.append((_label(layer, kind, values), *_tiles(layer, grey)))
    canvas, y = Canvas(), 0.0
    widest = LEFT + LETTER * LONGEST + BARS + 60
    for label, tiles, left_out in lines:
        canvas.label(0, y, label, NOTE)
        high, right = float(LINE * len(label)), 0.0
        for pixels, side, x, below, alternative in tiles:
            tall, wide = canvas.picture(pixels, side, LEFT + x, y + below, alternative)
            canvas.frame(LEFT + x, y + below, (tall, wide), OUTLINE, 0.5)
            high, right = max(high, below + tall), max(right, LEFT + x + wide)
        if left_out:
            canvas.text(right + 8, y + high / 2 - 6, f"and {left_out:,} more", NOTE)
            right += 8 + LETTER * len(f"and {left_out:,} more")
        widest, y = max(widest, right), y + high + ROW_GAP
    bottom = y
    if answer:
        canvas.label(0, y, ["prediction", unit], NOTE)
        bottom = _draw_bars(canvas, answer, unit, y)
    title = f"What {printable(name)} makes of an image"
    subtitle = "In each layer from its least value (black) to its largest 1% (white)"
    return canvas.chart(widest, bottom, title, subtitle)


def saliency(picture: np.ndarray, values: np.ndarray, answer: str) -> Chart:
    """Return an image, the saliency of its pixels, and both laid over each other.

    Args:
        picture: uint8, (height, width, 1 or 3); else an InputError.
        values: (height, width), from 0, what `modelzoo.saliency` returns for the image as it is
            stored: the change of the class's score for a grey value more in that pixel.
        answer: the class whose score was followed.

    Examples:
        >>> digit = modelzoo.load_dataset("mnist5k").x_test[:1]
        >>> values = modelzoo.saliency("lenet5/mnist", digit)
        >>> chart = modelzoo.charts.saliency(digit[0], values[0], "0")
    """
    largest = float(np.max(values)) or 1.0
    share = (np.asarray(values, "float64") / largest)[..., np.newaxis]
    luma = [0.299, 0.587, 0.114] if picture.shape[-1] == 3 else [1.0]
    pale = 80 + 175 / 255 * (picture @ np.array(luma))[..., np.newaxis]  # the mark shows on black
    shown = {
        "Picture": picture,
        "Saliency": np.rint(LIGHT + share * (np.array(DARK) - LIGHT)).astype("uint8"),
        "Saliency over the image": np.rint((1 - share) * pale + share * MARK).astype("uint8"),
    }
    canvas = Canvas()
    high, wide = scaled(picture.shape, SIDE)
    step = max(wide, 150) + SIDE_GAP
    for place, (caption, pixels) in enumerate(shown.items()):
        canvas.picture(pixels, SIDE, place * step, CAPTION, caption)
        canvas.frame(place * step, CAPTION, (high, wide), OUTLINE)
        canvas.text(place * step, 0, caption)
    ends = ["#{:02x}{:02x}{:02x}".format(*color) for color in (LIGHT, DARK)]
    scale = alt.Scale(domain=[0, largest], range=ends, interpolate="rgb")
    legend = alt.Legend(title="Saliency", format=".2~g", gradientLength=SIDE // 2, tickCount=4)
    unseen = {"x": 0, "y": 0, "x2": 0, "y2": 0, "value": 0}  # for the sake of its legend
    color = alt.Color("value:Q", scale=scale, legend=legend)
    canvas.draw("rect", [unseen], {**TO, "color": color}, aria=False)
    title = f"The pixels that influence the prediction: {printable(answer)}"
    subtitle = "Saliency: change of the score of this class for one grey value more in a pixel"
    return canvas.chart(2 * step + wide, CAPTION + high, title, subtitle)


def kernels(weights: np.ndarray, title: str) -> Chart:
    """Return the kernels of one layer, each on the scale of the whole layer: 96, or 16 by 16 maps.

    `weights`, (height, width, input maps, kernels), are as `kernel_of` returns them: NaN where a
    kernel does not see an input map. With 3 input maps they are drawn as colour images, where
    mid-grey is 0. Otherwise each input map has a row, and colours tell negative from positive.

    Examples:
        >>> layer = modelzoo.load("lenet5/mnist").get_layer("C1")
        >>> chart = modelzoo.charts.kernels(modelzoo.charts.kernel_of(layer), "Kernels of C1")
    """
    weights = np.asarray(weights, "float64")
    size = high, wide = scaled(weights.shape, KERNEL)
    in_colour, several = weights.shape[2] == 3, weights.shape[2] not in (1, 3)
    maps = min(weights.shape[2], MAPS_SHOWN) if several else 1
    count = min(weights.shape[3], MAPS_SHOWN if several else KERNELS_SHOWN)
    columns = count if several else min(12, count)
    left, step = (ROW_TITLE, high + KERNEL_GAP) if several else (0, high + NUMBER_ROOM + KERNEL_GAP)
    largest = float(np.nanmax(np.abs(weights))) or 1.0
    end = float(np.nanpercentile(np.abs(weights), 99)) or largest  # one weight may stick out far
    pixels = np.rint(127.5 + 127.5 * np.clip(np.nan_to_num(weights) / end, -1, 1)).astype("uint8")
    scale = alt.Scale(  # both ends as far from 0, so that 0 is always white
        domain=[-largest, 0, largest], range=[BLUE, "#ffffff", VERMILLION], interpolate="rgb"
    )
    legend = alt.Legend(title="Weight", format=".2~f", gradientLength=120)
    color = alt.Color("value:Q", scale=scale, legend=legend)
    cell = {**TO, "color": color, "tooltip": WEIGHT}
    canvas, y = Canvas(), 0.0
    for below, number in np.ndindex(maps, count):
        row, column = (below, number) if several else divmod(number, columns)
        x, y = left + column * (wide + KERNEL_GAP), NUMBER_ROOM + row * step
        if in_colour:
            canvas.picture(pixels[..., number], KERNEL, x, y, f"Kernel {number + 1}")
        elif np.isfinite(weights[:, :, below, number]).all():  # else it doesn't see the input map
            canvas.draw("rect", _cells(weights, below, number, x, y), cell, aria=False)
            canvas.frame(x, y, size)
        if below == 0:
            canvas.text(x, y - NUMBER_ROOM, f"{number + 1}", NOTE)
        if several and number == 0:
            canvas.text(0, y + high / 2 - 6, f"map {below + 1}", NOTE)
    colours = (
        f"Red, green and blue from {number_text(-end, '.2g')} (dark) over 0 (mid-grey) to "
        f"{end:.2g} (bright); the largest 1%, up to {largest:.2g}, look the same"
    )
    how = colours if in_colour else "A column for each kernel, a row for each input map"
    subtitle = _subtitle(weights, maps, count, how)
    return canvas.chart(
        left + columns * (wide + KERNEL_GAP) - KERNEL_GAP, y + high, printable(title), subtitle
    )


def kernel_of(layer: Any, weights: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """Return the kernels of a layer, (height, width, input maps, kernels).

    The layer is of Keras, or described and its `weights` given. NaN stands where a connection table
    leaves an input map out; a layer without kernels is an InputError.

    Examples:
        >>> layer = modelzoo.load("lenet5/mnist").get_layer("C1")
        >>> modelzoo.charts.kernel_of(layer).shape
        (5, 5, 1, 6)
    """
    weights = layer.get_weights() if weights is None else weights
    if getattr(layer, "connection_table", None) is not None:
        table, stored = np.asarray(layer.connection_table), np.asarray(weights[0])
        full = np.full((*stored.shape[:2], *table.T.shape), np.nan)
        full[:, :, table.T == 1] = stored  # those of the first kernel come first
        return full.swapaxes(2, 3)
    found = [each for each in weights if each.ndim == 4]
    if not found:
        raise InputError(f"layer {layer.name!r} has no convolution kernels")
    return np.asarray(found[0])


def magnification(strength: float) -> int:
    """Return how many times a perturbation can be magnified and stay within black and white."""
    return max(1, int(0.5 / strength + 1e-9))


def adversarial_pictures(
    images: np.ndarray,
    adversarial: np.ndarray,
    captions: Sequence[tuple[Sequence[str], Sequence[str]]],
    strength: float,
    title: str,
) -> Chart:
    """Return images in a row, below them what was added, magnified, and below that the sums.

    The images are uint8, (n, height, width, 1 or 3), the adversarial ones float32 in 0..255, and
    rounded here; `captions` are lines below each of both. `strength`, above 0, is the largest
    change as a share of 0..255.
    """
    factor = magnification(strength)
    added = GREY_LEVELS / 2 + factor * (adversarial - images.astype("float32"))
    high, _ = scaled(images.shape[1:], EXAMPLE)
    tops = (0, high + 48, 2 * high + 64)  # those in the middle have no caption
    names = (["image"], ["+ perturbation", f"({factor} times)"], ["= adversarial", "image"])
    canvas = Canvas()
    for top, text in zip(tops, names, strict=True):
        canvas.text(0, top + high / 2 - 6, text, {**TEXT, "baseline": "middle", "fontSize": 12})
    for column, (before, after) in enumerate(captions):
        pixels = (images[column], added[column], adversarial[column])
        for top, values, lines in zip(tops, pixels, (before, [], after), strict=True):
            x, caption = LABEL_WIDTH + column * STEP, [printable(line) for line in lines]
            whole = np.rint(values).clip(0, GREY_LEVELS).astype("uint8")
            canvas.picture(whole, EXAMPLE, x, top, ", ".join(caption) or "perturbation")
            caption = [shortened(line, CAPTION_LETTERS) for line in caption]
            canvas.text(x, top + high + 6, caption)
    levels = f"{strength * GREY_LEVELS:.4g} of {GREY_LEVELS} grey levels"
    subtitle = (
        f"no pixel changed by more than {levels}; the perturbation is shown {factor} times as "
        "strong, grey where nothing changes"
    )
    width, height = LABEL_WIDTH + len(images) * STEP, tops[2] + high + 24
    return canvas.chart(width, height, title, subtitle, f"{title}; {subtitle}.")


def _as_grey(layer: str, values: np.ndarray) -> np.ndarray:
    """Return values from their least, black, to their largest 1%, white, as uint8."""
    if values.ndim not in (1, 3) or not values.size:
        raise InputError(
            f"feature_maps: {layer} has the shape {values.shape}: it should be "
            "(height, width, maps) or (units,), of one image"
        )
    values = np.asarray(values, "float64")
    low, end = values.min(), np.percentile(values, BRIGHT)
    span = ((end if end > low else values.max()) - low) or 1
    return np.rint(np.clip((values - low) / span, 0, 1) * 255).astype("uint8")


def _label(layer: str, kind: str, values: np.ndarray) -> list[str]:
    shape = " × ".join(f"{size:,}" for size in values.shape)
    low, high = float(values.min()), float(values.max())
    # three digits of the span: what is below them says nothing beside it
    digits = max(0, 2 - math.floor(math.log10(high - low))) if high > low else 2
    ends = (number_text(round(end, digits), f",.{digits}f") for end in (low, high))
    lines = [printable(layer), kind, shape if values.ndim == 3 else f"{shape} units"]
    return [*filter(None, lines), " to ".join(ends)]


def _tiles(layer: str, grey: np.ndarray) -> tuple[list[Tile], int]:
    """Return maps, or rows of units, as images, and how many of them are left out."""
    name = printable(layer)
    if grey.ndim == 3 and grey.shape[:2] != (1, 1):
        step = scaled(grey.shape, TILE)[1] + GAP
        maps = np.moveaxis(grey, -1, 0)[:MAPS_SHOWN, ..., np.newaxis]
        tiles: list[Tile] = [
            (each, TILE, number * step, 0, f"{name}, map {number + 1}")
            for number, each in enumerate(maps)
        ]
        return tiles, grey.shape[2] - len(tiles)
    units = grey.reshape(-1)[:UNITS_SHOWN]
    whole = len(units) // STRIP * STRIP  # what fills rows, and the rest below
    parts = {0: units[:whole].reshape(-1, STRIP, 1), whole: units[np.newaxis, whole:, np.newaxis]}
    tiles = [
        (part, UNIT * max(part.shape), 0, start // STRIP * UNIT, f"{name}, units from {start + 1}")
        for start, part in parts.items()
        if part.size
    ]
    return tiles, grey.size - len(units)


def _draw_bars(canvas: Canvas, answer: Sequence[Answer], unit: str, top: float) -> float:
    """Draw the answer as bars from `top` on; return where they end."""
    shown = list(answer)[:CLASSES_SHOWN]
    ends = [1.0] if unit == "probability" else [value for _, value in shown]
    low, high = min(0.0, *ends), max(0.0, *ends)
    step = BARS / ((high - low) or 1)
    left = LEFT + LETTER * min(LONGEST, max((len(name) for name, _ in shown), default=0)) + 8
    zero = left - low * step
    tooltip = [alt.Tooltip("class:N", title="Class"), alt.Tooltip("said:N", title=unit.title())]
    for place, (name, value) in enumerate(shown):
        ends = sorted([zero, zero + value * step])
        y, name = top + place * BAR, printable(name)
        said = f"{value:.1%}" if unit == "probability" else number_text(value)
        bar = {
            "class": name, "value": value, "said": said,
            "x": ends[0], "x2": ends[1], "y": y, "y2": y + BAR - 5,
        }  # fmt: skip
        canvas.draw("rect", [bar], {**TO, "tooltip": tooltip}, color=BLUE)
        canvas.text(left - 8, y + 1, shortened(name, LONGEST), {**TEXT, "align": "right"})
        canvas.text(ends[1] + 6, y + 1, said)
    bottom = top + BAR * len(shown)
    if len(answer) > len(shown):
        canvas.text(left, bottom, f"and {len(answer) - len(shown):,} more", NOTE)
        bottom += BAR
    return bottom


def _subtitle(weights: np.ndarray, maps_shown: int, shown: int, how: str) -> list[str]:
    """Return what the kernels are, `how` they are drawn, and how many of them are not."""
    height, width, maps, count = weights.shape
    kinds = f"{count:,} kernels of {height} × {width}"
    lines = [f"{kinds} over {maps:,} input maps", how] if maps > 1 else [kinds]
    left = [f"{count - shown:,} kernels"] if count > shown else []
    left += [f"{maps - maps_shown:,} input maps"] if maps > maps_shown and maps != 3 else []
    return [*lines, f"{' and '.join(left)} more are not drawn"] if left else lines


def _cells(weights: np.ndarray, below: int, number: int, left: float, top: float) -> list[Row]:
    """Return a cell for each weight of one kernel over one input map; all count from 1."""
    side = KERNEL / max(weights.shape[:2])
    return [
        {
            "kernel": number + 1, "map": below + 1, "row": row + 1, "column": column + 1,
            "value": round(float(weights[row, column, below, number]), 6),
            "x": left + column * side, "x2": left + (column + 1) * side,
            "y": top + row * side, "y2": top + (row + 1) * side,
        }
        for row, column in np.ndindex(weights.shape[0], weights.shape[1])
    ]  # fmt: skip
