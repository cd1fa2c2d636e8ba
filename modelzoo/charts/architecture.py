"""The layers of a network as blocks, drawn to scale."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.canvas import LINE, TEXT, Canvas, Row
from modelzoo.charts.style import BLUE, GREEN, GREY, LINE_GREY, ORANGE, Chart, printable
from modelzoo.support.errors import InputError

Layer = Mapping[str, Any]

TALLEST, DEEPEST = 150, 95  # pixels of the largest height and of the largest number of maps
LEAN = 0.45  # how far the width leans back, for each pixel of its own
THINNEST = 2  # pixels, so that a block of one map can be seen
LETTER, GAP = 6.4, 18  # pixels: for a letter, between blocks
COLORS = {BLUE: "Conv|SCells", ORANGE: "Pool|Subsampling|CCells", GREY: "Input"}  # else GREEN
FACES = {  # opacity, and the corners: 0 or 1 of the depth, the height and the width
    "front": (0.75, ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 0))),
    "top": (0.35, ((0, 0, 0), (0, 0, 1), (1, 0, 1), (1, 0, 0), (0, 0, 0))),
    "side": (0.55, ((1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0), (1, 0, 0))),
}
FACE_LOOK = {"filled": True, "strokeWidth": 1, "stroke": "white", "strokeJoin": "round"}
FACE_ENCODING: Row = {
    "order": "corner:Q",
    "detail": "face:N",
    "fill": alt.Fill("color:N", scale=None),
    "fillOpacity": alt.FillOpacity("opacity:Q", scale=None),
    "tooltip": [
        alt.Tooltip("layer:N", title="Layer"),
        alt.Tooltip("kind:N", title="Kind"),
        alt.Tooltip("shape:N", title="Output"),
        alt.Tooltip("parameters:N", title="Parameters"),
    ],
}


def architecture(layers: Sequence[Layer], name: str) -> Chart:
    """Return a network as a row of blocks, from its input to its output, drawn to scale.

    The sides of a block grow with the square root of the height, the width and the number of maps:
    on a straight scale 4,096 units would leave nothing of 6 maps. A layer that only changes
    values, such as an activation, a normalisation, dropout or flattening, is named below the
    block that it works on. An output that is neither maps nor units is an InputError.

    `layers` is what `modelzoo.summary` returns; `name`, that of the network, is for the title.

    Examples:
        >>> layers = modelzoo.summary("lenet5")
        >>> chart = modelzoo.charts.architecture(layers, "lenet5")
        >>> modelzoo.show(chart)
        <IPython.core.display.Image object>
    """
    groups = _groups(layers, name)
    shapes = np.array([(1, 1, *group[0]["output_shape"])[-3:] for group in groups])
    height, width, maps = np.sqrt(shapes.max(axis=0)).tolist()
    scale, depth = TALLEST / max(height, width), DEEPEST / maps
    sizes = np.maximum(THINNEST, np.sqrt(shapes) * [scale, scale, depth]).tolist()
    above = LEAN * scale * width
    middle, below = above + TALLEST / 2, above + TALLEST + LINE  # of the front faces; of all
    canvas, x, end = Canvas(), 0.0, None
    for group, (high, wide, deep) in zip(groups, sizes, strict=True):
        lines, broad = _lines(group), deep + LEAN * wide
        slot = max(broad, LETTER * max(map(len, lines)))
        left = x + (slot - broad) / 2
        line: list[Row] = [] if end is None else [{"x": end + 2, "x2": left - 2, "y": middle}]
        canvas.draw("rule", line, {"x2": "x2:Q"}, color=LINE_GREY, aria=False)
        sides = {"high": high, "wide": wide, "deep": deep}
        faces = _faces(group[0], left, middle - high / 2, sides)
        canvas.draw("line", faces, FACE_ENCODING, aria=False, **FACE_LOOK)
        canvas.label(x + slot / 2, below, lines, {**TEXT, "align": "center"})
        x, end = x + slot + GAP, left + broad
    total = sum(layer["parameters"] for layer in layers)
    title = f"{printable(name)}, from input to output"
    subtitle = f"{total:,} parameters. Sides grow with the square root of height, width and maps."
    said = f"Architecture of {printable(name)}: {'; '.join(map(_said, groups))}."
    lowest = below + LINE * max(len(_lines(group)) for group in groups)
    return canvas.chart(x - GAP, lowest, title, subtitle, said)


def _groups(layers: Sequence[Layer], name: str) -> list[list[Layer]]:
    """Put a layer that only changes values to the one before it, whose shape it keeps."""
    groups: list[list[Layer]] = []
    for layer in layers:
        shape = layer["output_shape"]
        if len(shape) not in (1, 3) or None in shape:
            raise InputError(
                f"{name}: the output of {layer['name']}, {shape}, is neither "
                "[height, width, maps] nor [units]: it can't be drawn as a block"
            )
        keeps = bool(groups) and math.prod(shape) == math.prod(groups[-1][0]["output_shape"])
        own_weights = layer["parameters"] and not layer["type"].endswith("Normalization")
        if keeps and not own_weights:
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


def _faces(layer: Layer, left: float, top: float, sides: Row) -> list[Row]:
    """Return the corners of the front, the top and the side of a block, which are seen."""
    kind, back = layer["type"], LEAN * sides["wide"]
    color = next((color for color, parts in COLORS.items() if re.search(parts, kind)), GREEN)
    return [
        {
            "layer": layer["name"], "face": f"{layer['name']} {face}",
            "shape": _times(layer["output_shape"]), "kind": kind,
            "parameters": layer["parameters"], "corner": number,
            "x": left + deep * sides["deep"] + wide * back,
            "y": top + high * sides["high"] - wide * back,
            "color": color, "opacity": opacity, **sides,
        }
        for face, (opacity, corners) in FACES.items()
        for number, (deep, high, wide) in enumerate(corners)
    ]  # fmt: skip


def _said(group: Sequence[Layer]) -> str:
    kinds = " and ".join(layer["type"] for layer in group)
    return f"{group[0]['name']}, {kinds}, {_times(group[0]['output_shape'])}"


def _lines(group: Sequence[Layer]) -> list[str]:
    """Return the label: name, kind, shape, parameters, and what follows at this shape."""
    first, *others = group
    lines = [printable(first["name"]), *_wrapped(first["type"]), _times(first["output_shape"])]
    if first["type"] != "InputLayer":
        lines.append(_parameters(first["parameters"]))
    for other in others:
        lines.append(f"+ {printable(other['name'])}")
        if other["name"].lower() != other["type"].lower():
            lines += _wrapped(other["type"])
        if other["parameters"]:
            lines.append(_parameters(other["parameters"]))
    return lines


def _times(shape: Sequence[int]) -> str:
    return " × ".join(f"{size:,}" for size in shape) if len(shape) > 1 else f"{shape[0]:,} units"


def _parameters(count: int) -> str:
    return f"{count:,} parameters" if count else "no parameters"


def _wrapped(kind: str) -> list[str]:
    """Break the name of a class between its words where it is longer than 16 letters."""
    if len(kind) <= 16:
        return [kind]
    words = re.findall(r"[A-Z0-9]+(?:[a-z0-9]+|(?=[A-Z]|$))", kind)
    return [line.replace(" ", "") for line in textwrap.wrap(" ".join(words), 16)] or [kind]
