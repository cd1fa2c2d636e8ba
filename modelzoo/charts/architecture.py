"""The layers of a network as blocks, drawn to scale."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from modelzoo.charts.canvas import LINE, PLACE, Row, canvas, labels
from modelzoo.charts.style import BLUE, GREEN, GREY, ORANGE, Chart, data_of, printable
from modelzoo.support.errors import InputError

TALLEST, DEEPEST = 150, 95  # pixels of the largest height and of the largest number of maps
LEAN = 0.45  # how far the width leans back, for each pixel of its own
THINNEST = 2  # pixels, so that a block of one map can be seen
LETTER, GAP = 6.4, 18  # pixels: for a letter, between blocks
COLORS = {  # by a part of the name of the class; all others are green
    "Conv": BLUE,
    "SCells": BLUE,
    "Pool": ORANGE,
    "Subsampling": ORANGE,
    "CCells": ORANGE,
    "Input": GREY,
}


def architecture(layers: Sequence[Mapping[str, Any]], name: str) -> Chart:
    """Return a network as a row of blocks, from its input to its output, drawn to scale.

    The sides of a block grow with the square root of the height, the width and the number of maps:
    on a straight scale 4,096 units would leave nothing of 6 maps. A layer that only changes
    values, such as an activation, a normalisation, dropout or flattening, is named below the
    block that it works on.

    Args:
        layers: what `modelzoo.api.describe` returns: `name`, `type`, `output_shape` without the
            batch, `parameters`, a layer each.
        name: of the network, for the title.

    Raises:
        InputError: there is no layer, or one whose output is neither maps nor units.
    """
    if not layers:
        raise InputError(f"{name}: has no layers to draw")
    blocks = [_Block(group) for group in _groups(layers, name)]
    side = TALLEST / math.sqrt(max(max(block.height, block.width) for block in blocks))
    depth = DEEPEST / math.sqrt(max(block.maps for block in blocks))
    above = LEAN * side * math.sqrt(max(block.width for block in blocks))
    middle, below = above + TALLEST / 2, above + TALLEST + LINE  # of the front faces; of all
    faces, ends, x = [], [], 0.0
    below_blocks: list[Row] = []
    for block in blocks:
        sides = block.sides(side, depth)
        wide = sides["deep"] + LEAN * sides["wide"]
        slot = max(wide, block.label_width())
        left = x + (slot - wide) / 2
        faces += block.faces(left, middle - sides["high"] / 2, sides)
        ends.append((left, left + wide))
        below_blocks.append({"x": x + slot / 2, "y": below, "text": block.lines()})
        x += slot + GAP
    total = sum(layer["parameters"] for layer in layers)
    return canvas(
        [_connections(ends, middle), _faces(faces), *labels(below_blocks, align="center")],
        (x - GAP, below + LINE * max(len(row["text"]) for row in below_blocks)),
        f"{printable(name)}, from input to output",
        f"{total:,} parameters. Sides grow with the square root of height, width and maps.",
        f"Architecture of {printable(name)}: " + "; ".join(block.said() for block in blocks) + ".",
    )


def _groups(layers: Sequence[Mapping[str, Any]], name: str) -> list[list[Mapping[str, Any]]]:
    """Put a layer that only changes values to the one before it, whose shape it keeps."""
    groups: list[list[Mapping[str, Any]]] = []
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


class _Block:
    """A layer and those that only change its values: shape, label and pixels."""

    def __init__(self, group: Sequence[Mapping[str, Any]]) -> None:
        self.first, self.others = group[0], group[1:]
        shape = self.first["output_shape"]
        sides: tuple[int, int, int] = tuple(shape) if len(shape) == 3 else (1, 1, shape[0])
        self.height, self.width, self.maps = sides

    def sides(self, tall: float, deep: float) -> dict[str, float]:
        """Return the pixels of the sides: `high` and `wide` on one scale, `deep` on another."""
        return {
            "high": max(THINNEST, tall * math.sqrt(self.height)),
            "wide": max(THINNEST, tall * math.sqrt(self.width)),
            "deep": max(THINNEST, deep * math.sqrt(self.maps)),
        }

    def faces(self, left: float, top: float, sides: dict[str, float]) -> list[dict[str, Any]]:
        """Return the corners of the front, the top and the side that one sees."""
        back, right, bottom = LEAN * sides["wide"], left + sides["deep"], top + sides["high"]

        def slanted(x1: float, y1: float, x2: float, y2: float) -> list[tuple[float, float]]:
            """Return the corners of a face from an edge of the front to the one behind it."""
            return [(x1, y1), (x1 + back, y1 - back), (x2 + back, y2 - back), (x2, y2)]

        front = [(left, top), (right, top), (right, bottom), (left, bottom)]
        shown = {
            "front": (front, 0.75),
            "top": (slanted(left, top, right, top), 0.35),
            "side": (slanted(right, top, right, bottom), 0.55),
        }
        kind = self.first["type"]
        color = next((color for part, color in COLORS.items() if part in kind), GREEN)
        return [
            {
                "layer": self.first["name"], "face": f"{self.first['name']} {name}",
                "shape": _times(self.first["output_shape"]), "kind": kind,
                "parameters": self.first["parameters"], "corner": corner, "x": x, "y": y,
                "color": color, "opacity": opacity, **sides,
            }
            for name, (places, opacity) in shown.items()
            for corner, (x, y) in enumerate([*places, places[0]])
        ]  # fmt: skip

    def lines(self) -> list[str]:
        """Return the label: name, kind, shape, parameters, and what follows at this shape."""
        lines = [printable(self.first["name"]), *_wrapped(self.first["type"])]
        lines.append(_times(self.first["output_shape"]))
        if self.first["type"] != "InputLayer":
            lines.append(_parameters(self.first["parameters"]))
        for other in self.others:
            lines.append(f"+ {printable(other['name'])}")
            if other["name"].lower() != other["type"].lower():
                lines += _wrapped(other["type"])
            if other["parameters"]:
                lines.append(_parameters(other["parameters"]))
        return lines

    def label_width(self) -> float:
        return LETTER * max(map(len, self.lines()))

    def said(self) -> str:
        """Return the block for those who hear it."""
        kinds = " and ".join([self.first["type"], *(other["type"] for other in self.others)])
        return f"{self.first['name']}, {kinds}, {_times(self.first['output_shape'])}"


def _times(shape: Sequence[int]) -> str:
    return " × ".join(f"{size:,}" for size in shape) if len(shape) > 1 else f"{shape[0]:,} units"


def _parameters(count: int) -> str:
    return f"{count:,} parameters" if count else "no parameters"


def _wrapped(kind: str) -> list[str]:
    """Break the name of a class between its words where it is longer than 16 letters."""
    lines = [""]
    for word in re.findall(r"[A-Z0-9]+(?:[a-z0-9]+|(?=[A-Z]|$))", kind) or [kind]:
        if len(lines[-1]) + len(word) > 16 and lines[-1]:
            lines.append("")
        lines[-1] += word
    return lines


def _faces(rows: list[dict[str, Any]]) -> alt.Chart:
    shown = {"layer": "Layer", "kind": "Kind", "shape": "Output", "parameters": "Parameters"}
    mark = alt.Chart(data_of(rows)).mark_line(
        filled=True, strokeWidth=1, stroke="white", strokeJoin="round", aria=False
    )
    return mark.encode(
        **PLACE,
        order="corner:Q",
        detail="face:N",
        fill=alt.Fill("color:N", scale=None),
        fillOpacity=alt.FillOpacity("opacity:Q", scale=None),
        tooltip=[alt.Tooltip(f"{field}:N", title=title) for field, title in shown.items()],
    )


def _connections(ends: list[tuple[float, float]], middle: float) -> alt.Chart:
    """Draw a line from each block to the next."""
    rows = [
        {"x": right + 2, "x2": left - 2, "y": middle}
        for (_, right), (left, _) in itertools.pairwise(ends)
    ]
    mark = alt.Chart(data_of(rows)).mark_rule(color="#9aa0a6", aria=False)
    return mark.encode(**PLACE, x2="x2:Q")
