"""One HTML page with charts that opens anywhere, offline, and can send nothing anywhere.

The page carries Vega-Lite itself. Its Content-Security-Policy forbids every request and every
script but the two that are named by their hash, so text from a data set, such as a class name,
can never run. Vega's expressions go through its interpreter, which needs no `eval`.
"""

import base64
import contextlib
import functools
import hashlib
import html
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from string import Template
from typing import IO, Any

import altair as alt

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1000px; padding: 24px 16px 48px; background: #fff; color: #1a1a1a;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0 0 16px; font-size: 1.75rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 40px 0 12px; font-size: 1.25rem; line-height: 1.3; }
dl.headline { display: flex; flex-wrap: wrap; gap: 12px; margin: 0; }
dl.headline div { flex: 1 1 auto; min-width: 105px; padding: 10px 14px;
  border: 1px solid #d5d9dd; border-radius: 6px; }
dl.headline dt { color: #555; font-size: .85rem; }
dl.headline dd { margin: 0; font-size: 1.2rem; font-weight: 600; overflow-wrap: anywhere; }
.note { margin: 16px 0; padding: 10px 14px; border-left: 5px solid #a65c00; background: #fff4e0; }
.scroll { overflow-x: auto; max-width: 100%; }
.scroll:focus-visible, summary:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
.tall { max-height: 640px; overflow-y: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; border-bottom: 1px solid #e3e6e8; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
thead th { position: sticky; top: 0; background: #fff; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
tbody th { min-width: 110px; font-weight: 400; white-space: nowrap; }
pre { margin: 8px 0; padding: 12px; overflow-x: auto; background: #f4f5f6; border-radius: 6px;
  font-size: .85rem; }
summary { cursor: pointer; }
footer { margin-top: 40px; color: #555; font-size: .85rem; overflow-wrap: anywhere; }
@media (max-width: 480px) {
  th, td { padding-right: 9px; font-size: .9rem; }
  tbody th { min-width: 70px; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  .scroll, .tall, pre { overflow: visible; max-height: none; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .chart svg { max-width: 100%; height: auto; }
  .chart, tr, dl.headline div { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""

# On a narrow screen the panels of a chart go below each other, because half a screen is unreadable.
DRAW = """
for (const box of document.querySelectorAll("[data-chart]")) {
  const spec = JSON.parse(document.getElementById(box.dataset.chart).textContent);
  const room = box.parentElement.clientWidth;
  spec.padding = 2;  // the page has margins of its own
  if (spec.hconcat && room < 720) {
    spec.vconcat = spec.hconcat.map(panel => ({...panel, width: Math.min(panel.width, room - 75)}));
    delete spec.hconcat;
  }
  vegaEmbed(box, spec, {mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false})
    .catch(error => { box.textContent = "This chart could not be drawn: " + error; console.error(error); });
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
"""  # noqa: E501

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
$body
<noscript><p class="note">The charts on this page are drawn with JavaScript, which is off.</p></noscript>
$specs
<script>$library</script>
<script>$draw</script>
</body>
</html>
""")  # noqa: E501


def render_page(title: str, body: str, charts: Mapping[str, dict[str, Any]]) -> str:
    """Return a complete page that draws each chart where `body` has its `chart_box`.

    Args:
        title: plain text; it is escaped here.
        body: HTML that is already escaped.
        charts: Vega-Lite specifications by the name given to `chart_box`.
    """
    library = vega_library()
    return PAGE.substitute(
        policy=_policy(library, DRAW),
        title=html.escape(title),
        style=STYLE,
        body=body,
        specs="\n".join(
            f'<script type="application/json" id="chart-{html.escape(name)}">'
            f"{json_in_script(spec)}</script>"
            for name, spec in charts.items()
        ),
        library=library,
        draw=DRAW,
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


def vega_lite_version() -> str:
    """Return the Vega-Lite version of this Altair as vl-convert writes it, such as `6.4`."""
    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


BUNDLE = "import sys, vl_convert as vl; print(vl.javascript_bundle(vl_version=sys.argv[1]), end='')"
_ahead: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []  # who makes the library, and where


def prepare_vega_library() -> None:
    """Begin to make the library in another process: it takes a second, and pages come last."""
    if _ahead or vega_library.cache_info().currsize:
        return
    with contextlib.suppress(OSError):
        file = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(  # noqa: S603
            # -P: no module is imported from the folder that this was called in.
            [sys.executable, "-P", "-c", BUNDLE, vega_lite_version()],
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
        _ahead.append((process, file))


@functools.cache
def vega_library() -> str:
    """Return vega, vega-lite and vega-embed as one script of about 0.9 MB."""
    script = _prepared()
    if not script:
        import vl_convert  # takes a moment, and only pages need it

        script = str(vl_convert.javascript_bundle(**{"vl_version": vega_lite_version()}))
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _prepared() -> str:
    """Return what the other process has made; nothing if there is none, or it failed."""
    if not _ahead:
        return ""
    process, file = _ahead.pop()
    with file:
        if process.wait() != 0:
            return ""
        file.seek(0)
        return file.read().decode("utf-8")


def _policy(*scripts: str) -> str:
    """Return a policy under which only these scripts run and nothing is fetched."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
