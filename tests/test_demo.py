"""The drawing page as a file: what it holds, what it may do, and how the commands write it."""

import base64
import gzip
import html
import io
import json
import re
import sys
import types
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import cli
from modelzoo.networks.network import Network, read_layers
from modelzoo.page import make
from modelzoo.support.errors import InputError
from modelzoo.training.resolve import Source, resolve


@pytest.fixture(scope="module")
def digits():
    from modelzoo.data.known_sets import load_mnist5k

    data = load_mnist5k()
    return data.x_test, data.y_test


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    return file.getvalue()


class Page(HTMLParser):
    """What a browser finds in a page: elements with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        tag, attributes = self.elements[-1] if self.elements else ("", {})
        if tag == "script":
            self.scripts.append((attributes, data))

    def script(self, name: str) -> str:
        return "".join(text for attributes, text in self.scripts if attributes.get("id") == name)

    @property
    def networks(self) -> list[dict]:
        return json.loads(self.script("networks"))

    def numbers(self, number: int) -> np.ndarray:
        """The weights of a network, read as the page reads them."""
        planes = gzip.decompress(base64.b64decode(self.script(f"weights-{number}")))
        return np.frombuffer(planes, np.uint8).reshape(4, -1).T.copy().view("<f4").ravel()


@pytest.fixture(scope="module")
def text() -> str:
    return make.render(map(resolve, ("lenet5/mnist", "lenet5_1998/mnist")))


def test_weights_and_layers_are_those_of_the_networks(text):
    page = Page(text)
    for number, name in enumerate(("lenet5/mnist", "lenet5_1998/mnist")):
        source, described = resolve(name), page.networks[number]
        forward = source.forward()
        expected = [array.ravel() for each in forward.weights for array in each.values()]
        assert np.array_equal(page.numbers(number), np.concatenate(expected))
        layers = described["layers"][described["preprocessing"] :]
        assert [each["name"] for each in layers] == [each.name for each in forward.network.layers]
        shapes = [shape for each in layers for _, shape in each["weights"]]
        assert sum(map(np.prod, shapes)) == forward.network.parameters
        for layer, described_layer in zip(forward.network.layers, layers, strict=True):
            for argument, value in json.loads(json.dumps(layer.arguments)).items():
                if "initializer" not in argument:
                    assert described_layer[argument] == value, (layer.name, argument)
        assert described["differentiated"] and described["classes"] == list("0123456789")


def test_a_layer_tells_how_its_window_slides():
    layers = read_layers(
        [
            {"class_name": "Conv2D", "config": {"filters": 4, "kernel_size": 3, "strides": 2}},
            {
                "class_name": "Conv2D",
                "config": {"filters": 6, "kernel_size": 3, "dilation_rate": 2, "padding": "same"},
            },
            {"class_name": "ZeroPadding2D", "config": {"padding": [[1, 2], [3, 4]]}},
            {"class_name": "AveragePooling2D", "config": {"pool_size": 2, "padding": "same"}},
            {"class_name": "Flatten"},
            {"class_name": "Dense", "config": {"units": 2}},
        ]
    )
    first, second, zeros, pool, flat, dense = make._layers(Network("one", (9, 9, 1), layers))
    assert (first["output"], first["strides"], first["window"]) == ((4, 4, 4), (2, 2), (3, 3))
    assert (second["margins"], second["rates"]) == (((2, 2), (2, 2)), (2, 2))
    assert zeros["margins"] == ((1, 2), (3, 4)) and zeros["output"] == (7, 11, 6)
    assert pool["margins"] == ((0, 1), (0, 1)) and pool["output"] == (4, 6, 6)
    assert flat["weights"] == [] and dict(dense["weights"])["kernel"] == (144, 2)


def test_a_page_holds_everything_and_asks_for_nothing(text):
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|\bfetch\(|XMLHttp|WebSocket", text)
    page = Page(text)
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "form", "base"), tag
        assert not {"src", "href", "srcset", "action"} & set(attributes), attributes
        assert not any(name.startswith("on") for name in attributes), attributes
    policy = next(a["content"] for _, a in page.elements if "http-equiv" in a)
    assert "default-src 'none'" in policy and "base-uri 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/]{43}='", policy) and "connect-src" not in policy


def test_names_of_classes_and_layers_are_data_alone(monkeypatch):
    """They stand in JSON that nothing can end, and the scripts make text of them, never HTML."""
    evil = "</script><script>alert(1)</script><!--\"'\u2028"
    source = resolve("lenet5/mnist")
    monkeypatch.setattr(make, "class_names", lambda config: [evil] * 10)
    page = Page(make.render([replace(source, label=evil)]))
    assert page.networks[0]["label"] == evil and page.networks[0]["classes"] == [evil] * 10
    assert sum(tag == "script" for tag, _ in page.elements) == 4
    scripts = "".join(map(make.asset, make.SCRIPTS))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", scripts)


def test_examples_are_ten_digits_of_28x28(text, digits):
    found = json.loads(Page(text).script("examples-data"))
    assert [each["name"] for each in found] == list("0123456789")
    images, labels = digits
    seven = np.frombuffer(base64.b64decode(found[7]["pixels"]), np.uint8).reshape(28, 28, 1)
    assert np.array_equal(seven, images[labels == 7][0])


def test_the_packaged_networks_are_offered_lenet5_first():
    names = make.packaged_networks()
    shipped = Path(modelzoo.__file__).parent.glob("weights/files/*/*.h5")
    files = {f"{each.parent.name}/{each.name.rpartition('-')[0]}" for each in shipped}
    assert names[0] == "lenet5/mnist" and set(names) == files and "alexnet/cifar10" in names
    assert set(names) - set(make.packaged_networks(make.SMALL)) == {
        "alexnet/cifar10",
        "alexnet_cifar10/cifar10",
    }


def test_a_network_that_only_keras_computes_is_refused(monkeypatch):
    monkeypatch.setattr(Source, "forward", lambda self: None)
    with pytest.raises(InputError, match="lenet5/mnist: has layers that only Keras computes"):
        make.render([resolve("lenet5/mnist")])


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """The addresses that the browser was to open, with a screen and a folder of its own."""
    addresses: list[str] = []
    monkeypatch.setattr(make.webbrowser, "open", addresses.append)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.chdir(tmp_path)
    return addresses


def test_the_command_writes_the_page_and_opens_it(opened, tmp_path, capsys):
    assert cli.main(["demo", "lenet5/mnist", "lenet_1989/mnist16"]) == 0
    path = tmp_path / "modelzoo-demo.html"
    assert opened == [path.as_uri()] and [*tmp_path.iterdir()] == [path]
    labels = [each["label"] for each in Page(path.read_text("utf-8")).networks]
    assert labels == ["lenet5/mnist", "lenet_1989/mnist16"]
    assert capsys.readouterr().out.splitlines()[0] == "modelzoo-demo.html"
    before = path.stat().st_size
    assert cli.main(["demo", "--model", "lenet5/mnist", "--no-browser"]) == 0  # replaces it
    assert path.stat().st_size < before and len(opened) == 1


def test_a_full_disk_leaves_the_old_page(opened, tmp_path, monkeypatch, capsys):
    path = tmp_path / "modelzoo-demo.html"
    path.write_text("old")

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    assert cli.main(["demo", "lenet5/mnist"]) == 2
    assert "No space left" in capsys.readouterr().err and opened == []
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("demo lenet5/minst", "lenet5 has no weights 'minst'"),
        ("demo --model lenett5", "lenet5"),
        ("demo alexnet_2012", "which weights?"),
        ("demo --port 7860", "--port"),
        ("demo lenet5/mnist --no-browser --out {files}", "cannot be written"),
        ("export lenet5/mnist --format html --scaled", "scales them itself"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(refuses, tmp_path, command, message):
    (tmp_path / "files").mkdir()
    refuses(command, message, files=tmp_path / "files")


def test_export_writes_the_page_of_one_network(opened, tmp_path, capsys):
    words = ["export", "lenet5", "--weights", "mnist", "--format", "html", "--json", "--out"]
    for out, name in (("folder", "folder/lenet5-mnist.html"), ("class.html", "class.html")):
        assert cli.main([*words, out]) == 0
        found = json.loads(capsys.readouterr().out)
        path = tmp_path / name
        assert (found["path"], found["format"]) == (name, "html")
        assert found["bytes"] == path.stat().st_size
        assert [each["label"] for each in Page(path.read_text()).networks] == ["lenet5/mnist"]
        assert cli.main([*words, out]) == 2
        assert "already exists" in capsys.readouterr().err


def test_a_notebook_shows_the_page_in_a_frame(monkeypatch):
    """The frame has an origin of its own: it reads nothing of the notebook."""
    shown: list[str] = []
    fake = types.SimpleNamespace(HTML=str, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=fake))
    modelzoo.demo("lenet5/mnist")
    (frame,) = [attributes for tag, attributes in Page(shown[0]).elements if tag == "iframe"]
    assert frame["sandbox"] == "allow-scripts" and len(Page(frame["srcdoc"]).networks) == 1
    assert html.escape("<!DOCTYPE html>") in shown[0]
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(InputError, match="needs IPython"):
        modelzoo.demo("lenet5/mnist")
