"""How accuracy falls when the test digits are shifted: several networks in one chart.

    python benchmarks/shift_tolerance.py --models lenet5/mnist runs/mlp-mnist-… [--out FOLDER]

A model is NAME/WEIGHTS, NAME (its first published weights) or the folder of a run. Each test
picture is shifted by 0 to 6 pixels up, down, left, right and along the four diagonals, there both
ways by as much. Zeros come in, and what leaves the field is lost: `ink` is the share that stays.
The same shifted pictures go to every network, which prepares them as its configuration says. Writes
shift_tolerance.csv, with a row a model and shift, and shift_tolerance.png.
"""

import argparse
import csv
import io
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import altair as alt
import numpy as np

import modelzoo
from modelzoo import charts
from modelzoo.charts.style import data_of, styled
from modelzoo.data.datasets import load_dataset
from modelzoo.files import write_bytes

DIRECTIONS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
# Okabe and Ito's colours; lines differ in dash and point as well.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 1]]
SHAPES = ["circle", "diamond", "square", "triangle-up", "cross", "triangle-down"]


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return pictures (n, height, width, channels) moved by whole pixels, zeros coming in."""
    result = np.zeros_like(images)
    height, width = images.shape[1:3]
    to_rows, from_rows = _overlap(height, down)
    to_columns, from_columns = _overlap(width, right)
    result[:, to_rows, to_columns] = images[:, from_rows, from_columns]
    return result


def _overlap(size: int, shift: int) -> tuple[slice, slice]:
    return slice(max(shift, 0), size + min(shift, 0)), slice(max(-shift, 0), size - max(shift, 0))


def measure(
    model: str, images: np.ndarray, labels: np.ndarray, most: int
) -> list[dict[str, float | str]]:
    """Return a row a shift: accuracy over all pictures and directions, 0 to 1."""
    name, _, weights = model.partition("/")
    if Path(model).exists():
        name, weights = model, ""
    network = modelzoo.load(name, weights=weights or None)
    config = modelzoo.load_config(name)
    label = f"{config.name}/{weights}" if weights else config.name
    rows: list[dict[str, float | str]] = []
    for shift in range(most + 1):
        right, ink = [], []
        for down, across in DIRECTIONS if shift else [(0, 0)]:
            moved = shifted(images, shift * down, shift * across)
            outputs = network.predict(modelzoo.preprocess(config, moved), batch_size=250, verbose=0)
            right.append(np.mean(outputs.argmax(axis=1) == labels))
            ink.append(moved.sum(dtype=np.int64) / images.sum(dtype=np.int64))
        row = {"accuracy": float(np.mean(right)), "ink": float(np.mean(ink))}
        rows.append({"model": label, "shift": shift, **row})
        print(f"{label}: {shift} pixels: {row['accuracy']:.4f} (ink {row['ink']:.3f})", flush=True)
    return rows


def draw(rows: list[dict[str, float | str]], title: str) -> charts.Chart:
    """Return the chart: a line a model."""
    names = list(dict.fromkeys(str(row["model"]) for row in rows))
    count = len(names)
    legend = alt.Legend(title=None, orient="top", symbolSize=90)
    base = alt.Chart(data_of(rows)).encode(
        x=alt.X("shift:Q", title="Shift in pixels").axis(tickMinStep=1, grid=False),
        y=alt.Y("accuracy:Q", title="Accuracy").scale(domain=[0, 1]).axis(format="%"),
        color=alt.Color("model:N", legend=legend).scale(domain=names, range=COLORS[:count]),
    )
    dash = alt.StrokeDash("model:N", legend=legend).scale(domain=names, range=DASHES[:count])
    shape = alt.Shape("model:N", legend=legend).scale(domain=names, range=SHAPES[:count])
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=dash)
    points = base.mark_point(size=55, filled=True).encode(shape=shape)
    chart = alt.layer(lines, points).properties(width=520, height=320, title=title)
    return styled(chart, f"{title}, for {', '.join(names)}.")


def main() -> None:
    """Measure the models, and write the table and the chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME/WEIGHTS|RUN")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--images", type=int, help="only so many test pictures")
    parser.add_argument("--shifts", type=int, default=6, help="the largest, in pixels")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    if len(options.models) > len(COLORS):
        parser.error(f"--models: at most {len(COLORS)} in one chart")
    data = load_dataset(options.dataset)
    images = np.asarray(data.x_test[: options.images])
    labels = data.y_test[: options.images]
    rows = [row for name in options.models for row in measure(name, images, labels, options.shifts)]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    write_bytes(options.out / "shift_tolerance.csv", table.getvalue().encode())
    title = f"Accuracy on {len(images):,} shifted test digits of {data.name}"
    print(charts.save(draw(rows, title), options.out / "shift_tolerance.png"))


if __name__ == "__main__":
    main()
