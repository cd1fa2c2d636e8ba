"""The Python interface: what README and DESIGN promise of `import modelzoo`."""

import ast
import doctest
import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stderr
from inspect import isfunction
from operator import attrgetter
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import InputError, charts, cli
from modelzoo.config.sections import PACKAGED, model_struct
from modelzoo.networks import BUILDERS

ROOT = Path(__file__).parents[1]
DEVELOPERS = ("structure.md",)  # pages on the code itself


def test_public_names_are_there():
    for name in modelzoo.__all__:
        assert getattr(modelzoo, name) is not None
    assert set(modelzoo.__all__) <= set(dir(modelzoo))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = modelzoo.lode


@pytest.fixture
def only_packaged():
    """Forget the builders that a test has registered."""
    yield
    for name in BUILDERS.keys() - PACKAGED:
        del BUILDERS[name]
    model_struct.cache_clear()


def test_every_public_name_has_an_example_that_runs(tmp_path, monkeypatch, only_packaged):
    """In one process and one folder, in the order of the names: `resume` goes on with a run."""
    monkeypatch.chdir(tmp_path)
    finder, flags = doctest.DocTestFinder(recurse=False), doctest.ELLIPSIS
    runner = doctest.DocTestRunner(optionflags=flags | doctest.NORMALIZE_WHITESPACE)
    failures = io.StringIO()
    drawing = [f"charts.{name}" for name in dir(charts) if isfunction(getattr(charts, name))]
    for name in [*modelzoo.__all__[1:], *drawing]:
        known = {"modelzoo": modelzoo, "np": np}
        thing = attrgetter(name)(modelzoo)
        (found,) = finder.find(thing, name, module=False, globs=known)
        assert found.examples, f"{name} has no example"
        with redirect_stderr(io.StringIO()):  # progress
            runner.run(found, out=failures.write)
    assert not failures.getvalue()


def code_for_users() -> Iterator[tuple[str, str]]:
    """Yield the Python of the notebooks and of the pages, with where it stands."""
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                text = "".join(cell["source"])
                yield f"{path.name}, cell {number}", re.sub(r"(?m)^(\s*)[!%].*$", r"\1pass", text)
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if path.name not in DEVELOPERS:
            for text in re.findall(r"(?ms)^ *```python\n(.*?)^ *```", path.read_text("utf-8")):
                yield path.name, text


def inner_names(code: str) -> set[str]:
    """Return what code imports from modelzoo, or takes from it, that is not public."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "modelzoo":
            home = str(node.module).removeprefix("modelzoo").lstrip(".")
            found |= {f"{home}.{each.name}".lstrip(".") for each in node.names}
        elif isinstance(node, ast.Import):
            names = [each.name for each in node.names if each.name.startswith("modelzoo.")]
            found |= {name.removeprefix("modelzoo.") for name in names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "modelzoo":
            found.add(node.attr)
    modules = {f"{name}.{each}" for name in MODULES for each in dir(getattr(modelzoo, name))}
    return found - {*modelzoo.__all__} - modules


MODULES = ("charts", "reference")


def test_what_is_not_public_is_found():
    public = "import modelzoo\nfrom modelzoo.charts import kernels\nmodelzoo.show(modelzoo.load)"
    assert inner_names(public) == set()
    inner = "from modelzoo.api import summary\nimport modelzoo.cli\nmodelzoo.data\n"
    assert inner_names(inner) == {"api.summary", "cli", "data"}


@pytest.mark.parametrize("kind", ["md", "ipynb"])
def test_notebooks_and_pages_need_public_names_alone(kind):
    pieces = [(place, code) for place, code in code_for_users() if f".{kind}" in place]
    assert len(pieces) >= {"md": 7, "ipynb": 40}[kind]
    assert {place: names for place, code in pieces if (names := inner_names(code))} == {}


def test_build_takes_arguments_in_place_of_the_yaml():
    model = modelzoo.build("lenet5", num_classes=26)
    assert model.output_shape == (None, 26) and not model.compiled
    with pytest.raises(InputError, match="did you mean 'num_classes'"):
        modelzoo.build("lenet5", num_class=26)


def small(input_shape: list[int], num_classes: int = 10, units: int = 4) -> keras.Model:
    inputs = keras.Input(input_shape)
    x = keras.layers.Dense(units)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(num_classes, activation="softmax")(x))


def test_a_registered_builder_is_built_and_stands_in_a_yaml(only_packaged, tmp_path):
    assert modelzoo.register(small) is small
    count = modelzoo.build("small", input_shape=[28, 28, 1], units=2).count_params()
    assert count == 784 * 2 + 2 + 2 * 10 + 10
    (tmp_path / "own.yaml").write_text(
        "base: lenet5\nmodel: {builder: small, input_shape: [28, 28, 1], units: 3}\n"
    )
    assert modelzoo.build(tmp_path / "own.yaml").layers[2].units == 3
    with pytest.raises(InputError, match=r"unknown key model\.unit; did you mean 'units'"):
        modelzoo.build("small", unit=3)

    def wider(input_shape: list[int], num_classes: int = 10, units: int = 40) -> keras.Model:
        return small(input_shape, num_classes, units)

    modelzoo.register(wider, "small")  # as when a cell runs again
    assert modelzoo.build("small", input_shape=[28, 28, 1]).layers[2].units == 40


@pytest.mark.parametrize(
    ("builder", "name", "message"),
    [
        (small, "lenet5", "lenet5 is a builder of the package"),
        (lambda: None, None, "give a function that has a name"),
        ("small", None, "give a function that has a name"),
        (small, "../small", "give a function that has a name"),
        (lambda input_shape, num_classes: None, "bare", "each parameter needs a type hint"),
        (lambda: None, "empty", "no parameter input_shape and no num_classes"),
    ],
)
def test_what_cannot_be_registered(builder, name, message):
    with pytest.raises(InputError, match=message):
        modelzoo.register(builder, name)
    assert set(BUILDERS) == PACKAGED


@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 28, 28, 1)])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_preprocess_scales_as_the_configuration_says(shape, kind):
    prepared = modelzoo.preprocess("lenet5", np.full(shape, 255, kind))
    assert prepared.shape == (2, 28, 28, 1) and prepared.dtype == np.float32
    np.testing.assert_allclose(prepared, 1.0, rtol=1e-6)


def test_preprocess_refuses_what_it_would_have_to_guess():
    """Floats may be scaled already; another size would need a choice."""
    for scaled in (0.0, 1.0, -1.0, 256.0, np.nan):
        with pytest.raises(InputError, match="uint8"):
            modelzoo.preprocess("lenet5", np.full((1, 28, 28), scaled, np.float32))
    with pytest.raises(InputError, match=r"lenet5 takes \(28, 28, 1\)"):
        modelzoo.preprocess("lenet5", np.zeros((1, 32, 32), np.uint8))
    with pytest.raises(InputError, match=r"not \(28, 28\)"):
        modelzoo.preprocess("lenet5", np.zeros((28, 28), np.uint8))


def test_an_array_is_predicted_as_its_files_are(tmp_path):
    """With the same values, by NumPy and by Keras; of another size it is refused."""
    digits = modelzoo.load_dataset("mnist5k").x_test[:4]
    found = modelzoo.predict("lenet5_1998/mnist", digits)
    outputs = modelzoo.load("lenet5_1998/mnist").predict(
        modelzoo.preprocess("lenet5_1998", digits), verbose=0
    )
    for number, (each, row) in enumerate(zip(found, outputs, strict=True)):
        assert each.file == f"image {number}" and each.classes[0][0] == str(row.argmax())
        assert each.classes[0][1] == pytest.approx(row.max(), rel=1e-4)
    with pytest.raises(InputError, match=r"images of \(27, 28, 1\); lenet5 takes \(28, 28, 1\)"):
        modelzoo.predict("lenet5/mnist", digits[:, 1:])


@pytest.fixture
def shown(monkeypatch):
    """What `show` hands to IPython: images as Pillow opens them, and pages."""
    found = []
    display = pytest.importorskip("IPython.display")

    def note(thing):
        is_page = isinstance(thing, display.HTML)
        found.append(thing.data if is_page else Image.open(io.BytesIO(thing.data)))

    monkeypatch.setattr(display, "display", note)
    return found


def colours(image: Image.Image) -> set[int]:
    return set(np.unique(np.asarray(image.convert("L"))).tolist())


def test_show_draws_images_maps_and_charts(shown, tmp_path):
    digits = modelzoo.load_dataset("mnist5k").x_test
    black_and_white = np.stack([np.zeros((8, 8), "uint8"), np.full((8, 8), 255, "uint8")])
    modelzoo.show(black_and_white, digits[0], modelzoo.features("lenet5/mnist", digits[:1]))
    modelzoo.show(modelzoo.charts.activations(), modelzoo.filters(digits[0], ["edges", "emboss"]))
    modelzoo.show(digits[:130], titles=range(130))
    assert len(shown) == 6
    one = np.asarray(shown[0].convert("L"))  # at double density, with a margin
    assert one[40:300, 40:300].max() == 0 and one[40:300, 340:-40].min() == 255
    assert all(len(colours(image)) > 30 for image in shown[1:])
    Image.fromarray(digits[0, ..., 0]).save(tmp_path / "a digit.png")
    modelzoo.show(tmp_path / "a digit.png", [tmp_path / "a digit.png", digits[1] / 255.0])
    assert np.array_equal(np.asarray(shown[6]), digits[0, ..., 0])


def test_show_refuses_in_one_sentence(shown, tmp_path):
    (tmp_path / "table.csv").write_text("1,2")
    for wrong, message in {
        "nowhere.png": "no such file",
        str(tmp_path / "table.csv"): "no page",
        3: "no way to show an int",
    }.items():
        with pytest.raises(InputError, match=message):
            modelzoo.show(wrong)
    for array in (np.zeros((2, 3, 4, 5, 6)), np.array([["a"]]), np.full((3, 3), np.nan)):
        with pytest.raises(InputError, match=r"show\(\)"):
            modelzoo.show(array)
    with pytest.raises(InputError, match="1 titles for 2 images"):
        modelzoo.show(np.zeros((2, 5, 5)), titles=["a"])
    with pytest.raises(InputError, match="give a chart"):
        modelzoo.show()
    assert shown == []


def test_show_frames_the_report_of_a_run(shown, bars, tmp_path):
    config = modelzoo.load_config("lenet5", dataset="bars", overrides=["fit.epochs=1"])
    run = modelzoo.Trainer(config, out=tmp_path / "run").fit()
    modelzoo.show(run)
    assert 'sandbox="allow-scripts"' in shown[0] and "lenet5 on bars" in shown[0]
    assert list(run.charts()) == ["curves", "confusion", "mistakes"]
    drawn = tmp_path / "curves.json"
    modelzoo.charts.save(run.charts()["curves"], drawn)
    assert cli.main(["plot", str(run.folder), "--format", "json"]) == 0
    assert drawn.read_text() == (run.folder / "curves.json").read_text()
