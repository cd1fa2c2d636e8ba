"""The activation functions of the zoo, and their derivatives."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from modelzoo.charts.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    Chart,
    Look,
    data_of,
    styled,
    told_apart,
)
from modelzoo.networks import reference
from modelzoo.support.errors import InputError, suggest

ACTIVATIONS = {  # functions of `modelzoo.networks.reference`, beside which their `_gradient` stands
    "sigmoid": ("sigmoid: 1 / (1 + exp(−x))", Look(BLUE, (1, 0))),
    "tanh": ("tanh", Look(VERMILLION, (8, 3))),
    "scaled_tanh": ("scaled tanh: 1.7159 tanh(2x / 3)", Look(GREEN, (8, 3, 2, 3))),
    "relu": ("ReLU: max(0, x)", Look(ORANGE, (3, 3))),
}
REACH = 4.0  # x from -4 to 4
STEP = 0.05
SLOPES = [0, 0.2, 0.4, 0.6, 0.8, 1, 1.2]  # ticks; the steepest is 1.1439, of the scaled tanh


def activations(names: Sequence[str] = tuple(ACTIVATIONS), *, derivative: bool = True) -> Chart:
    """Return the curves of activation functions, over inputs from -4 to 4.

    Args:
        names: any of "sigmoid", "tanh", "scaled_tanh", "relu".
        derivative: also draw the derivatives, in a panel of their own. That of ReLU has a gap at
            0, where it does not exist.

    Raises:
        InputError: no name, or an unknown one.

    Reference:
        LeCun, Bottou, Bengio, Haffner (1998), equation 6, for the scaled tanh; Krizhevsky,
        Sutskever, Hinton (2012), section 3.1, for ReLU.
    """
    if not names:
        raise InputError("activations: give at least one name")
    for name in names:
        if name not in ACTIVATIONS:
            raise InputError(f"there is no activation {name!r}{suggest(name, ACTIVATIONS)}")
    panels = [_panel(names, "Value", "f(x)", slope=False)]
    if derivative:
        panels.append(_panel(names, "Derivative", "f′(x)", slope=True))
    chart = alt.hconcat(*panels, spacing=36).resolve_scale(color="shared", strokeDash="shared")
    return styled(chart, f"Activation functions: {', '.join(names)}.")


def _rows(names: Sequence[str], slope: bool) -> list[dict[str, Any]]:
    steps = round(REACH / STEP)
    inputs = np.arange(-steps, steps + 1) / round(1 / STEP)  # exactly 0 in the middle
    rows = []
    for name in names:
        label, _ = ACTIVATIONS[name]
        if slope:
            values = getattr(reference, f"{name}_gradient")(inputs, np.ones_like(inputs))
        else:
            values = getattr(reference, name)(inputs)
        for x, value in zip(inputs.tolist(), np.asarray(values).tolist(), strict=True):
            missing = slope and name == "relu" and math.isclose(x, 0, abs_tol=1e-9)
            rows.append({"function": label, "x": x, "value": None if missing else value})
    return rows


def _panel(names: Sequence[str], title: str, axis: str, slope: bool) -> Chart:
    legend = alt.Legend(title=None, orient="bottom", columns=2, symbolSize=400, labelLimit=260)
    looks = dict(ACTIVATIONS[name] for name in names)
    x = alt.X("x:Q", title="Input x").scale(domain=[-REACH, REACH], nice=False)
    y = alt.Y("value:Q", title=axis).scale(domain=[0, 1.2] if slope else [-2, 4], nice=False)
    lines = alt.Chart(data_of(_rows(names, slope))).mark_line(strokeWidth=2.5, clip=True)
    encoded = lines.encode(
        x=x.axis(values=list(range(-4, 5)), format="d"),
        y=y.axis(values=SLOPES if slope else list(range(-2, 5)), format=".1f" if slope else "d"),
        **told_apart("function", looks, legend, ("color", "strokeDash")),
        tooltip=[
            alt.Tooltip("function:N", title="Function"),
            alt.Tooltip("x:Q", title="Input x", format=".2f"),
            alt.Tooltip("value:Q", title=axis, format=".4f"),
        ],
    )
    zero = alt.Chart(data_of([{}])).mark_rule(color=GREY, aria=False)
    axes = [zero.encode(x=alt.datum(0)), zero.encode(y=alt.datum(0))]
    return alt.layer(*axes, encoded).properties(width=330, height=300, title=title)
