"""Every data set that has a name of its own: what it holds, and where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass

from modelzoo.data import fukushima_digits, offline_sets
from modelzoo.data.class_names import CIFAR10, CIFAR100, DIGITS, FASHION_MNIST, SHAPES
from modelzoo.data.source import Dataset


@dataclass(frozen=True)
class KnownSet:
    """A data set that this package knows; an array file is looked for where nothing makes it.

    Attributes:
        class_names: in the order of their numbers.
        load: draws it, or loads it from a package; needs no network.
        made_of: the data set whose images these are.
        derive: makes it of the data set `made_of`.
        images: published number of training and of test images; None: not to be compared.
        fallback: what stands in for it where it cannot be reached.
        note: of its array file, see `Dataset`.
    """

    class_names: tuple[str, ...]
    load: Callable[[], Dataset] | None = None
    made_of: str = ""
    derive: Callable[[Dataset], Dataset] | None = None
    images: tuple[int, int] | None = None
    fallback: str = ""
    note: str = ""


KNOWN_SETS = {
    "mnist": KnownSet(DIGITS, images=(60_000, 10_000), fallback="mnist5k"),
    "fashion_mnist": KnownSet(FASHION_MNIST, images=(60_000, 10_000)),
    "cifar10": KnownSet(CIFAR10, images=(50_000, 10_000)),
    "cifar100": KnownSet(CIFAR100, images=(50_000, 10_000)),
    "mnist5k": KnownSet(DIGITS, offline_sets.load_mnist5k, made_of="mnist"),
    "digits": KnownSet(DIGITS, offline_sets.load_digits),
    "shapes": KnownSet(SHAPES, offline_sets.load_shapes),
    "fukushima_digits": KnownSet(fukushima_digits.CLASSES, offline_sets.load_fukushima_digits),
    "mnist16": KnownSet(
        DIGITS, made_of="mnist", derive=offline_sets.make_mnist16, fallback="mnist5k"
    ),
    "cifar10_jpeg75": KnownSet(
        CIFAR10,
        made_of="cifar10",
        note="CIFAR-10 decoded from a JPEG copy of quality 75: close to CIFAR-10, "
        "but not CIFAR-10.",
    ),
}
CLASS_NAMES = {name: known.class_names for name, known in KNOWN_SETS.items()}


def same_images(one: str, other: str) -> bool:
    """Whether two data sets are made of the same images, and so have the same classes.

    Weights for one of them suit the other.
    """

    def origin(name: str) -> str:
        known = KNOWN_SETS.get(name)
        return known.made_of or name if known else name

    return origin(one) == origin(other)
