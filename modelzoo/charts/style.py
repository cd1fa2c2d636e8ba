"""What all charts share: colours, fonts, frames and how names are shown.

The colours are Okabe and Ito's (2008), which colour-blind people can tell apart, and no fact is
told by colour alone: lines differ in dash and point shape as well, and cells carry counts.
"""

import base64
import contextlib
import functools
import hashlib
import html
import importlib.metadata
import importlib.resources
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import altair as alt

from modelzoo.support.environment import cache_folder
from modelzoo.support.errors import InputError
from modelzoo.support.files import replacing, write_text

Chart = alt.Chart | alt.LayerChart | alt.HConcatChart | alt.ConcatChart | alt.FacetChart

BLUE, VERMILLION, INK, GREY = "#0072B2", "#D55E00", "#1a1a1a", "#5f6368"
GREEN, ORANGE, PURPLE, SKY = "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
LINE_GREY = "#9aa0a6"


class Look(NamedTuple):
    """What tells a line from the others of its chart."""

    color: str
    dash: Sequence[int]
    shape: str = "circle"


LOOKS = (  # more cannot be told apart
    Look(BLUE, (1, 0), "circle"),
    Look(VERMILLION, (6, 3), "diamond"),
    Look(GREEN, (2, 2), "square"),
    Look(PURPLE, (8, 3, 2, 3), "triangle-up"),
    Look(ORANGE, (10, 4), "cross"),
    Look(SKY, (4, 1), "triangle-down"),
)
CHANNELS = {"color": alt.Color, "strokeDash": alt.StrokeDash, "shape": alt.Shape}  # as in Look


def told_apart(
    field: str, looks: Mapping[str, Look], legend: alt.Legend | None, *channels: str
) -> dict[str, Any]:
    """Return encodings of a field of names: any of `color`, `strokeDash` and `shape`."""
    return {
        channel: encoding(f"{field}:N", legend=legend).scale(
            domain=list(looks), range=[look[place] for look in looks.values()]
        )
        for place, (channel, encoding) in enumerate(CHANNELS.items())
        if channel in channels
    }


def styled(chart: Chart, description: str) -> Chart:
    """Return the chart in our common look; `description` is what screen readers say."""
    title = {"fontSize": 14, "color": INK, "anchor": "start", "offset": 12, "subtitleColor": GREY}
    axis = {"labelColor": INK, "labelFontSize": 11, "titleColor": INK, "titleFontSize": 12}
    axis |= {"titleFontWeight": "normal", "titlePadding": 8, "gridColor": "#e6e8ea"}
    return chart.properties(description=description, background="white", padding=12).configure(
        font="Helvetica Neue, Arial, Liberation Sans, sans-serif",
        title=title,
        axis=axis | {"domainColor": LINE_GREY, "tickColor": LINE_GREY},
        legend={"labelColor": INK, "labelFontSize": 12, "titleColor": INK, "titleFontSize": 12},
        view={"stroke": "#d5d9dd"},
    )


def layered(
    layers: Sequence[alt.Chart],
    size: tuple[float, float],
    title: str,
    subtitle: str | Sequence[str] = "",
    description: str = "",
    **view: Any,
) -> Chart:
    """Return layers in a frame of `size` (width, height) in pixels, each with its own legend."""
    heading = alt.TitleParams(title, subtitle=subtitle) if subtitle else title
    chart = alt.layer(*layers).properties(
        width=size[0], height=size[1], title=heading, view={"stroke": None, **view}
    )
    chart = chart.resolve_scale(color="independent").resolve_legend(color="independent")
    return styled(chart, description or title)


def side_by_side(panels: Sequence[Chart], description: str) -> Chart:
    """Return panels in a row, with one legend for all; none are those of a run without epochs."""
    if not panels:
        return message("No epoch was recorded.")
    chart = alt.hconcat(*panels, spacing=36)
    shared = chart.resolve_scale(color="shared", shape="shared", strokeDash="shared")
    return styled(shared, description)


def message(text: str) -> Chart:
    chart = alt.Chart(data_of([{"text": text}])).mark_text(fontSize=16, color=GREY)
    return styled(chart.encode(text="text:N").properties(width=400, height=80), text)


def data_of(rows: Sequence[Mapping[str, Any]]) -> alt.Data:
    """Return rows as they are: Altair refuses data frames of more than 5,000 rows."""
    return alt.Data(values=[dict(row) for row in rows])


def distinct_names(class_names: Iterable[str]) -> list[str]:
    """Return printable names, no two alike: Vega would draw two equal names as one class."""
    names: list[str] = []
    for index, name in enumerate(class_names):
        shown = printable(str(name)) or f"class {index}"
        while shown in names:
            shown += f" ({index})"
        names.append(shown)
    return names


def shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def number_text(value: float, form: str = ".3g") -> str:
    """Return a number with a true minus sign, and no -0."""
    return format(value, form).replace("-", "−") if value else format(0.0, form)


def printable(name: str) -> str:
    """Return the name without control characters and lone surrogates, which no format can hold."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def save(chart: Chart, path: str | Path, scale: float = 2.0) -> Path:
    """Write a chart as `.png`, `.svg`, `.html` (opens offline) or `.json` (Vega-Lite).

    The ending of `path` chooses the format, another is a ValueError; its folder is made if it is
    missing. `scale`: pixels of a PNG for each pixel of the chart.

    Examples:
        >>> chart = modelzoo.charts.activations(["relu"])
        >>> modelzoo.charts.save(chart, "relu.svg").name
        'relu.svg'
    """
    path = Path(path)
    form: Any = path.suffix.lower().removeprefix(".")
    with replacing(path) as temporary:
        if form == "html":
            spec = chart.to_dict()
            label = spec.get("description", "Chart")
            body = f"<main>{chart_box('chart', label)}</main>"
            page = render_page(label, body, {"chart": spec})
            temporary.write_bytes(page.encode())
        else:
            chart.save(temporary, form, scale_factor=scale, json_kwds={"indent": 1})
    return path


def render_page(title: str, body: str, charts: Mapping[str, dict[str, Any]]) -> str:
    """Return a page that draws charts where `body`, escaped HTML, has their `chart_box`."""
    library, draw = vega_library(), asset("page.js")
    return Template(asset("page.html")).substitute(
        policy=content_policy(library, draw),
        title=html.escape(title),
        style=asset("page.css"),
        body=body,
        specs="\n".join(
            f'<script type="application/json" id="chart-{html.escape(name)}">'
            f"{json_in_script(spec)}</script>"
            for name, spec in charts.items()
        ),
        library=library,
        draw=draw,
    )


def chart_box(name: str, label: str) -> str:
    """Return the box that a chart is drawn in; a chart wider than the screen scrolls inside it."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(label)}">'
        f'<div class="chart" data-chart="chart-{html.escape(name)}"></div></div>'
    )


def json_in_script(value: Any) -> str:
    """Return JSON in which no text can end the `<script>` element that holds it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text  # U+2028 and U+2029 are escaped by ensure_ascii


VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])  # such as 6.4
MAKE_LIBRARY = f"import vl_convert; print(vl_convert.javascript_bundle(vl_version='{VEGA_LITE}'))"
_begun: list[subprocess.Popen[str]] = []


def _kept_library() -> Path:
    """Return where the cache keeps `vega_library`, by the versions that it depends on."""
    version = importlib.metadata.version("vl-convert-python")
    return cache_folder() / "charts" / f"vega-lite-{VEGA_LITE}-vl-convert-{version}.js"


def begin_library() -> None:
    """Begin to make `vega_library`, which takes seconds, while a framework starts on one core."""
    if not _begun and not vega_library.cache_info().currsize and not _kept_library().exists():
        # In a process: vl_convert keeps Python's lock. -P, since nothing may stand in for it.
        command = [sys.executable, "-P", "-X", "utf8", "-c", MAKE_LIBRARY]
        _begun.append(
            subprocess.Popen(  # noqa: S603
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
            )
        )


@functools.cache
def vega_library() -> str:
    """Return vega, vega-lite and vega-embed as one script of about 0.9 MB.

    It is made once in a few seconds of computation, and kept in the cache.
    """
    kept = _kept_library()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return kept.read_bytes().decode()
    script = _begun.pop().communicate()[0] if _begun else ""
    if not script:  # or its process was interrupted
        import vl_convert

        script = str(vl_convert.javascript_bundle(**{"vl_version": VEGA_LITE}))
    script = script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    with contextlib.suppress(InputError):  # a cache that cannot be written to does no harm
        write_text(kept, script)
    return script


def asset(name: str, package: str = "modelzoo.charts") -> str:
    return importlib.resources.files(package).joinpath(name).read_text("utf-8")


def content_policy(*scripts: str) -> str:
    """Return a policy under which only these scripts run and nothing is fetched."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
