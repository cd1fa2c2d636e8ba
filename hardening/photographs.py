"""Photographs of handwritten digits, drawn: twenty kinds of paper, light and surroundings.

`python hardening/photographs.py FOLDER` writes them, and prints how many of each kind are read.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Random = np.random.Generator
Points = list[tuple[float, float]]
COUNT = 20  # photographs of each kind

# The strokes of each digit: points in a box of 100x100, whose corners are rounded.
GLYPHS = (
    "50,0 10,15 0,50 10,88 50,100 90,85 100,50 88,10 46,0",
    "50,0 50,50 47,100",
    "5,25 20,2 75,0 95,30 60,65 5,100 10,100 100,97",
    "5,10 50,-3 100,15 80,42 35,48 85,53 100,80 60,103 0,90",
    "25,0 10,30 0,60 2,62 100,60; 72,20 70,60 66,100",
    "95,0 50,1 20,0 19,2 10,45 12,45 60,38 100,65 80,100 30,102 0,88",
    "75,0 30,25 0,65 15,98 60,102 95,80 75,52 30,55 5,75",
    "0,3 50,2 98,0 99,2 65,50 40,100",
    "85,12 50,-3 12,12 30,40 75,60 95,85 50,103 5,85 25,60 75,38 88,12",
    "92,20 55,-2 10,10 8,42 50,52 90,30 92,20 90,60 80,100",
)


def stroked(digit: int, height: int, random: Random, thickness: float) -> Image.Image:
    """Draw a digit: 255 is ink; thickness is a share of its height."""
    width = height * (random.uniform(0.5, 0.75) if digit != 1 else 0.5)
    slant, pen = random.uniform(-0.1, 0.3), max(1.0, thickness * height)
    field = Image.new("L", (2 * height + 40, 2 * height + 40))
    draw = ImageDraw.Draw(field)
    for stroke in GLYPHS[digit].split(";"):
        pairs = [pair.split(",") for pair in stroke.split()]
        points = np.array(pairs, float) / 100 + random.normal(0, 0.02, (len(pairs), 2))
        points = (points - 0.5) * (width, height)
        points[:, 0] -= slant * points[:, 1]
        for _ in range(3):  # cut the corners, but leave the ends
            step = np.diff(points, axis=0) / 4
            near, far = points[:-1] + step, points[1:] - step
            inner = np.stack([near, far], axis=1).reshape(-1, 2)
            points = np.concatenate([points[:1], inner, points[-1:]])
        places = [tuple(point) for point in points + (height + 20)]
        draw.line(places, fill=255, width=max(1, round(pen)), joint="curve")
        for x, y in (places[0], places[-1]):
            draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=255)
    return field.crop(field.getbbox())


def handwritten(pixels: np.ndarray, height: int) -> Image.Image:
    """Enlarge a digit of MNIST to a height, with edges as a pen has them."""
    small = Image.fromarray(pixels)
    small = small.crop(small.getbbox())
    size = max(1, round(small.width * height / small.height)), height
    large = np.asarray(small.resize(size, Image.Resampling.BICUBIC), float)
    return Image.fromarray(np.clip((large - 85) * 2.5, 0, 255).astype(np.uint8))


class Scene:
    """Paper, ink and light; `photograph` puts them together."""

    def __init__(self, random: Random, digits: Callable[[int], np.ndarray] | None = None):
        self.random = random
        self.digits = digits  # of MNIST, 28x28, by class; None for strokes
        self.width, self.height = int(random.integers(800, 1300)), int(random.integers(650, 1000))
        self.paper = np.full((self.height, self.width), random.uniform(0.72, 0.95))
        self.light = np.ones((self.height, self.width))
        self.ink = random.uniform(0.08, 0.3)
        self.rows, self.columns = np.mgrid[: self.height, : self.width].astype(float)
        self.noise, self.blur = random.uniform(1, 5), random.uniform(0.5, 1.3)

    def write(
        self,
        digit: int,
        height: int,
        left: float | None = None,
        top: float | None = None,
        thickness: float | None = None,
    ) -> Image.Image:
        """Write a digit with its corner somewhere, or at a place; return its ink."""
        random = self.random
        thick = thickness or random.uniform(0.05, 0.13)
        if self.digits is not None and thickness is None:
            ink = handwritten(self.digits(digit), height)
        else:
            ink = stroked(digit, height, random, thick)
        x = random.uniform(0.12, 0.88) * (self.width - ink.width) if left is None else left
        y = random.uniform(0.12, 0.88) * (self.height - ink.height) if top is None else top
        self.lay(ink, round(x), round(y), self.ink)
        return ink

    def lay(self, ink: Image.Image, left: int, top: int, grey: float) -> None:
        """Cover the paper with ink, where 255 covers it wholly; what sticks out is cut off."""
        whole = Image.new("L", (self.width, self.height))
        whole.paste(ink, (left, top))
        if box := whole.getbbox():  # elsewhere nothing changes
            share, part = np.asarray(whole.crop(box)) / 255, np.s_[box[1] : box[3], box[0] : box[2]]
            self.paper[part] = self.paper[part] * (1 - share) + grey * share

    def lines(
        self, spacing: float, tilt: float, width: float, grey: float, *, upright: bool
    ) -> None:
        across, down = (self.rows, self.columns) if upright else (self.columns, self.rows)
        place = (down + tilt * across) % spacing
        share = np.clip(width / 2 + 0.5 - np.abs(place - spacing / 2), 0, 1)
        self.paper = self.paper * (1 - share) + grey * share

    def polygon(self, points: Points, grey: float) -> None:
        whole = Image.new("L", (self.width, self.height))
        ImageDraw.Draw(whole).polygon(points, fill=255)
        self.lay(whole, 0, 0, grey)

    def photograph(self) -> Image.Image:
        pixels = np.clip(255 * self.paper * self.light, 0, 255)
        image = Image.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(self.blur))
        noisy = np.asarray(image, float) + self.random.normal(0, self.noise, pixels.shape)
        image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        target = io.BytesIO()
        image.save(target, "JPEG", quality=int(self.random.integers(70, 95)))
        return Image.open(target).convert("L")


def tall(scene: Scene, low: float = 0.2, high: float = 0.5) -> int:
    return round(scene.height * scene.random.uniform(low, high))


def clean(scene: Scene, digit: int) -> None:
    scene.write(digit, tall(scene))


def hard_shadow(scene: Scene, digit: int) -> None:
    """Half of the page, or a corner, lies in a shadow with a sharp edge."""
    random = scene.random
    scene.write(digit, tall(scene))
    angle, offset = random.uniform(0, 2 * np.pi), random.uniform(-0.15, 0.15)
    distance = np.cos(angle) * (scene.columns / scene.width - 0.5)
    distance += np.sin(angle) * (scene.rows / scene.height - 0.5) - offset
    edge = random.uniform(0.002, 0.02)
    scene.light *= 1 - random.uniform(0.3, 0.6) / (1 + np.exp(np.clip(-distance / edge, -50, 50)))


def dark_corners(scene: Scene, digit: int) -> None:
    scene.write(digit, tall(scene), *centre(scene, 0.3))
    radius = np.hypot(scene.columns / scene.width - 0.5, scene.rows / scene.height - 0.5)
    scene.light *= np.clip(1 - scene.random.uniform(1.3, 2.0) * radius**2, 0.04, 1)


def centre(scene: Scene, share: float) -> tuple[float, float]:
    random = scene.random
    return (
        scene.width * random.uniform(0.5 - share / 2, 0.5 + share / 2) - 80,
        scene.height * random.uniform(0.5 - share / 2, 0.5 + share / 2) - 120,
    )


def lamp_spot(scene: Scene, digit: int) -> None:
    """A bright round spot, which the digit may cross."""
    random = scene.random
    scene.write(digit, tall(scene))
    x, y = random.uniform(0.2, 0.8) * scene.width, random.uniform(0.2, 0.8) * scene.height
    radius = np.hypot(scene.columns - x, scene.rows - y) / (scene.height * random.uniform(0.3, 0.6))
    scene.light *= 0.4 + 0.65 * np.exp(-(radius**2))


def fall_off(scene: Scene, digit: int) -> None:
    random = scene.random
    scene.write(digit, tall(scene))
    angle = random.uniform(0, 2 * np.pi)
    way = np.cos(angle) * scene.columns / scene.width + np.sin(angle) * scene.rows / scene.height
    way = (way - way.min()) / np.ptp(way)
    scene.light *= random.uniform(0.08, 0.25) ** way


def cropped(scene: Scene, digit: int) -> Image.Image:
    """The image ends where the ink ends, or a little before it."""
    random = scene.random
    height = int(random.integers(40, 400))
    if scene.digits is not None:
        ink = handwritten(scene.digits(digit), height)
    else:
        ink = stroked(digit, height, random, random.uniform(0.08, 0.22))
    share = np.asarray(ink) / 255
    cut = int(random.integers(0, max(1, height // 40) + 1))
    share = share[cut : len(share) - cut]
    grey = 255 * (scene.paper[0, 0] * (1 - share) + scene.ink * share)
    return Image.fromarray(np.clip(grey + random.normal(0, 2, grey.shape), 0, 255).astype(np.uint8))


def touching(scene: Scene, digit: int) -> None:
    """The digit reaches one border of the photograph."""
    random, height = scene.random, tall(scene, 0.25, 0.6)
    side = random.integers(4)
    along = random.uniform(0.15, 0.5)
    if side == 0:
        scene.write(digit, height, -2, along * scene.height)
    elif side == 1:
        scene.write(digit, height, along * scene.width, -2)
    elif side == 2:
        scene.write(digit, height, along * scene.width, scene.height - height + 2)
    else:
        ink = scene.write(digit, height, -5000, 0)
        scene.lay(ink, scene.width - ink.width + 2, round(along * scene.height), scene.ink)


def dot(scene: Scene, x: float, y: float, radius: float) -> None:
    ink = Image.new("L", (scene.width, scene.height))
    ImageDraw.Draw(ink).ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    scene.lay(ink, 0, 0, scene.ink)


def speck_far(scene: Scene, digit: int) -> None:
    random = scene.random
    scene.write(digit, tall(scene), *centre(scene, 0.3))
    x, y = random.choice([0.06, 0.94]) * scene.width, random.choice([0.06, 0.94]) * scene.height
    dot(scene, x, y, random.uniform(4, 14))


def many_specks(scene: Scene, digit: int) -> None:
    random = scene.random
    scene.write(digit, tall(scene, 0.25))
    for _ in range(random.integers(5, 25)):
        place = random.uniform(0, scene.width), random.uniform(0, scene.height)
        dot(scene, *place, random.uniform(1, 5))


def ruled(scene: Scene, digit: int) -> None:
    """Lines as dark as the ink."""
    random = scene.random
    scene.lines(
        random.uniform(45, 110),
        random.uniform(-0.03, 0.03),
        random.uniform(1.5, 4),
        scene.ink + random.uniform(0, 0.25),
        upright=False,
    )
    scene.write(digit, tall(scene, 0.25))


def squared(scene: Scene, digit: int) -> None:
    random = scene.random
    spacing, tilt = random.uniform(25, 60), random.uniform(-0.03, 0.03)
    grey, width = scene.paper[0, 0] - random.uniform(0.15, 0.4), random.uniform(1, 3)
    scene.lines(spacing, tilt, width, grey, upright=False)
    scene.lines(spacing, -tilt, width, grey, upright=True)
    scene.write(digit, tall(scene, 0.25))


def edge_left(scene: Scene) -> None:
    random = scene.random
    top, bottom = (random.uniform(0.05, 0.22) * scene.width for _ in range(2))
    points = [(0, 0), (top, 0), (bottom, scene.height), (0, scene.height)]
    scene.polygon(points, random.uniform(0.1, 0.45))


def table_left(scene: Scene, digit: int) -> None:
    scene.write(digit, tall(scene), scene.random.uniform(0.3, 0.65) * scene.width)
    edge_left(scene)


def table_two_sides(scene: Scene, digit: int) -> None:
    random = scene.random
    place = random.uniform(0.3, 0.6) * scene.width, random.uniform(0.08, 0.3) * scene.height
    scene.write(digit, tall(scene, 0.2, 0.45), *place)
    edge_left(scene)
    left, right = (random.uniform(0.05, 0.2) * scene.height for _ in range(2))
    wide, high = scene.width, scene.height
    points = [(0, high), (0, high - left), (wide, high - right), (wide, high)]
    scene.polygon(points, random.uniform(0.1, 0.45))


def pen_beside(scene: Scene, digit: int) -> None:
    """A pen lies beside the digit, from the border or wholly in the image."""
    random, height = scene.random, tall(scene, 0.25, 0.45)
    scene.write(digit, height, random.uniform(0.1, 0.4) * scene.width)
    x, y = random.uniform(0.72, 0.85) * scene.width, random.uniform(0.05, 0.2) * scene.height
    lean, long = random.uniform(-0.1, 0.1) * scene.width, random.uniform(0.55, 0.9) * scene.height
    thick = random.uniform(18, 35)
    grey = random.uniform(0.05, 0.4)
    scene.polygon(
        [(x, y), (x + thick, y), (x + lean + thick, y + long), (x + lean, y + long)], grey
    )
    tip = [
        (x + lean, y + long),
        (x + lean + thick, y + long),
        (x + lean + thick / 2, y + long + 40),
    ]
    scene.polygon(tip, grey * 0.7)


def heading_above(scene: Scene, digit: int) -> None:
    """A line of small writing stands above the digit."""
    random, height = scene.random, tall(scene, 0.35, 0.55)
    scene.write(digit, height, random.uniform(0.2, 0.6) * scene.width, 0.35 * scene.height)
    size = random.uniform(0.045, 0.09) * scene.height
    left, top = random.uniform(0.08, 0.2) * scene.width, random.uniform(0.06, 0.15) * scene.height
    for _ in range(random.integers(6, 18)):
        points = random.uniform(0, size, (random.integers(3, 6), 2))
        ink = Image.new("L", (round(size) + 6, round(size) + 6))
        ImageDraw.Draw(ink).line([tuple(point + 3) for point in points], fill=255, width=3)
        scene.lay(ink, round(left), round(top + random.uniform(-3, 3)), scene.ink)
        left += size * random.uniform(0.9, 1.6)


def small(scene: Scene, digit: int) -> None:
    scene.write(digit, tall(scene, 0.055, 0.1))


def native(scene: Scene, digit: int) -> Image.Image:
    """A file of 28x28 pixels with the digit in a corner, light on black."""
    random = scene.random
    if scene.digits is not None:
        ink = Image.fromarray(scene.digits(digit))
        ink = ink.crop(ink.getbbox())
    else:
        ink = stroked(digit, 160, random, 0.12).resize((12 if digit != 1 else 6, 18))
    field = Image.new("L", (28, 28))
    free = 28 - ink.width, 28 - ink.height
    field.paste(ink, (int(random.choice([0, free[0]])), int(random.choice([0, free[1]]))))
    return field


def chalk(scene: Scene, digit: int) -> None:
    random = scene.random
    scene.paper[:] = random.uniform(0.12, 0.3)
    scene.ink = random.uniform(0.7, 0.95)
    scene.write(digit, tall(scene))
    scene.paper += random.normal(0, 0.03, scene.paper.shape)


def pencil(scene: Scene, digit: int) -> None:
    scene.ink = scene.paper[0, 0] - scene.random.uniform(0.15, 0.3)
    scene.write(digit, tall(scene), thickness=scene.random.uniform(0.02, 0.05))


def several(scene: Scene, number: str) -> None:
    """Digits beside one another; each is told from its neighbours by a gap."""
    random = scene.random
    height = round(min(tall(scene, 0.2, 0.4), 0.75 * scene.width / len(number)))
    left, top = 0.08 * scene.width, random.uniform(0.2, 0.5) * scene.height
    for digit in number:
        size = round(height * random.uniform(0.85, 1.15))
        ink = scene.write(int(digit), size, left, top + random.uniform(-0.1, 0.1) * height)
        left += ink.width + height * random.uniform(0.2, 0.45)


KINDS: dict[str, Callable] = {
    "clean_offcentre": clean,
    "hard_shadow": hard_shadow,
    "dark_corners": dark_corners,
    "lamp_spot": lamp_spot,
    "fall_off": fall_off,
    "cropped_tight": cropped,
    "touching_border": touching,
    "speck_far": speck_far,
    "many_specks": many_specks,
    "ruled_dark_lines": ruled,
    "squared_paper": squared,
    "table_left": table_left,
    "table_two_sides": table_two_sides,
    "pen_beside": pen_beside,
    "heading_above": heading_above,
    "small_in_large": small,
    "native28_offcentre": native,
    "chalk": chalk,
    "pencil": pencil,
    "several": several,
}


def make_photograph(
    kind: str, number: int, mnist: dict[int, np.ndarray] | None = None
) -> tuple[str, Image.Image]:
    """Return what a photograph shows, and the photograph; every other digit is one of MNIST's.

    Args:
        kind: a key of `KINDS`.
        number: which one; equal numbers give equal photographs.
        mnist: images (n, 28, 28) of each class; without them all digits are drawn.
    """
    random = np.random.default_rng([sorted(KINDS).index(kind), number])

    def choose(digit: int) -> np.ndarray:
        return mnist[digit][random.integers(len(mnist[digit]))]

    scene = Scene(random, choose if mnist is not None and number % 2 else None)
    shown = str((number // 2) % 10)
    if kind == "several":
        shown = "".join(map(str, random.integers(0, 10, random.integers(2, 6))))
        scene.noise = min(scene.noise, 4)
    made = KINDS[kind](scene, shown if kind == "several" else int(shown))
    return shown, made if isinstance(made, Image.Image) else scene.photograph()


def mnist_digits() -> dict[int, np.ndarray]:
    from modelzoo.data.known_sets import load_mnist5k

    data = load_mnist5k()
    images = np.asarray(data.x_test).reshape(-1, 28, 28)
    return {digit: images[data.y_test == digit] for digit in range(10)}


def read_all(folder: Path) -> dict[str, list[str]]:
    """Write the photographs into a folder; return what was read wrongly of each kind."""
    from modelzoo.training.prediction import predict
    from modelzoo.training.resolve import resolve

    source, digits = resolve("lenet5/mnist"), mnist_digits()
    wrong: dict[str, list[str]] = {}
    for kind in KINDS:
        shown, files = [], []
        for number in range(COUNT):
            text, image = make_photograph(kind, number, digits)
            shown.append(text)
            files.append(folder / f"{text}_{kind}_{number:02}.png")
            image.save(files[-1], compress_level=0)
        found = predict(source, files, top=1)
        read = ["".join(name for name, _ in each.classes) or each.problem for each in found]
        wrong[kind] = [
            f"{number}: {right}, read {text}"
            for number, (right, text) in enumerate(zip(shown, read, strict=True))
            if right != text
        ]
    return wrong


if __name__ == "__main__":
    missed = read_all(Path(sys.argv[1]))
    for kind, each in missed.items():
        print(f"{kind:20} {COUNT - len(each):2} of {COUNT}   {'; '.join(each)}")
    print(f"{COUNT * len(KINDS) - sum(map(len, missed.values()))} of {COUNT * len(KINDS)}")
