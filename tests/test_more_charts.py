"""Charts of networks and of what they see: from real networks, by their data, and really drawn."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import drawn, pixels_of
from PIL import Image
from random_networks import PACKAGED

import modelzoo
from modelzoo import InputError, charts, cli
from modelzoo.api import summary
from modelzoo.data.filters import FILTERS, apply_filter, read_photograph
from modelzoo.networks import reference

RESULTS = Path(__file__).resolve().parents[1] / "results"
HOSTILE = "</script><script>alert(1)</script>"
SMALL = [name for name in PACKAGED if not name.startswith("alexnet")] + ["alexnet_cifar10"]
LARGE = [name for name in PACKAGED if name not in SMALL]


def rows_with(chart: charts.Chart, *fields: str) -> list[dict]:
    """Return the data rows that have these fields, each once: layers may share them."""
    rows = [row for layer in chart.layer for row in layer.data.values]
    found = [row for row in rows if all(field in row for field in fields)]
    return list({json.dumps(row): row for row in found}.values())


@pytest.fixture(scope="module")
def digit():
    picture = np.zeros((28, 28, 1), np.uint8)
    picture[8:11, 4:20], picture[11:26, 16:19] = 255, 220  # its centre of mass in the middle
    return picture


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A colour photograph of 1,600x400 pixels that lies on its side, as its EXIF says."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (8, 32, 3), np.uint8)
    image = Image.fromarray(coarse).resize((1600, 400), Image.Resampling.BILINEAR)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path_factory.mktemp("photo") / "my photo.jpg"
    image.save(path, exif=exif)
    return path


def test_activations_are_those_functions_and_their_slopes(tmp_path):
    """As the formulas give them; at 0 ReLU has no slope."""
    chart = charts.activations()
    value, slope = (panel.layer[-1].data.values for panel in chart.hconcat)
    assert len(value) > 100 and len(slope) > 100
    for row in [*value, *slope]:
        name, x = row["function"].split(":")[0].lower().replace(" ", "_"), np.array(row["x"])
        expected = getattr(reference, name)(x)
        if row in slope:
            expected = getattr(reference, f"{name}_gradient")(x, np.ones(()))
            if name == "relu" and x == 0:
                expected = None
        assert row["value"] == (expected if expected is None else pytest.approx(expected, abs=1e-4))
    assert drawn(chart, tmp_path).width > 700
    for panel in chart.to_dict()["hconcat"]:  # axes show all of each curve
        lines = panel["layer"][-1]
        low, high = lines["encoding"]["y"]["scale"]["domain"]
        shown = [r["value"] for r in lines["data"]["values"] if r["value"] is not None]
        assert low <= min(shown) and max(shown) <= high


def test_the_steps_of_a_convolution_are_that_convolution(tmp_path):
    """Each output is the sum of the products of its step, and all of them are `conv2d`."""
    generator = np.random.default_rng(0)
    picture, kernel = generator.integers(-3, 4, (5, 6)), generator.integers(-2, 3, (2, 3))
    chart = charts.convolution_steps(picture, kernel, steps=99)
    cells = rows_with(chart, "grid")
    steps = max(row["step"] for row in cells)
    assert steps == 4 * 4
    expected = reference.conv2d(picture[None, ..., None], kernel[..., None, None], np.zeros(1))
    for step in range(1, steps + 1):
        here = [row for row in cells if row["step"] == step]
        sums = sum(row["value"] for row in here if row["grid"] == "products")
        place = divmod(step - 1, 4)
        assert sums == expected[(0, *place, 0)]
        filled = [r for r in here if r["grid"] == "output" and r["value"] is not None]
        assert len({(r["row"], r["column"]) for r in filled}) == step
        assert all(r["value"] == expected[0, r["row"], r["column"], 0] for r in filled)
        assert not any(row["text"] == "−0" for row in here)
    drawn(charts.convolution_steps(), tmp_path)


def test_the_page_of_a_convolution_has_a_slider(tmp_path):
    chart = charts.convolution_steps(slider=True)
    (parameter,) = chart.to_dict()["params"]
    assert (parameter["bind"]["min"], parameter["bind"]["max"]) == (1, 16)
    assert drawn(chart, tmp_path).height < drawn(charts.convolution_steps(), tmp_path).height
    assert '"bind"' in charts.save(chart, tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    "name", SMALL + [pytest.param(name, marks=pytest.mark.slow) for name in LARGE]
)
def test_an_architecture_is_to_scale_and_no_label_meets_another(name, tmp_path):
    layers = summary(modelzoo.build(name))
    chart = charts.architecture(layers, name)
    faces = [row for row in rows_with(chart, "face") if row["face"].endswith("front")]
    blocks = {row["layer"]: row for row in faces}
    shapes = {layer["name"]: layer["output_shape"] for layer in layers}
    for one in blocks:
        for other in blocks:
            first, second = (
                s if len(s) == 3 else [1, 1, *s] for s in map(shapes.get, (one, other))
            )
            for axis, side in enumerate(("high", "wide", "deep")):
                if first[axis] >= second[axis]:
                    assert blocks[one][side] >= blocks[other][side]
    heads, rest = (layer.data.values for layer in chart.layer[-2:])
    written = [[head["text"], *lines["text"]] for head, lines in zip(heads, rest, strict=True)]
    for layer in layers:
        assert any(layer["name"] == line.removeprefix("+ ") for lines in written for line in lines)
    total = sum(layer["parameters"] for layer in layers)
    assert f"{total:,} parameters" in chart.title.subtitle
    half = [3.1 * max(map(len, lines)) for lines in written]  # of a letter's 6.2 pixels
    for left, right in zip(range(len(heads)), range(1, len(heads)), strict=False):
        assert heads[left]["x"] + half[left] < heads[right]["x"] - half[right]
    drawn(chart, tmp_path)


def test_an_architecture_that_is_no_row_of_maps_is_refused():
    odd = {"name": "x", "type": "LSTM", "output_shape": [None, 3], "parameters": 0}
    with pytest.raises(InputError, match="neither"):
        charts.architecture([odd], "odd")


def test_kernels_are_the_weights_of_the_layer(tmp_path):
    layer = modelzoo.load("lenet5", "mnist").get_layer("C3")
    weights = charts.kernel_of(layer)
    chart = charts.kernels(weights, "C3")
    cells = rows_with(chart, "kernel")
    assert len(cells) == 5 * 5 * 6 * 16
    for row in cells:
        place = (row["row"] - 1, row["column"] - 1, row["map"] - 1, row["kernel"] - 1)
        assert row["value"] == pytest.approx(float(weights[place]), abs=1e-6)
    scale = chart.to_dict()["layer"][0]["encoding"]["color"]["scale"]
    low, middle, high = scale["domain"]
    assert (low, middle, high) == (-high, 0, np.abs(weights).max())
    assert scale["range"][1] == "#ffffff"
    drawn(chart, tmp_path)


def test_a_connection_table_leaves_gaps(tmp_path):
    layer = modelzoo.load("lenet5_1998").get_layer("C3")
    weights = charts.kernel_of(layer)
    table = np.asarray(layer.connection_table)
    np.testing.assert_array_equal(np.isfinite(weights[0, 0]), table == 1)
    cells = rows_with(charts.kernels(weights, "C3"), "kernel")
    assert {(r["map"] - 1, r["kernel"] - 1) for r in cells} == set(map(tuple, np.argwhere(table)))
    stored = layer.get_weights()[0]
    np.testing.assert_array_equal(weights[:, :, table.T.argmax(axis=1)[0], 0], stored[..., 0])
    drawn(charts.kernels(weights, "C3"), tmp_path)


def test_colour_kernels_are_pictures_with_mid_grey_for_0(tmp_path):
    """48 of them for the first layer of alexnet_cifar10; signs stay what they are."""
    weights = charts.kernel_of(modelzoo.load("alexnet_cifar10").get_layer("conv1"))
    chart = charts.kernels(weights, HOSTILE)
    rows = rows_with(chart, "picture")
    assert len(rows) == 48
    pixels = pixels_of(rows[0]["picture"])
    factor = len(pixels) // 5
    small = pixels[::factor, ::factor].astype(float) - 127.5
    first = weights[..., 0]
    clear = np.abs(first) > 0.01 * np.abs(weights).max()
    assert small.shape == first.shape and (np.sign(small) == np.sign(first))[clear].all()
    drawn(chart, tmp_path)
    assert HOSTILE not in charts.save(chart, tmp_path / "a.html").read_text()


def test_kernels_that_are_none_are_refused():
    network = modelzoo.build("lenet5")
    with pytest.raises(InputError, match="'F5' has no convolution kernels"):
        charts.kernel_of(network.get_layer("F5"))
    many = charts.kernels(np.ones((3, 3, 20, 50)), "many").to_dict()["title"]["subtitle"]
    assert many[-1] == "34 kernels and 4 input maps more are not drawn"


def test_feature_maps_show_the_values_of_each_layer(tmp_path, digit):
    features = {
        "maps": np.linspace(-2, 3, 4 * 4 * 40).reshape(4, 4, 40),
        "units": np.arange(2000.0),
        "even": np.zeros(3),
    }
    answer = [(HOSTILE, 0.75), *((f"class {i}", 0.25 / 14) for i in range(14))]
    chart = charts.feature_maps(digit, features, answer, name=HOSTILE)
    maps = [r for r in rows_with(chart, "picture") if r["alternative"].startswith("maps, map")]
    assert len(maps) == 16
    first = pixels_of(maps[0]["picture"])
    factor = len(first) // 4
    expected = features["maps"][..., 0]
    np.testing.assert_allclose(
        first[::factor, ::factor], (expected + 2) / (np.percentile(features["maps"], 99) + 2) * 255,
        atol=0.51,
    )  # fmt: skip
    said = [row["text"] for row in rows_with(chart, "text") if isinstance(row["text"], str)]
    assert {"and 24 more", "and 976 more", "and 5 more", "75.0%"} <= set(said)
    bars = rows_with(chart, "class")
    assert [row["value"] for row in bars][:2] == [0.75, 0.25 / 14] and len(bars) == 10
    assert bars[0]["x2"] - bars[0]["x"] == pytest.approx(42 * (bars[1]["x2"] - bars[1]["x"]))
    drawn(chart, tmp_path)
    assert HOSTILE not in charts.save(chart, tmp_path / "a.html").read_text()


def test_negative_scores_have_bars_to_the_left(digit):
    chart = charts.feature_maps(digit, {}, [("a", -4.0), ("b", -1.0)], name="x", unit="score")
    long, short = rows_with(chart, "class")
    assert long["x2"] == short["x2"] and long["x"] < short["x"]
    assert long["said"] == "−4"


def test_saliency_keeps_the_picture_and_its_largest_value(tmp_path, digit):
    values = np.zeros((28, 28))
    values[3, 5] = 0.25
    chart = charts.saliency(digit, values, "7")
    pictures = {
        row["alternative"]: pixels_of(row["picture"]) for row in rows_with(chart, "picture")
    }
    factor = len(pictures["Picture"]) // 28
    small = {name: pixels[::factor, ::factor] for name, pixels in pictures.items()}
    np.testing.assert_array_equal(small["Picture"], digit[..., 0])
    dark = np.argwhere((small["Saliency"] != 255).any(axis=-1))
    np.testing.assert_array_equal(dark, [[3, 5]])
    overlay = small["Saliency over the image"].astype(int)
    assert overlay[9, 10].min() == 255 and overlay[0, 0].max() == 80
    assert chart.to_dict()["layer"][-1]["encoding"]["color"]["scale"]["domain"] == [0, 0.25]
    drawn(chart, tmp_path)


def test_wrong_pictures_are_refused(digit):
    with pytest.raises(InputError, match="uint8"):
        charts.saliency(digit.astype(float), np.zeros((28, 28)), "7")
    with pytest.raises(InputError, match="uint8"):
        charts.feature_maps(digit[..., 0], {}, [], name="x")
    with pytest.raises(InputError, match="of one image"):
        charts.feature_maps(digit, {"C1": np.zeros((1, 2, 2, 3))}, [], name="x")


def test_runs_are_told_apart_by_colour_and_shape(tmp_path):
    folders = [next((RESULTS / name).iterdir()) for name in ("lenet5", "lenet5_1998", "lenet_1989")]
    histories = {path.parent.name: pd.read_csv(path / "history.csv") for path in folders}
    chart = charts.compare_runs(histories)
    for panel, column in zip(chart.hconcat, ("loss", "accuracy"), strict=True):
        rows = panel.layer[0].data.values
        for name, history in histories.items():
            for series, prefix in (("training", ""), ("validation", "val_")):
                found = [r["value"] for r in rows if (r["run"], r["series"]) == (name, series)]
                given = history.get(prefix + column, pd.Series(dtype=float)).dropna()
                np.testing.assert_allclose(found, given)
    encoding = chart.to_dict()["hconcat"][0]["layer"][1]["encoding"]
    for channel in ("color", "shape"):
        assert encoding[channel]["scale"]["domain"] == list(histories)
    drawn(chart, tmp_path)
    for count in (1, 8):
        with pytest.raises(InputError, match=f"{count} runs: one chart shows from 2 to 7"):
            charts.compare_runs({str(i): histories["lenet5"] for i in range(count)})


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_keeps_even_ground(name):
    done = apply_filter(np.full((9, 7, 3), 90, np.uint8), name)
    signed = sum(map(sum, FILTERS[name].rows)) == 0
    assert done.pixels.shape == (9, 7, 3) and done.clipped == 0
    assert (done.pixels == (128 if signed else 90)).all()


def test_filters_do_what_they_are_named_for():
    step = np.zeros((8, 8, 1), np.uint8)
    step[:, 4:] = 40
    found = {name: apply_filter(step, name).pixels[4, 4, 0] for name in FILTERS}
    assert found["sobel_x"] == 128 + 40 * 4 / 2 and found["sobel_y"] == 128
    assert found["identity"] == 40 and found["box_blur"] == 40 * 3 / 5
    assert found["sharpen"] == 80 and found["line_horizontal"] == 128
    below = apply_filter(step.transpose(1, 0, 2), "sobel_y")
    np.testing.assert_array_equal(
        below.pixels[..., 0].T, apply_filter(step, "sobel_x").pixels[..., 0]
    )
    rising = np.fliplr(np.eye(8, dtype=np.uint8))[..., None] * 20
    assert apply_filter(rising, "line_rising").pixels[3, 4, 0] == 128 + 20 * 6 / 2
    assert apply_filter(rising, "line_falling").pixels[3, 4, 0] == 128
    cut = apply_filter(step * 6, "sharpen")
    assert cut.clipped == pytest.approx(2 / 8)  # on both sides of the edge
    assert apply_filter(np.full((1, 1, 3), 9, np.uint8), "gaussian_blur").pixels.max() == 9
    np.testing.assert_allclose(FILTERS["gaussian_blur"].kernel[2] * 256, [6, 24, 36, 24, 6])


def test_a_photograph_is_upright_and_at_most_1024_pixels(photo):
    pixels, notes = read_photograph(photo)
    assert pixels.shape == (1024, 256, 3)
    assert any("upright" in note for note in notes) and any("smaller" in note for note in notes)
    assert read_photograph(photo, grey=True)[0].shape == (1024, 256, 1)


def run(command: str, *more: str) -> int:
    return cli.main([*command.split(), *more])


def test_filters_writes_a_figure_and_a_picture_of_each(photo, tmp_path, capfd):
    out = tmp_path / "out"
    assert run("filters --filter sobel_x --filter emboss --json --out", str(out), str(photo)) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["size"] == [256, 1024]
    assert [row["name"] for row in said["filters"]] == ["sobel_x", "emboss"]
    names = {"my_photo-filters.png", "my_photo-sobel_x.png", "my_photo-emboss.png"}
    assert {path.name for path in out.iterdir()} == names
    written = np.asarray(Image.open(out / "my_photo-emboss.png"))
    pixels, _ = read_photograph(photo)
    np.testing.assert_array_equal(written, apply_filter(pixels, "emboss").pixels)


def test_features_draws_and_writes_what_the_network_put_out(digit, tmp_path, capfd):
    from modelzoo.analysis.explain import features

    path = tmp_path / "seven.png"
    Image.fromarray(digit[..., 0]).save(path)
    assert run("features lenet5 --json --npz --device cpu --out", str(tmp_path), str(path)) == 0
    said = json.loads(capfd.readouterr().out)
    network, prepared = modelzoo.load("lenet5"), modelzoo.preprocess("lenet5", digit[None])
    answer = network.predict(prepared, verbose=0)[0]
    assert said["classes"][0]["name"] == str(answer.argmax())
    assert said["classes"][0]["probability"] == pytest.approx(float(answer.max()), rel=1e-4)
    shapes = {row["name"]: row["shape"] for row in said["layers"]}
    assert shapes["C1"] == [24, 24, 6] and shapes["F6"] == [84] and "flatten" not in shapes
    with np.load(tmp_path / "lenet5-seven-features.npz") as arrays:
        np.testing.assert_array_equal(arrays["picture"], digit)
        expected = features(network, prepared, ["C3"])["C3"][0]
        np.testing.assert_allclose(arrays["C3"], expected, atol=1e-5)
        assert arrays["saliency"].shape == (28, 28)
    assert [Path(name).exists() for name in said["files"]] == [True] * 3


@pytest.mark.parametrize(
    ("what", "file"),
    [
        ("activations", "activations.svg"),
        ("convolution", "convolution.svg"),
        ("convolution --filter sobel_x", "convolution-sobel_x.svg"),
        ("architecture lenet5_augmented", "lenet5_augmented-architecture.svg"),
        ("kernels lenet5 --layer C3", "lenet5-C3-kernels.svg"),
    ],
)
def test_draw(what, file, tmp_path, capfd):
    assert run(f"draw {what} --format svg --out {tmp_path}") == 0
    assert capfd.readouterr().out.strip() == str(tmp_path / file)
    assert (tmp_path / file).read_text().startswith("<svg")


def test_plot_of_several_runs_is_one_chart(tmp_path, capfd):
    runs = [tmp_path / place / "run" for place in ("a", "b")]
    for path in runs:
        path.mkdir(parents=True)
        (path / "history.csv").write_text("epoch,loss,val_accuracy\n1,0.5,0.9\n2,0.4,0.95\n")
    assert run("plot --format json --out", str(tmp_path), *map(str, runs)) == 0
    assert capfd.readouterr().out.strip() == str(tmp_path / "comparison.json")
    text = (tmp_path / "comparison.json").read_text()
    assert '"a/run"' in text and '"b/run"' in text
