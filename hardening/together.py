"""Used at once and for long: every process is right, memory stays flat, nothing is left behind.

python -m hardening.together

Case 0: eight processes fetch the same weights into a cold cache, predict with them, and train into
folders beside each other. Case 1: 2,000 predictions in one process. Case 2: 1,000 digits, a day's
worth, drawn on the page.
"""

import argparse
import contextlib
import functools
import hashlib
import http.server
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from hardening.bars import write_bars
from hardening.cases import Outcome, add_options, run
from hardening.flat import SHARE, Held

PROCESSES, PREDICTIONS, DIGITS = 8, 2000, 1000
FILE = next(Path(__file__).parents[1].glob("modelzoo/weights/files/lenet5/mnist-*.h5"))
CONFIG = """
base: lenet5
weights:
  - name: fetched
    sources: [{url}]
    sha256: {sha256}
    bytes: {size}
    parameters: 44426
    scores: {{dataset: mnist, split: test, accuracy: 0.9923}}
    recipe: none
    licence: Apache-2.0
"""
WORK = """
import sys
from modelzoo import cli, predict
for line in sys.argv[1:]:
    if code := cli.main(line.split()):
        sys.exit(code)
print("PREDICTED", predict("net.yaml", ["sample:7"], "fetched"))
"""


def at_once(share: float) -> str:
    """Fetch, predict and train in eight processes; return what went wrong."""
    with tempfile.TemporaryDirectory(prefix="together-") as folder, served(FILE) as (url, asked):
        place = Path(folder)
        for name in ("home", "tmp"):
            (place / name).mkdir()
        sha256 = hashlib.sha256(FILE.read_bytes()).hexdigest()
        size = FILE.stat().st_size
        (place / "net.yaml").write_text(CONFIG.format(url=url, sha256=sha256, size=size))
        environment = os.environ | {
            "MODELZOO_HOME": str(place / "home"),
            "MODELZOO_DATA": str(write_bars(place / "data")),
            "TMPDIR": str(place / "tmp"),
        }
        environment.pop("MODELZOO_OFFLINE", None)
        options = "--dataset bars --device cpu --epochs 1 --set data.validation_split=40"
        processes = [
            subprocess.Popen(
                [
                    sys.executable, "-c", WORK, "pull net.yaml",
                    f"train --model net.yaml {options} --out runs/{number}",
                ],
                cwd=place, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]  # fmt: skip
        ends = [process.communicate() for process in processes]
        for process, (_, err) in zip(processes, ends, strict=True):
            if process.returncode:
                return f"exit code {process.returncode}: {err[-1500:]}"
        found = []
        if len(predicted := {out.partition("PREDICTED")[2] for out, _ in ends}) != 1:
            found.append(f"other predictions: {predicted}")
        trained = {(place / f"runs/{n}/best.weights.h5").read_bytes() for n in range(PROCESSES)}
        if len(trained) != 1:
            found.append(f"{len(trained)} different trainings")
        if len(asked) != 1:
            found.append(f"fetched {len(asked)} times")
        left = [*(place / "tmp").iterdir(), *(place / "runs").glob("*/.*")]
        left += [path for path in (place / "home").rglob("*") if ".part" in path.name]
        if left := [path.name for path in left if path.name != ".lock"]:
            found.append(f"left behind: {left}")
        return "; ".join(found)


@contextlib.contextmanager
def served(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a file on this machine; yield its address, and a list of what is asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    handler = functools.partial(Handler, directory=str(path.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/{path.name}", asked
        server.shutdown()


def predictions(share: float) -> str:
    """Predict again and again; return what has grown."""
    from modelzoo import predict

    before, first = Held.now(), ""
    for number in range(count := int(PREDICTIONS * share)):
        (found,) = predict("lenet5/mnist", ["sample:7"])
        if str(found) != (first := first or str(found)):
            return f"prediction {number} is another"
        if number == count // 4:
            before = Held.now()
    return Held.now().grown(before)


def strokes(share: float) -> str:
    """Draw digits on the page; return by how much its memory has grown."""
    from hardening.page_visit import DIGITS as DRAWN
    from hardening.page_visit import chromium, visited
    from modelzoo.page import make
    from modelzoo.training.resolve import resolve

    with tempfile.TemporaryDirectory(prefix="together-") as folder:
        page = Path(folder) / "page.html"
        make.write_page(map(resolve, make.packaged_networks(make.SMALL)), page)
        with chromium() as browser, visited(browser, page) as visit:
            session = visit.page.context.new_cdp_session(visit.page)

            def heap() -> int:
                session.send("HeapProfiler.collectGarbage")
                return int(session.send("Runtime.getHeapUsage")["usedSize"])

            before = heap()
            for number in range(count := int(DIGITS * share)):
                visit.page.click("#clear")
                for stroke in DRAWN[number % len(DRAWN)]:
                    visit.draw(stroke)
                visit.page.wait_for_function("soon === null")
                if number == count // 4:
                    before = heap()
            after = heap()
    return f"heap {before:,} bytes, then {after:,}" if after > SHARE * before else ""


CASES: list[Callable[[float], str]] = [at_once, predictions, strokes]


def run_cases(share: float, numbers: Iterable[int]) -> Iterator[tuple[int, Outcome]]:
    """Run each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    for number in numbers:
        case = CASES[number]
        with tempfile.TemporaryDirectory(prefix="together-") as own:
            os.environ["TMPDIR"] = own
            with ProcessPoolExecutor(1, context) as pool:
                problem = pool.submit(case, share).result()
        status = "WRONG" if problem else "ok"
        yield number, Outcome(status, f"{case.__name__}: {problem}")


def main() -> int:
    """Run the cases that were asked for; return 1 if one was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--share", type=float, default=1.0, help="of what is done in one process")
    add_options(parser, count=len(CASES))
    options = parser.parse_args()
    return run("together", options, functools.partial(run_cases, options.share))


if __name__ == "__main__":
    sys.exit(main())
