"""Charts are checked by what their specification says, and by really drawing them."""

import json

import numpy as np
import pandas as pd
import pytest
from drawn import colours_in, pixels_of
from PIL import Image

from modelzoo import charts
from modelzoo.support.errors import InputError

HOSTILE = ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a'b&c\u2028d"]


def history(epochs: int, validation: bool = True) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    columns = {"epoch": epoch, "loss": 1 / epoch, "accuracy": 1 - 0.1 / epoch}
    if validation:
        columns |= {"val_loss": 1.2 / epoch, "val_accuracy": 0.99 - 0.01 * (epoch - 3) ** 2}
    return pd.DataFrame(columns | {"learning_rate": 1.0, "seconds": 4.2})


def confusion(classes: int) -> np.ndarray:
    matrix = np.diag(np.full(classes, 98))
    matrix[np.arange(classes), np.roll(np.arange(classes), 1)] = 2
    return matrix


def pictures(count: int, size: int = 28, channels: int = 1) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def all_rows(spec: dict) -> list[dict]:
    """Return every data row of a specification, wherever it is nested."""
    if isinstance(spec, list):
        return [row for part in spec for row in all_rows(part)]
    if not isinstance(spec, dict):
        return []
    own = spec.get("data", {}).get("values", []) if isinstance(spec.get("data"), dict) else []
    own = [*own, *(row for rows in spec.get("datasets", {}).values() for row in rows)]
    return own + [row for key, part in spec.items() if key != "data" for row in all_rows(part)]


def layers_with(panel: dict, channel: str) -> list[dict]:
    return [layer for layer in panel["layer"] if channel in layer.get("encoding", {})]


def title_of(panel: dict) -> str:
    return panel["title"]["text"] if isinstance(panel["title"], dict) else panel["title"]


def test_curves_of_loss_and_of_accuracy_in_percent_differ_by_colour_dash_and_shape():
    panels = charts.training_curves(history(12)).to_dict()["hconcat"]
    assert [title_of(panel) for panel in panels] == ["Loss", "Accuracy"]
    axes = [layers_with(panel, "color")[0]["encoding"] for panel in panels]
    assert axes[0]["x"]["title"] == "Epoch"
    assert "%" in axes[1]["y"]["axis"]["format"] and "%" not in axes[0]["y"]["axis"]["format"]
    low, high = axes[1]["y"]["scale"]["domain"]
    assert low > 0.05 and high == 1.0
    shape = layers_with(panels[0], "shape")[0]["encoding"]
    assert shape["color"]["scale"]["range"] == ["#0072B2", "#D55E00"]
    assert shape["shape"]["scale"]["range"] == ["circle", "diamond"]
    marks = [layer["mark"] for layer in layers_with(panels[0], "color")]
    dashes = [mark["strokeDash"] for mark in marks if mark["type"] == "line"]
    assert dashes == [[1, 0], [6, 3]]


def test_best_epoch_is_the_first_with_the_highest_validation_accuracy():
    """Here loss is lowest at epoch 5, but accuracy is highest at epoch 3."""
    for panel in charts.training_curves(history(5)).to_dict()["hconcat"]:
        assert "best validation epoch 3 " in panel["title"]["subtitle"]
    frame = history(4)
    frame["val_accuracy"] = [0.5, 0.9, 0.9, 0.8]
    assert "epoch: 2." in charts.training_curves(frame).to_dict()["description"]
    del frame["val_accuracy"]
    assert "epoch: 4." in charts.training_curves(frame).to_dict()["description"]


@pytest.mark.parametrize("empty_columns", [False, True])
def test_curves_without_validation_have_one_series(empty_columns):
    frame = history(3, validation=False)
    if empty_columns:
        frame = frame.assign(val_loss=np.nan, val_accuracy=None)
    spec = charts.training_curves(frame).to_dict()
    assert {row["series"] for row in all_rows(spec) if "series" in row} == {"training"}
    assert "best" not in json.dumps(spec)


@pytest.mark.parametrize(
    ("epochs", "ticks"),
    [(1, [1]), (12, list(range(1, 13))), (1000, list(range(100, 1001, 100)))],
)
def test_ticks_are_few_whole_numbers(epochs, ticks):
    spec = charts.training_curves(history(epochs)).to_dict()
    x = layers_with(spec["hconcat"][0], "shape")[0]["encoding"]["x"]
    assert x["axis"]["values"] == ticks
    assert epochs > 1 or x["scale"]["domain"] == [0.5, 1.5]


def test_curves_without_accuracy_or_without_any_epoch():
    frame = history(3)[["epoch", "loss"]]
    assert len(charts.training_curves(frame).to_dict()["hconcat"]) == 1
    assert "No epoch" in json.dumps(charts.training_curves(frame[:0]).to_dict())


@pytest.mark.parametrize("classes", [1, 2, 10, 100])
def test_confusion_matrix_of_any_size_has_counts_only_where_there_is_room(classes):
    names = [f"class {i}" for i in range(classes)]
    spec = charts.confusion_matrix(confusion(classes), names).to_dict()
    texts = [layer for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    assert bool(texts) == (classes <= 20)
    assert spec["width"] == spec["height"] <= 760
    assert spec["layer"][0]["encoding"]["x"]["scale"]["domain"] == names


def test_confusion_matrix_has_true_classes_as_rows_and_shows_rare_mistakes():
    """A mistake of 0.1% has a colour scale of its own, by square root, so that it can be seen."""
    matrix = np.array([[999, 1], [0, 1000]])
    spec = charts.confusion_matrix(matrix, ["cat", "dog"]).to_dict()
    row = next(row for row in all_rows(spec) if row.get("count") == 1)
    assert (row["true"], row["predicted"], row["share"]) == ("cat", "dog", 0.001)
    encodings = [layer["encoding"] for layer in spec["layer"] if layer["mark"]["type"] == "rect"]
    assert encodings[0]["y"]["field"] == "true" and encodings[0]["x"]["field"] == "predicted"
    assert encodings[0]["color"]["scale"]["domain"] == [0, 1]
    mistaken = encodings[1]["color"]["scale"]
    assert mistaken["type"] == "sqrt" and mistaken["domain"] == [0, 0.05]
    assert spec["title"] == "1,999 of 2,000 images read correctly (99.95%)"


def test_confusion_matrix_of_a_thousand_classes_says_what_it_leaves_out(monkeypatch):
    monkeypatch.setattr("modelzoo.charts.confusion.CELLS_DRAWN", 12)
    spec = charts.confusion_matrix(confusion(10), list("abcdefghij")).to_dict()
    assert spec["title"]["subtitle"] == "only cells of 3 images or more are drawn"
    assert len({(row["true"], row["predicted"]) for row in all_rows(spec)}) == 10


def test_confusion_matrix_cuts_long_names_and_keeps_equal_names_apart():
    spec = charts.confusion_matrix(confusion(3), ["long " * 50, "same", "same"]).to_dict()
    x = spec["layer"][0]["encoding"]["x"]
    assert x["axis"]["labelLimit"] < 200
    assert len(set(x["scale"]["domain"])) == 3


def test_confusion_matrix_refuses_names_that_do_not_fit():
    with pytest.raises(InputError, match="3 class names"):
        charts.confusion_matrix(confusion(2), ["a", "b", "c"])
    spec = charts.confusion_matrix(np.zeros((2, 2), int), ["a", "b"]).to_dict()
    assert "No image" in json.dumps(spec)


def test_mistakes_show_the_most_confident_24_with_captions():
    confidence = np.linspace(0.4, 0.998, 30)
    spec = charts.mistakes(pictures(30), ["4"] * 30, ["9"] * 30, confidence).to_dict()
    shown, truths, answers = (layer["data"]["values"] for layer in spec["layer"])
    assert len(shown) == 24 and spec["title"] == "The 24 most confident of 30 mistakes"
    assert truths[0]["text"] == "true: 4" and answers[0]["text"] == ["read as: 9 (99.8%)"]
    assert shown[0]["alternative"] == "true: 4, read as: 9 (99.8%)"
    assert all(row["picture"].startswith("data:image/png;base64,") for row in shown)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (227, 3), (16, 4)])
def test_mistakes_enlarge_small_pictures_without_blur_and_shrink_large_ones(size, channels):
    images = pictures(1, size, channels)
    row = all_rows(charts.mistakes(images, ["a"], ["b"], [0.5]).to_dict())[0]
    picture = pixels_of(row["picture"])
    assert 100 <= picture.shape[0] <= 224
    if size < 100:
        factor = picture.shape[0] // size
        assert np.array_equal(picture[::factor, ::factor].reshape(images[0].shape), images[0])


def test_mistakes_cut_long_names_but_keep_the_confidence():
    spec = charts.mistakes(pictures(1), ["t" * 99], ["p" * 99], [0.5]).to_dict()
    (shown,), (truth,), (answer,) = (layer["data"]["values"] for layer in spec["layer"])
    assert truth["text"].endswith("…") and answer["text"][1] == "(50.0%)"
    assert "p" * 99 in shown["alternative"]


def test_no_mistakes_and_wrong_pictures():
    assert "No mistakes" in json.dumps(charts.mistakes(pictures(0), [], [], []).to_dict())
    with pytest.raises(InputError, match="uint8"):
        charts.mistakes(np.zeros((1, 8, 8, 1)), ["a"], ["b"], [0.5])


def hostile_charts() -> dict[str, charts.Chart]:
    return {
        "curves": charts.training_curves(history(12)),
        "one epoch": charts.training_curves(history(1, validation=False)),
        "confusion": charts.confusion_matrix(confusion(3), HOSTILE),
        "lone surrogate": charts.confusion_matrix(confusion(2), ["x\udc80y", "\x00"]),
        "large confusion": charts.confusion_matrix(confusion(100), [str(i) for i in range(100)]),
        "mistakes": charts.mistakes(pictures(3), HOSTILE, HOSTILE[::-1], [0.9, 0.8, 0.7]),
    }


@pytest.mark.parametrize("name", list(hostile_charts()))
def test_png_and_svg_really_draw(name, tmp_path):
    chart = hostile_charts()[name]
    charts.save(chart, tmp_path / "a.png", scale=1.0)
    image = Image.open(charts.save(chart, tmp_path / "b.png", scale=2.0))
    assert image.format == "PNG" and min(image.size) > 200 and colours_in(image) > 20
    assert abs(image.width - 2 * Image.open(tmp_path / "a.png").width) <= 2
    svg = charts.save(chart, tmp_path / "c.svg").read_text()
    assert svg.startswith("<svg") and "<script" not in svg and "<img" not in svg


def test_saved_html_opens_offline_and_json_is_vega_lite(tmp_path):
    chart = charts.confusion_matrix(confusion(3), HOSTILE)
    page = charts.save(chart, tmp_path / "new folder" / "a.html").read_text()
    assert "alert(1)</script>" not in page and "default-src 'none'" in page
    assert json.loads(charts.save(chart, tmp_path / "a.json").read_text())["layer"]


def test_save_refuses_other_endings_and_leaves_no_partial_file(tmp_path, monkeypatch):
    chart = charts.training_curves(history(2))
    for name in ("a.gif", "a"):
        with pytest.raises(ValueError, match="format"):
            charts.save(chart, tmp_path / name)
    target = tmp_path / "a.json"
    target.write_text("old")

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    with pytest.raises(InputError, match="no space"):
        charts.save(chart, target)
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]
