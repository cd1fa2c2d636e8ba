"""Charts as files, and an HTML page that opens anywhere, offline, and can send nothing anywhere.

The page carries Vega-Lite itself. Its Content-Security-Policy forbids every request and every
script but the two that are named by their hash, so text from a data set, such as a class name,
can never run. Vega's expressions go through its interpreter, which needs no `eval`.
"""

import base64
import functools
import hashlib
import html
import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import altair as alt

from modelzoo.charts.style import Chart
from modelzoo.support.errors import InputError
from modelzoo.support.files import write_bytes

# The Vega-Lite version of this Altair, as vl-convert writes it: such as 6.4.
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
FORMATS = (".png", ".svg", ".html", ".json")


def save(chart: Chart, path: str | Path, scale: float = 2.0) -> Path:
    """Write a chart as `.png`, `.svg`, `.html` (opens offline) or `.json` (Vega-Lite).

    Args:
        chart: what a function of this package returned.
        path: its ending chooses the format; the folder is made if it isn't there.
        scale: pixels of a PNG for each pixel of the chart.

    Raises:
        InputError: the ending is none of these.
    """
    path = Path(path)
    suffix, spec = path.suffix.lower(), chart.to_dict()
    if suffix not in FORMATS:
        raise InputError(
            f"{path}: can't write a chart as {path.suffix!r}: use {', '.join(FORMATS)}"
        )
    if suffix == ".json":
        content = json.dumps(spec, indent=1).encode()
    elif suffix == ".html":
        label = spec.get("description", "Chart")
        body = f"<main>{chart_box('chart', label)}</main>"
        content = render_page(label, body, {"chart": spec}).encode()
    else:
        import vl_convert  # loads a JavaScript engine, which only pages and images need

        if suffix == ".svg":
            content = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE).encode()
        else:
            content = vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=scale)
    write_bytes(path, content)
    return path


def render_page(title: str, body: str, charts: Mapping[str, dict[str, Any]]) -> str:
    """Return a complete page that draws each chart where `body` has the `chart_box` of its name.

    The title is plain text, the body HTML that is already escaped.
    """
    library, draw = vega_library(), _asset("page.js")
    return Template(_asset("page.html")).substitute(
        policy=_policy(library, draw),
        title=html.escape(title),
        style=_asset("page.css"),
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


@functools.cache
def vega_library() -> str:
    """Return vega, vega-lite and vega-embed as one script of about 0.9 MB, made in a second."""
    import vl_convert

    script = str(vl_convert.javascript_bundle(**{"vl_version": VEGA_LITE}))
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _asset(name: str) -> str:
    return importlib.resources.files("modelzoo.charts").joinpath(name).read_text("utf-8")


def _policy(*scripts: str) -> str:
    """Return a policy under which only these scripts run and nothing is fetched."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
