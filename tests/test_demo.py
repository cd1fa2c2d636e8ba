"""The page: what it answers, whom it answers, and what a person at a browser sees of it."""

import base64
import html
import importlib.util
import io
import re

import numpy as np
import pytest
from msgspec.structs import asdict
from PIL import Image

from modelzoo.demo import page, serve
from modelzoo.support.errors import InputError


@pytest.fixture(scope="module")
def digits():
    from modelzoo.data.known_sets import load_mnist5k

    data = load_mnist5k()
    return data.x_test, data.y_test


@pytest.fixture(scope="module")
def networks():
    from modelzoo.demo.serve import load
    from modelzoo.training.resolve import resolve

    return load({name: resolve(name) for name in ("lenet5/mnist", "lenet5_1998/mnist")})


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    return file.getvalue()


def url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def visible(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def respond(networks: dict, picture: str, chosen: str = "lenet5/mnist", strength: float = 0.1):
    pytest.importorskip("gradio")
    return page.answer(networks, picture, chosen, strength)


def test_a_network_answers_as_predict_does(networks, tmp_path):
    from modelzoo.api import predict
    from modelzoo.config import load_config
    from modelzoo.data.images import read_image

    drawing = np.full((200, 300), 255, np.uint8)
    drawing[40:160, 140:156] = 0
    path = tmp_path / "one.png"
    path.write_bytes(png(drawing))
    config = load_config("lenet5")
    expected = predict(config, [path], "mnist", top=10)[0]
    network = networks["lenet5/mnist"]
    given = read_image(path.read_bytes(), config.image_shape, **asdict(config.image))
    values, features = network.answer(given.pixels)
    assert list(features) == ["C1", "S2", "C3", "S4", "F5", "F6", "output"]
    assert np.allclose(features["output"], values) and given.notes == expected.notes
    found = {name: values[int(name)] for name, _ in expected.classes}
    assert found == pytest.approx(dict(expected.classes), abs=1e-5)


@pytest.mark.parametrize("name", ["lenet5/mnist", "lenet5_1998/mnist"])
def test_an_attack_changes_no_pixel_by_more_than_its_strength_and_fools(networks, digits, name):
    images, labels = digits[0][::50].astype("float32"), digits[1][::50]
    network = networks[name]
    correct = {}
    for strength in (0.0, 0.3):
        changed = [network.adversarial(x, y, strength) for x, y in zip(images, labels, strict=True)]
        assert np.abs(np.stack(changed) - images).max() <= 255 * strength + 1e-3
        answers = [network.answer(each)[0].argmax() for each in changed]
        correct[strength] = np.mean(np.array(answers) == labels)
    assert correct[0.0] > 0.95 and correct[0.3] < 0.7


def test_a_digit_is_answered_with_all_parts(networks, digits):
    images, labels = digits
    headline, values, maps, adversarial = respond(networks, url(png(images[labels == 7][0])))
    assert re.search(r"<strong>7</strong> probability \d+\.\d%", headline)
    assert values.count("<li") == 10 and "Probabilities" in values
    assert maps.count("<img") == 7 == maps.count("alt=")
    for label in ("C1 6 maps of 24x24", "C3 16 maps of 8x8", "F6 84 units"):
        assert label in re.sub(r"\s+", " ", visible(maps))
    assert adversarial.count("<img") == 3 == adversarial.count('alt="')
    assert "more than 25.5 of 255" in adversarial and "magnified 4.98 times" in adversarial


def test_scores_are_not_called_probabilities(networks, digits):
    picture = url(png(digits[0][0]))
    parts = "".join(respond(networks, picture, "lenet5_1998/mnist"))
    assert "Scores" in parts and "score" in parts and "no softmax" in parts
    assert "%" not in visible(parts) and "Probabilities" not in parts


def test_at_strength_0_nothing_changes(networks, digits):
    *_, adversarial = respond(networks, url(png(digits[0][0])), strength=0)
    assert "the answer stays" in adversarial and "more than 0.0 of 255" in adversarial


@pytest.mark.parametrize("name", ["lenet5/mnist", "lenet5_1998/mnist"])
def test_an_empty_sheet_invites_and_a_blank_image_gets_no_class(networks, name):
    blank = url(png(np.full((280, 280), 250, np.uint8)))
    for picture, said in (("", "Draw a digit"), (blank, "No class: no ink found")):
        headline, *rest = respond(networks, picture, name)
        assert said in headline and "strong" not in headline and rest == ["", "", ""]


def test_an_uncertain_answer_is_marked(networks, digits):
    images, labels = digits
    network = networks["lenet5/mnist"]
    mixed = (images[labels == 1][0] // 2 + images[labels == 7][1] // 2, images[labels == 0][0])
    for pixels in mixed:
        values, _ = network.answer(pixels)
        marked = "(uncertain)" in page.show_headline(network, values)
        assert marked == (values.max() < 0.6)
    scores = networks["lenet5_1998/mnist"]
    assert "(uncertain)" not in page.show_headline(scores, scores.answer(mixed[0])[0])


def bomb() -> bytes:
    file = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (url(b"no image"), "the file is not an image that can be read"),
        (url(b""), "the file is not an image"),
        (url(bomb()), "more than 80 million pixels"),
        (url(png(np.zeros((9, 9), np.uint8))[:40]), "the file is"),
        ("data:image/png;base64,%%%", "No image arrived"),
        ("/etc/passwd", "No image arrived"),
        ("data:;base64," + "A" * 27_000_000, "more than 20 MB"),
    ],
)
def test_bad_pictures_are_one_message_on_the_page(networks, capsys, picture, message):
    headline, *rest = respond(networks, picture)
    assert message in visible(headline) and 'role="alert"' in headline
    assert rest == ["", "", ""] and "Traceback" not in headline
    assert capsys.readouterr().err == ""


def test_a_bug_is_one_message_too(networks, monkeypatch, capsys):
    monkeypatch.setattr(page, "bars", lambda *given: 1 / 0)
    monkeypatch.delenv("MODELZOO_DEBUG", raising=False)
    headline, *_ = respond(networks, url(png(np.eye(9, dtype=np.uint8) * 255)))
    assert "The terminal says why" in headline
    assert capsys.readouterr().err == "modelzoo demo: ZeroDivisionError: division by zero\n"


def test_names_of_classes_and_layers_are_escaped(networks, digits, monkeypatch):
    network, evil = networks["lenet5/mnist"], "<script>alert(1)</script>\"'"
    monkeypatch.setattr(network, "class_names", [evil] * 10)
    monkeypatch.setattr(network, "kinds", {evil + name: evil for name in network.kinds})
    parts = "".join(respond(networks, url(png(digits[0][0]))))
    assert "<script" not in parts and 'alt="<' not in parts and html.escape(evil) in parts


def test_mosaic_lays_maps_side_by_side_with_transparent_gaps():
    maps = np.zeros((2, 3, 8), "float32")
    maps[..., 1], maps[0, 2, 7] = 2.0, 1.0
    picture, low, high = page.mosaic(maps)
    assert picture.shape == (2, 8 * 4 - 1, 2) and (low, high) == (0, 2)
    assert (picture[:, 4:7, 0] == 255).all() and picture[0, 30, 0] == 128
    assert (picture[:, 3::4, 1] == 0).all() and (picture[:, 4:7, 1] == 255).all()


def test_mosaic_draws_zero_as_the_middle_grey_where_there_are_negative_values():
    picture, low, high = page.mosaic(np.array([-1.0, 0.0, 3.0, 1.5], "float32"))
    assert picture.shape == (1, 4, 2) and (low, high) == (-1, 3)
    assert picture[0, :, 0].tolist() == [85, 128, 255, 191]
    assert page.mosaic(np.zeros(84, "float32"))[0].shape == (4, 21, 2)


GOOD = {"host": "127.0.0.1:7860"}


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1", GOOD, None),
        ("127.0.0.1", {"host": "localhost:7860"}, None),
        ("127.0.0.1", {"host": "[::1]:7860"}, None),
        ("127.0.0.1", GOOD | {"origin": "http://127.0.0.1:7860"}, None),
        ("127.0.0.1", GOOD | {"origin": "http://127.0.0.1:8000"}, 403),
        ("127.0.0.1", GOOD | {"origin": "https://evil.example"}, 403),
        ("127.0.0.1", GOOD | {"origin": "null"}, 403),
        ("127.0.0.1", {"host": "evil.example:7860"}, 403),
        ("127.0.0.1", {"host": "127.0.0.1.evil.example"}, 403),
        ("127.0.0.1", {"host": "evil.example@127.0.0.1"}, None),
        ("127.0.0.1", {"host": "127.0.0.1@evil.example"}, 403),
        ("127.0.0.1", {"host": "192.168.1.7:7860"}, 403),
        ("127.0.0.1", {"host": "[::1"}, 403),
        ("127.0.0.1", {}, 403),
        ("127.0.0.1", GOOD | {"content-length": "30000001"}, 413),
        ("127.0.0.1", GOOD | {"content-length": "-1"}, 413),
        ("127.0.0.1", GOOD | {"transfer-encoding": "chunked"}, 413),
        ("0.0.0.0", {"host": "192.168.1.7:7860"}, None),
        ("0.0.0.0", {"host": "evil.example:7860"}, 403),
        ("lab.example", {"host": "LAB.example:7860"}, None),
    ],
)
def test_only_requests_for_this_page_pass(host, headers, status):
    """Names that others can point to this machine are refused; so are other pages' requests."""
    refused = serve.Guard(None, host).refusal(headers)
    assert (refused and refused[0]) == status


def test_parts_of_gradio_that_the_page_has_no_use_for_are_closed():
    """One of them sends a browser wherever an address says (Gradio 6.17)."""
    guard = serve.Guard(None, "127.0.0.1")
    assert guard.refusal(GOOD, "/") is guard.refusal(GOOD, "/gradio_api/queue/join") is None
    for path in (
        "file=/etc/passwd",
        "file/etc/passwd",
        "file=https://evil.example/",
        "upload",
        "proxy=http://127.0.0.1:22/",
        "stream/a/b/c",
        "component_server",
        "what_a_later_gradio_adds",
    ):
        assert guard.refusal(GOOD, f"/gradio_api/{path}")[0] == 404, path


def test_a_port_in_use_is_one_clear_error():
    with serve.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"--port {port}: is in use.*\n.*--port 0"):
            serve.listen("127.0.0.1", port)
    serve.listen("127.0.0.1", port).close()
    with pytest.raises(InputError, match=r"--host 203\.0\.113\.9: cannot be listened on"):
        serve.listen("203.0.113.9", 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--port x", "--port: x should be a whole number from 0 to 65535"),
        ("--port 65536", "--port: 65536 should be"),
        ("--model lenet5/minst", "lenet5 has no weights 'minst'"),
        ("--model lenett5", "lenet5"),
        ("--model alexnet_2012", "which weights?"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(monkeypatch, refuses, options, message):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # Gradio or not
    refuses(f"demo {options}", message)


def test_without_gradio_the_error_says_what_to_install(refuses, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refuses("demo", 'pip install "gradio>=6.18"')
