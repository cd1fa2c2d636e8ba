"""The site of the documentation, built strictly and opened from the disk with the network off."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelzoo

page_visit = pytest.importorskip("hardening.page_visit")  # without Playwright
ROOT = Path(__file__).parents[1]
missing = [name for name in ("zensical", "mkdocstrings") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(missing), reason="the extra docs is not installed"),
]


@pytest.fixture(scope="module")
def site() -> Path:
    command = [sys.executable, str(ROOT / "scripts" / "build_site.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build" / "site"


@pytest.fixture
def context(site: Path) -> Iterator:
    """A browser without a network; what its pages ask for is kept."""
    if page_visit.browser_path() is None:
        pytest.skip("no Chromium on this machine")
    with page_visit.chromium() as browser:
        yield browser.new_context(offline=True)


def test_no_page_asks_for_anything_but_its_files(site, context):
    asked, complaints = [], []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    page = context.new_page()
    pages = [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]  # of a host
    assert len(pages) > 40
    for path in pages:
        page.goto(path.as_uri(), wait_until="load")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path.name}: {wide} pixels too wide"
    assert [url for url in asked if not url.startswith((site.as_uri(), "data:", "blob:"))] == []
    assert complaints == []


def test_the_search_finds_a_network_without_a_network(site, context):
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    page.wait_for_timeout(1000)  # the page listens to keys once its script has run
    page.keyboard.press("/")
    page.wait_for_timeout(1000)  # the field is there, and the worker has its index
    page.keyboard.type("Neocognitron", delay=100)
    page.locator("mark", has_text="Neocognitron").first.wait_for()


def test_the_site_documents_every_public_name(site):
    text = (site / "reference" / "python.html").read_text("utf-8")
    for name in modelzoo.__all__:
        assert name.startswith("_") or f'id="modelzoo.{name}"' in text, name
