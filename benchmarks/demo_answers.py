"""How long does the page take for an answer? Server time, from the drawing to the finished HTML.

    python benchmarks/demo_answers.py [--model lenet5/mnist …] [--rounds 25]

Each answer has all parts: values, feature maps, adversarial version. The networks take turns;
medians and the slowest tenth are printed, in milliseconds.
"""

import argparse
import base64
import io
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image, ImageDraw

from modelzoo.demo.serve import load, packaged_networks
from modelzoo.training.resolve import resolve


def drawing() -> str:
    """Return a seven as the page sends it."""
    sheet = Image.new("RGB", (256, 256), "white")
    corners = [(70, 50), (185, 50), (150, 120), (120, 215)]
    ImageDraw.Draw(sheet).line(corners, fill="black", width=18)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", metavar="NAME/WEIGHTS")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    networks = load({name: resolve(name) for name in options.model or packaged_networks()})
    from modelzoo.demo.page import answer

    picture = drawing()
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for round_ in range(options.rounds + 3):
        for name in networks:
            start = time.perf_counter()
            answer(networks, picture, name, 0.1)
            if round_ >= 3:  # warm by then
                seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        median, slow = 1000 * np.median(times), 1000 * np.quantile(times, 0.9)
        print(f"{name:26} median {median:6.1f} ms, nine of ten below {slow:6.1f} ms")


if __name__ == "__main__":
    main()
