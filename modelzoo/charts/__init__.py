"""Charts of runs, of networks, of what networks see, and of the arithmetic that they are made of.

Each function takes plain data and returns an Altair chart that draws without a network; `save`
writes one to a file. Nothing here starts a framework.
"""

import json
from pathlib import Path
from typing import Any

from modelzoo.charts import html_page
from modelzoo.charts.activations import activations
from modelzoo.charts.architecture import architecture
from modelzoo.charts.confusion import confusion_matrix
from modelzoo.charts.convolution import convolution_steps
from modelzoo.charts.curves import compare_runs, curves_side_by_side, training_curves
from modelzoo.charts.feature_maps import feature_maps
from modelzoo.charts.filters import filtered_pictures
from modelzoo.charts.kernels import kernel_of, kernels
from modelzoo.charts.mistakes import MISTAKES_SHOWN, mistakes
from modelzoo.charts.saliency import saliency
from modelzoo.charts.style import Chart
from modelzoo.support.errors import InputError
from modelzoo.support.files import write_bytes

__all__ = [
    "MISTAKES_SHOWN",
    "Chart",
    "activations",
    "architecture",
    "compare_runs",
    "confusion_matrix",
    "convolution_steps",
    "curves_side_by_side",
    "feature_maps",
    "filtered_pictures",
    "kernel_of",
    "kernels",
    "mistakes",
    "saliency",
    "save",
    "training_curves",
]

FORMATS = (".png", ".svg", ".html", ".json")


def save(chart: Chart, path: str | Path, scale: float = 2.0) -> Path:
    """Write a chart as `.png`, `.svg`, `.html` (opens offline) or `.json` (Vega-Lite).

    Args:
        chart: what a function of this module returned.
        path: its ending chooses the format; the folder is made if it isn't there.
        scale: pixels of a PNG for each pixel of the chart.

    Raises:
        InputError: the ending is none of these.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"{path}: can't write a chart as {path.suffix!r}: use {', '.join(FORMATS)}"
        )
    write_bytes(path, _rendered(chart.to_dict(), path.suffix.lower(), scale))
    return path


def _rendered(spec: dict[str, Any], suffix: str, scale: float) -> bytes:
    if suffix == ".json":
        return json.dumps(spec, indent=1).encode()
    if suffix == ".html":
        label = spec.get("description", "Chart")
        body = f"<main>{html_page.chart_box('chart', label)}</main>"
        return html_page.render_page(label, body, {"chart": spec}).encode()
    import vl_convert  # loads a JavaScript engine, which only pictures need

    version = html_page.vega_lite_version()
    if suffix == ".svg":
        return str(vl_convert.vegalite_to_svg(spec, vl_version=version)).encode()
    return bytes(vl_convert.vegalite_to_png(spec, vl_version=version, scale=scale))
