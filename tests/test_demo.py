"""The page: what it answers, whom it answers, and what a person at a browser sees of it."""

import base64
import html
import importlib.util
import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from waiting import HANGS

import modelzoo
from modelzoo import cli
from modelzoo.demo import serve, show
from modelzoo.support.errors import InputError

THREE = [(0.3, 0.2), (0.5, 0.13), (0.68, 0.22), (0.66, 0.38), (0.45, 0.48)]
THREE += [(0.68, 0.58), (0.7, 0.76), (0.5, 0.87), (0.28, 0.78)]
SEVEN = [(0.25, 0.2), (0.72, 0.2), (0.6, 0.45), (0.48, 0.85)]


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from modelzoo.data.known_sets import load_mnist5k

    data = load_mnist5k()
    return data.x_test, data.y_test


@pytest.fixture(scope="module")
def networks() -> dict:
    from modelzoo.cli.demo import load
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
    from modelzoo.demo.page import answer

    return answer(networks, picture, chosen, strength)


def test_a_network_answers_as_predict_does(networks, tmp_path):
    """The page and the command prepare a drawing in the same way."""
    from modelzoo.api import predict
    from modelzoo.config import load_config

    drawing = np.full((200, 300), 255, np.uint8)
    drawing[40:160, 140:156] = 0
    path = tmp_path / "one.png"
    path.write_bytes(png(drawing))
    config = load_config("lenet5")
    expected = predict(config, [path], "mnist", top=10)[0]
    network = networks["lenet5/mnist"]
    given = network.prepare(path.read_bytes())
    values = network.answer(given.pixels).values
    assert given.notes == expected.notes
    found = {name: values[int(name)] for name, _ in expected.classes}
    assert found == pytest.approx(dict(expected.classes), abs=1e-5)


def test_features_of_all_layers_but_those_that_change_nothing(networks, digits):
    answer = networks["lenet5/mnist"].answer(digits[0][0])
    shapes = {name: values.shape for name, values in answer.features.items()}
    assert shapes == {
        "C1": (24, 24, 6),
        "S2": (12, 12, 6),
        "C3": (8, 8, 16),
        "S4": (4, 4, 16),
        "F5": (120,),
        "F6": (84,),
        "output": (10,),
    }
    assert np.allclose(answer.features["output"], answer.values)


@pytest.mark.parametrize("name", ["lenet5/mnist", "lenet5_1998/mnist"])
def test_fgsm_changes_no_pixel_by_more_than_its_strength_and_fools(networks, digits, name):
    images, labels = digits[0][::50].astype("float32"), digits[1][::50]
    network = networks[name]
    correct = {}
    for strength in (0.0, 0.1, 0.3):
        changed = [network.adversarial(x, y, strength) for x, y in zip(images, labels, strict=True)]
        pixels = np.stack([each.pixels for each in changed])
        assert np.abs(pixels - images).max() <= 255 * strength + 1e-3
        assert pixels.min() >= 0 and pixels.max() <= 255
        answers = [each.values.argmax() for each in changed]
        correct[strength] = np.mean(np.array(answers) == labels)
    assert correct[0.0] > 0.95 and correct[0.0] > correct[0.1] > correct[0.3]


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


def test_an_empty_sheet_invites(networks):
    headline, *rest = respond(networks, "")
    assert "Draw a digit" in headline and rest == ["", "", ""]


@pytest.mark.parametrize("name", ["lenet5/mnist", "lenet5_1998/mnist"])
def test_a_blank_image_gets_no_class(networks, name):
    headline, *rest = respond(networks, url(png(np.full((280, 280), 250, np.uint8))), name)
    assert "No class: no ink found" in headline and "strong" not in headline
    assert rest == ["", "", ""]


def test_an_uncertain_answer_is_marked(networks, digits):
    """A probability below 60 % is, a score is not."""
    images, labels = digits
    network = networks["lenet5/mnist"]
    mixed = (images[labels == 1][0] // 2 + images[labels == 7][1] // 2, images[labels == 0][0])
    for pixels in mixed:
        answer = network.answer(pixels)
        marked = "(uncertain)" in show.headline(network, answer)
        assert marked == (answer.values.max() < 0.6)
    scores = networks["lenet5_1998/mnist"]
    assert "(uncertain)" not in show.headline(scores, scores.answer(mixed[0]))


def bomb() -> bytes:
    file = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (url(b"no picture"), "the file is not a picture that can be read"),
        (url(b""), "the file is not a picture"),
        (url(bomb()), "more than 80 million pixels"),
        (url(png(np.zeros((9, 9), np.uint8))[:40]), "the file is"),
        ("data:image/png;base64,%%%", "No picture arrived"),
        ("/etc/passwd", "No picture arrived"),
        ("data:;base64," + "A" * 27_000_000, "larger than 20 MB"),
    ],
)
def test_bad_pictures_are_one_message_on_the_page(networks, capsys, picture, message):
    headline, *rest = respond(networks, picture)
    assert message in visible(headline) and 'role="alert"' in headline
    assert rest == ["", "", ""] and "Traceback" not in headline
    assert capsys.readouterr().err == ""


def test_a_bug_is_one_message_too(networks, monkeypatch, capsys):
    monkeypatch.setattr(show, "bars", lambda *given: 1 / 0)
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
    picture, low, high = show.mosaic(maps)
    assert picture.shape == (2, 8 * 4 - 1, 2) and (low, high) == (0, 2)
    assert (picture[:, 4:7, 0] == 255).all() and picture[0, 30, 0] == 128
    assert (picture[:, 3::4, 1] == 0).all() and (picture[:, 4:7, 1] == 255).all()


def test_mosaic_draws_zero_as_the_middle_grey_where_there_are_negative_values():
    picture, low, high = show.mosaic(np.array([-1.0, 0.0, 3.0, 1.5], "float32"))
    assert picture.shape == (1, 4, 2) and (low, high) == (-1, 3)
    assert picture[0, :, 0].tolist() == [85, 128, 255, 191]
    assert show.mosaic(np.zeros(84, "float32"))[0].shape == (4, 21, 2)


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
        ("0.0.0.0", {"host": "192.168.1.7:7860"}, None),
        ("0.0.0.0", {"host": "evil.example:7860"}, 403),
        ("lab.example", {"host": "LAB.example:7860"}, None),
    ],
)
def test_only_requests_for_this_page_pass(host, headers, status):
    """Names that others can point to this machine are refused; so are other pages' requests."""
    refused = serve.Guard(None, host).refusal(headers)
    assert (refused and refused[0]) == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", None),
        ("/gradio_api/queue/join", None),
        ("/gradio_api/file=/etc/passwd", 404),
        ("/gradio_api/file/etc/passwd", 404),
        ("/gradio_api/file=https://evil.example/", 404),
        ("/gradio_api/upload", 404),
        ("/gradio_api/upload_progress", 404),
        ("/gradio_api/proxy=http://127.0.0.1:22/", 404),
        ("/gradio_api/stream/a/b/c", 404),
        ("/gradio_api/component_server", 404),
        ("/gradio_api/what_a_later_gradio_adds", 404),
    ],
)
def test_parts_of_gradio_that_the_page_has_no_use_for_are_closed(path, status):
    """One of them sends a browser wherever an address says (Gradio 6.17)."""
    refused = serve.Guard(None, "127.0.0.1").refusal(GOOD, path)
    assert (refused and refused[0]) == status


def test_a_port_in_use_is_one_clear_error():
    with serve.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"--port {port}: is in use.*\n.*--port 0"):
            serve.listen("127.0.0.1", port)
    serve.listen("127.0.0.1", port).close()
    with pytest.raises(InputError, match=r"--host 203\.0\.113\.9: cannot be listened on"):
        serve.listen("203.0.113.9", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "x"], "--port: x should be a whole number from 0 to 65535"),
        (["--port", "65536"], "--port: 65536 should be"),
        (["--model", "lenet5/minst"], "lenet5 has no weights 'minst'"),
        (["--model", "lenett5"], "lenet5"),
        (["--model", "alexnet_2012"], "which weights?"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # Gradio or not
    assert cli.main(["demo", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error and error.count("\n") <= 5


def test_without_gradio_the_error_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["demo"]) == 2
    assert 'pip install "gradio>=6.18"' in capsys.readouterr().err


# What follows sits at a browser, in front of the command itself.

RECORD_CONNECTIONS = """
import sys
from pathlib import Path
log = Path(sys.argv.pop(1))
near = (None, "", "127.0.0.1", "::1", "localhost", b"127.0.0.1")
def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host not in near:
        with log.open("a") as file:
            file.write(f"{event} {host}\\n")
sys.addaudithook(watch)
from modelzoo.cli import main
sys.exit(main(sys.argv[1:]))
"""


def browser_path() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def demo_url(tmp_path_factory) -> Iterator[str]:
    """A running `modelzoo demo`; at the end it must stop cleanly and have called nobody."""
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("demo")
    calls, errors = folder / "calls.txt", (folder / "stderr.txt").open("w+")
    command = [sys.executable, "-c", RECORD_CONNECTIONS, str(calls), "demo", "--no-browser"]
    command += ["--port", "0", "--model", "lenet5/mnist", "lenet5_1998/mnist"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    late = threading.Timer(HANGS, process.kill)
    late.start()
    try:
        lines = (re.search(r"http://127\.0\.0\.1:(\d+)/", line) for line in process.stdout)
        found = next((match for match in lines if match), None)
        assert found, (folder / "stderr.txt").read_text()
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(HANGS) == 0
    finally:
        late.cancel()
        process.kill()
        process.wait()
    socket.create_server(("127.0.0.1", int(found[1]))).close()  # the port is free again
    assert not calls.exists(), calls.read_text()
    assert "Traceback" not in (folder / "stderr.txt").read_text()


class Visit:
    """An open page, and everything that it asked for or complained of."""

    def __init__(self, page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda opened: self.requests.append(opened.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: said.type in ("error", "warning") and self.complaints.append(said.text),
        )

    def draw(self, points: list[tuple[float, float]]) -> None:
        box = self.page.locator("canvas").bounding_box()
        for number, (x, y) in enumerate(points):
            self.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
            if number == 0:
                self.page.mouse.down()
        self.page.mouse.up()

    def sees(self, text: str) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator(".mz-headline strong")).to_have_text(text, timeout=1000 * HANGS)


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=browser_path(),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, demo_url) -> Iterator[Visit]:
    """The page at a desktop; whatever a test does, no request may leave and no error appear."""
    yield from _visit(chromium, demo_url, 1280, 900)


@pytest.fixture
def phone(chromium, demo_url) -> Iterator[Visit]:
    yield from _visit(chromium, demo_url, 360, 740)


def _visit(chromium, demo_url: str, width: int, height: int) -> Iterator[Visit]:
    page = chromium.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(1000 * HANGS)
    opened = Visit(page)
    page.goto(demo_url)
    page.locator("canvas").wait_for()
    yield opened
    page.close()
    elsewhere = [u for u in opened.requests if not u.startswith(("data:", "blob:", demo_url))]
    assert len(opened.requests) > 10 and elsewhere == []
    assert opened.complaints == []


in_a_browser = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(browser_path() is None, reason="no Chromium on this machine"),
]


def marked(test):
    for mark in in_a_browser:
        test = mark(test)
    return test


@marked
def test_drawn_3_and_7_are_read(visit):
    visit.draw(THREE)
    visit.sees("3")
    visit.page.get_by_role("button", name="Clear").click()
    visit.page.get_by_text("Draw a digit, or choose").wait_for()
    visit.draw(SEVEN)
    visit.sees("7")
    assert visit.page.locator(".mz-maps img").count() == 7
    assert visit.page.locator(".mz-row img").count() == 3


@marked
def test_answers_come_while_the_stroke_is_being_drawn(visit):
    box = visit.page.locator("canvas").bounding_box()
    visit.page.mouse.move(box["x"] + 130, box["y"] + 40)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 130, box["y"] + 250, steps=10)
    visit.sees("1")
    visit.page.mouse.up()


@marked
def test_a_phone_needs_no_sideways_scrolling(phone):
    for width in (360, 320):
        phone.page.set_viewport_size({"width": width, "height": 740})
        phone.draw(THREE)
        phone.sees("3")
        phone.page.locator(".mz-maps img").last.wait_for()
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= width
        phone.page.get_by_role("button", name="Clear").click()
    assert (
        phone.page.evaluate("getComputedStyle(document.querySelector('canvas')).touchAction")
        == "none"
    )


@marked
def test_the_keyboard_alone_is_enough(visit):
    """Tab to an example and take it, choose another network, and change the strength."""
    keyboard = visit.page.keyboard

    def tab_to(wanted: str) -> None:
        for _ in range(40):
            keyboard.press("Tab")
            focused = "document.activeElement"
            name = f"{focused}.getAttribute('aria-label') || {focused}.textContent"
            if wanted in visit.page.evaluate(name):
                return
        raise AssertionError(f"{wanted} is not reached by the tabulator key")

    tab_to("Try a handwritten 5")
    keyboard.press("Enter")
    visit.sees("5")
    tab_to("Network")
    visit.page.get_by_role("option").first.wait_for()  # the list opens a moment after the focus
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    visit.page.get_by_text("This network has no softmax").wait_for()
    visit.sees("5")
    tab_to("range slider")
    keyboard.press("Home")
    visit.page.get_by_text("more than 0.0 of 255").wait_for()


@marked
def test_a_picture_is_dropped_or_chosen(visit, digits, tmp_path):
    images, labels = digits
    photo = np.full((300, 400), 230, np.uint8)  # a dark 4 on light paper
    four = Image.fromarray(255 - images[labels == 4][0][..., 0]).resize((200, 200))
    photo[50:250, 100:300] = np.minimum(230, np.asarray(four))
    path = tmp_path / "four.png"
    path.write_bytes(png(photo))
    visit.page.locator("input[type=file]").set_input_files(path)
    visit.sees("4")
    content = base64.b64encode(png(images[labels == 8][0])).decode()
    visit.page.evaluate(
        """content => {
          const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
          const dropped = new DataTransfer();
          dropped.items.add(new File([bytes], "8.png", {type: "image/png"}));
          document.querySelector("canvas").dispatchEvent(
            new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
        }""",
        content,
    )
    visit.sees("8")
    visit.draw(SEVEN)  # a stroke starts a new sheet
    visit.sees("7")


@marked
def test_a_file_that_is_no_picture_is_said_on_the_page(visit, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    visit.page.locator("input[type=file]").set_input_files(path)
    visit.page.get_by_text("is not a picture that can be read").wait_for()
    visit.draw(SEVEN)
    visit.sees("7")


@marked
def test_everything_has_a_name_for_screen_readers(visit):
    visit.page.get_by_role("button", name="Try a handwritten 3").click()
    visit.sees("3")
    visit.page.locator(".mz-maps img").last.wait_for()
    unnamed = visit.page.evaluate(
        """() => [...document.querySelectorAll(".mz img, canvas, button, input")]
          .filter(e => e.checkVisibility() && !e.closest("[aria-label]") && !e.getAttribute("alt")
            && !e.getAttribute("aria-labelledby") && !e.labels?.length && !e.textContent.trim())
          .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


@marked
def test_the_server_gives_no_files_and_takes_none(demo_url, tmp_path):
    import urllib.error
    import urllib.request

    def status(path: str, headers: dict | None = None, body: bytes | None = None) -> int:
        request = urllib.request.Request(demo_url + path, body, headers or {})
        try:
            return urllib.request.urlopen(request, timeout=HANGS).status
        except urllib.error.HTTPError as error:
            return error.code

    assert status("") == 200
    assert status("", {"Host": "evil.example"}) == 403
    assert status("", {"Origin": "https://evil.example"}) == 403
    for path in ("/etc/passwd", str(Path(modelzoo.__file__)), str(Path.cwd() / "README.md")):
        assert status(f"gradio_api/file={path}") == 404
        assert status(f"static/..{path}") in (403, 404)
    form = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc\r\n--x--\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert status("gradio_api/upload", kind, form) == 404
