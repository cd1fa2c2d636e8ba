"""A visit to the drawing page in a real browser: what is drawn, asked for and complained of."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright

from tests.waiting import HANGS

# Strokes, as shares of the sheet.
ROUND = [(0.5, 0.15), (0.3, 0.28), (0.26, 0.5), (0.32, 0.75), (0.5, 0.86), (0.68, 0.75)]
ROUND += [(0.74, 0.5), (0.7, 0.28), (0.5, 0.15)]
TWO = [(0.28, 0.3), (0.4, 0.16), (0.6, 0.16), (0.68, 0.32), (0.5, 0.58)]
TWO += [(0.28, 0.84), (0.74, 0.84)]
THREE = [(0.3, 0.2), (0.5, 0.13), (0.68, 0.22), (0.66, 0.38), (0.45, 0.48)]
THREE += [(0.68, 0.58), (0.7, 0.76), (0.5, 0.87), (0.28, 0.78)]
SEVEN = [(0.25, 0.2), (0.72, 0.2), (0.6, 0.45), (0.48, 0.85)]
EIGHT = [(0.66, 0.24), (0.5, 0.14), (0.35, 0.25), (0.42, 0.4), (0.6, 0.55), (0.68, 0.72)]
EIGHT += [(0.5, 0.86), (0.32, 0.73), (0.4, 0.55), (0.6, 0.4), (0.66, 0.24)]
NINE = [(0.66, 0.3), (0.5, 0.16), (0.34, 0.3), (0.4, 0.46), (0.55, 0.46), (0.66, 0.3)]
FIVE = [(0.7, 0.15), (0.34, 0.15), (0.32, 0.45), (0.55, 0.42), (0.7, 0.58), (0.66, 0.8)]
FIVE += [(0.48, 0.87), (0.28, 0.8)]
SIX = [(0.62, 0.14), (0.42, 0.32), (0.32, 0.58), (0.36, 0.8), (0.52, 0.87), (0.66, 0.76)]
SIX += [(0.62, 0.58), (0.46, 0.54), (0.34, 0.66)]
ONE = [(0.52, 0.14), (0.5, 0.86)]
FOUR = [[(0.34, 0.14), (0.28, 0.55), (0.72, 0.55)], [(0.66, 0.14), (0.62, 0.88)]]
NINE += [(0.64, 0.6), (0.58, 0.86)]
DIGITS = [[ROUND], [ONE], [TWO], [THREE], FOUR, [FIVE], [SIX], [SEVEN], [EIGHT], [NINE]]


def browser_path() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


class Visit:
    """An open page, and everything that it asked for or complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: said.type in ("error", "warning") and self.complaints.append(said.text),
        )

    def draw(self, points: list[tuple[float, float]], size: float = 1.0) -> None:
        """Draw a stroke with the mouse; a smaller one stands a little off the middle."""
        box = self.page.locator("#sheet").bounding_box()
        shift = (1 - size) / 3
        for number, (x, y) in enumerate(points):
            x = box["x"] + box["width"] * (shift + size * x)
            y = box["y"] + box["height"] * (shift + size * y)
            self.page.mouse.move(x, y, steps=5)
            if number == 0:
                self.page.mouse.down()
        self.page.mouse.up()

    def sees(self, text: str) -> None:
        strong = self.page.locator("#headlines strong").first
        expect(strong).to_have_text(text, timeout=1000 * HANGS)

    def choose(self, label: str, which: str = "first") -> None:
        self.page.select_option(f"#{which}", label=label)
        self.page.locator("#values", has_text=f"{label}:").wait_for()


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser."""
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=browser_path(),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def visited(browser: Any, file: Path, width: int = 1280, height: int = 900) -> Iterator[Visit]:
    """Open the page; whatever is done there, nothing is asked for and no error appears."""
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    page = context.new_page()
    page.set_default_timeout(1000 * HANGS)
    opened = Visit(page)
    page.goto(file.as_uri())
    page.locator(".headline").first.wait_for()
    yield opened
    context.close()
    assert opened.requests == [file.as_uri()]
    assert opened.complaints == []
