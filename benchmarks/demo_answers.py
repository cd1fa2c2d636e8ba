"""How long does the drawing page take for an answer, in a browser without a window?

    python benchmarks/demo_answers.py [--model lenet5/mnist …] [--rounds 25]

For each network: the size of a page that holds it alone, the time from a stroke to its prediction
on the page, and the time for feature maps and adversarial version, medians in milliseconds.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from modelzoo.page.make import packaged_networks, write_page
from modelzoo.training.resolve import resolve

DRAW_A_SEVEN = """
pen.lineWidth = 18;
pen.beginPath();
for (const [x, y] of [[70, 50], [185, 50], [150, 120], [120, 215]]) pen.lineTo(x, y);
pen.stroke();
"""
MEASURE = """async rounds => {
  const median = values => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const [predictions, rests] = [[], []];
  for (let round = -3; round < rounds; round++) {
    const began = performance.now();
    image = Object.assign(pen.getImageData(0, 0, sheet.width, sheet.height), {isDrawn: true});
    answer();
    document.body.getBoundingClientRect();  // the layout is part of it
    const predicted = performance.now();
    for (const each of answers) each.explain(0.1);
    if (round >= 0) {  // warm by then
      predictions.push(predicted - began);
      rests.push(performance.now() - predicted);
    }
    await new Promise(resume => setTimeout(resume, 0));
  }
  return [median(predictions), median(rests)];
}"""


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", metavar="NAME/WEIGHTS")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    with sync_playwright() as started, tempfile.TemporaryDirectory() as folder:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        print("| Network | File, MB | Prediction, ms | Other parts, ms |\n|---|---|---|---|")
        for name in options.model or packaged_networks():
            file = Path(folder) / "page.html"
            write_page([resolve(name)], file)
            page = browser.new_page()
            page.goto(file.as_uri())
            page.locator(".headline").wait_for()
            page.evaluate(f"() => {{ {DRAW_A_SEVEN} }}")
            prediction, rest = page.evaluate(MEASURE, options.rounds)
            size = file.stat().st_size / 1e6
            print(f"| `{name}` | {size:.2f} | {prediction:.1f} | {rest:.1f} |", flush=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
