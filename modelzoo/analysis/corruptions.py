"""Ways to change images: shifted, rotated, noisy, covered, or attacked. Starts no framework."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from modelzoo.charts.canvas import image_of
from modelzoo.support.errors import InputError, suggest

DIRECTIONS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
GREY = 128  # of the square that covers a part
# From images and a strength to the changed images, once for each direction.
Corruption = Callable[[np.ndarray, float, np.random.Generator], Iterable[np.ndarray]]


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move images by whole pixels. Zeros come in, and what leaves the field is lost."""
    height, width = images.shape[1:3]
    above, beside = abs(down), abs(right)
    padded = np.pad(images, ((0, 0), (above, above), (beside, beside), (0, 0)))
    top, left = above - down, beside - right
    return padded[:, top : top + height, left : left + width]


def rotated(images: np.ndarray, degrees: float) -> np.ndarray:
    """Turn images counter-clockwise about their centres, bilinearly. Zeros come in."""
    turned = [image_of(each).rotate(degrees, Image.Resampling.BILINEAR) for each in images]
    return np.stack([np.asarray(each) for each in turned]).reshape(images.shape)


def noisy(images: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of deviation `sigma` grey levels to each value; round, clip to 0..255."""
    noise = sigma * generator.standard_normal(images.shape, dtype="float32")
    return np.clip(np.rint(images + noise), 0, 255).astype("uint8")


def occluded(images: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
    """Cover a square of `side` pixels, wholly inside the image at a random place, with grey 128.

    Reference:
        Zeiler, Fergus (2014), Visualizing and understanding convolutional networks, section 4.2,
        who move such a square over an image.
    """
    result = images.copy()
    room = np.array(images.shape[1:3]) - side
    corners = np.floor(generator.random((len(images), 2)) * (room + 1)).astype(int)
    for picture, (top, left) in zip(result, corners, strict=True):
        picture[top : top + side, left : left + side] = GREY
    return result


class Kind(NamedTuple):
    """A way to change images by a strength from 0, which leaves them as they are."""

    title: str  # with the unit of the strength, for an axis
    strengths: Sequence[float]  # by default; those in pixels of images of 28 pixels a side
    change: Corruption | None  # None: an attack, which asks the network
    largest: float | None = None  # strength; None: a whole number of pixels, up to the side


EPSILONS = (0, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3)
KINDS = {
    "shift": Kind(
        "Shift in pixels, 8 directions",
        range(7),
        lambda images, by, _: (shifted(images, int(by) * y, int(by) * x) for y, x in DIRECTIONS),
    ),
    "rotation": Kind(
        "Rotation in degrees, both ways",
        range(0, 91, 15),
        lambda images, degrees, _: (rotated(images, each) for each in (degrees, -degrees)),
        largest=180,
    ),
    "noise": Kind(
        "Gaussian noise, sigma in grey levels",
        range(0, 121, 20),
        lambda images, sigma, draw: [noisy(images, sigma, draw)],
        largest=255,
    ),
    "occlusion": Kind(
        "Side of a covering grey square in pixels",
        range(0, 17, 4),
        lambda images, side, draw: [occluded(images, int(side), draw)],
    ),
    "fgsm": Kind("FGSM: epsilon, as a share of the range 0..255", EPSILONS, None, largest=1),
    "pgd": Kind("PGD: epsilon, as a share of the range 0..255", EPSILONS, None, largest=1),
}
CORRUPTIONS = tuple(name for name, kind in KINDS.items() if kind.change)


def strengths_for(name: str, side: int, wanted: Sequence[float] | None = None) -> list[float]:
    """Return the strengths of a kind for images whose shorter side has so many pixels.

    By default those of the kind, in pixels times the side's multiple of 28, up to the side.
    """
    kind = KINDS[name]
    in_pixels, largest = kind.largest is None, kind.largest or side
    if wanted is None:
        factor = max(1, round(side / 28)) if in_pixels else 1
        return [s * factor for s in kind.strengths if s * factor <= largest]
    wanted = sorted({0.0, *map(float, wanted)})
    for strength in wanted:
        if not 0 <= strength <= largest or (in_pixels and strength != int(strength)):
            what = "a whole number of pixels" if in_pixels else "a number"
            raise InputError(f"--strengths {strength:g}: {name} takes {what} from 0 to {largest:g}")
    return wanted


def check_kinds(given: Sequence[str], known: Iterable[str]) -> None:
    for kind in given:
        if kind not in known:
            raise InputError(f"there is no kind of change {kind!r}{suggest(str(kind), known)}")
