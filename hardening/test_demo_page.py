"""The page of `modelzoo demo` in a real browser, in front of the command itself."""

import base64
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
from test_demo import digits, png  # noqa: F401  (a fixture)
from waiting import HANGS

import modelzoo

THREE = [(0.3, 0.2), (0.5, 0.13), (0.68, 0.22), (0.66, 0.38), (0.45, 0.48)]
THREE += [(0.68, 0.58), (0.7, 0.76), (0.5, 0.87), (0.28, 0.78)]


SEVEN = [(0.25, 0.2), (0.72, 0.2), (0.6, 0.45), (0.48, 0.85)]


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
    """A running `modelzoo demo`; at the end it must stop cleanly, and ask no other host."""
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
def test_a_picture_is_dropped_or_chosen(visit, digits, tmp_path):  # noqa: F811
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
    path.write_text("not an image")
    visit.page.locator("input[type=file]").set_input_files(path)
    visit.page.get_by_text("is not an image that can be read").wait_for()
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
