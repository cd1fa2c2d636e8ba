"""Every data set that has a name of its own: what it holds, and where it comes from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from modelzoo.config import Config
from modelzoo.data import fukushima_digits, shapes
from modelzoo.data.npz import read_arrays
from modelzoo.data.source import Dataset, convert
from modelzoo.support.environment import check_installed
from modelzoo.support.errors import InputError

MNIST5K = Path(__file__).parent / "files" / "mnist5k.npz"  # its source and licence lie beside it

KERAS_ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
FASHION_ADDRESS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
)
CIFAR_ADDRESS = "https://www.cs.toronto.edu/~kriz"
KMNIST_ADDRESS = "https://codh.rois.ac.jp/kmnist/dataset/kmnist"
SVHN_ADDRESS = "https://ufldl.stanford.edu/housenumbers"
EMNIST_ADDRESSES = (
    "https://biometrics.nist.gov/cs_links/EMNIST",
    "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST",
)
EMNIST_LICENCE = "published by NIST, which states no licence; made of its Special Database 19"
CIFAR_LICENCE = "none is stated; cite Krizhevsky, Learning Multiple Layers of Features (2009)"
MNIST16_TRAINING, MNIST16_TEST = 7291, 2007  # the zip codes of LeCun et al. (1989)

# What the classes are called, in the order of their numbers.
DIGITS = tuple("0123456789")

# fmt: off
FASHION_MNIST = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)

CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)

# The hundred fine classes stand in alphabetical order.
CIFAR100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
    "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle",
    "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch",
    "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox",
    "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom",
    "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake",
    "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)
# EMNIST's letters are upper and lower case alike; "balanced" keeps apart what looks apart.
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
BALANCED = (*DIGITS, *LETTERS, *"abdefghnqrt")
KMNIST = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
# fmt: on


def load_mnist5k() -> Dataset:
    """Load the 5,000 MNIST digits that come with the package: 4,000 to train, 1,000 to test."""
    arrays = read_arrays(MNIST5K)
    return _split(
        "mnist5k",
        arrays["pixels"][..., np.newaxis],
        arrays["labels"].astype(np.int64),
        "5,000 digits of MNIST's training set, 1,000 of them to test: "
        "weights trained on MNIST have seen them all.",
    )


def load_digits() -> Dataset:
    """Load scikit-learn's 1,797 digits of 8x8 pixels: every fifth of each class is a test digit."""
    check_installed("the data set digits", "sklearn")
    from sklearn import datasets

    bunch = datasets.load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]  # 0..16 in 8x8
    return _split(
        "digits",
        pixels,
        bunch.target.astype(np.int64),
        "1,797 digits of 8x8 pixels that scikit-learn carries: these are not MNIST's.",
    )


def load_shapes() -> Dataset:
    """Draw 5,000 shapes to train on and 1,000 to test."""
    train, test = shapes.draw_shapes(5000, seed=1), shapes.draw_shapes(1000, seed=2)
    note = "Shapes drawn by modelzoo, not photographs."
    return Dataset("shapes", *train, *test, shapes.SHAPES, note)


def load_fukushima_digits() -> Dataset:
    """Draw five digits: 20 times each at random places to train, and everywhere to test."""
    train, test = fukushima_digits.presentations(), fukushima_digits.everywhere()
    note = "Five digits drawn by modelzoo; the test images are the same digits at other places."
    return Dataset("fukushima_digits", *train, *test, fukushima_digits.CLASSES, note)


def make_mnist16(mnist: Dataset) -> Dataset:
    """Make MNIST as LeCun et al. (1989) would have had it: 7,291 and 2,007 images of 16x16 pixels.

    The choice is plain random by a fixed seed; the size changes by bilinear resizing with
    antialiasing. A digit that fills 20x20 of 28x28 pixels fills 11x11 of 16x16.
    """
    if len(mnist.y_train) < MNIST16_TRAINING or len(mnist.y_test) < MNIST16_TEST:
        raise InputError(
            f"mnist16 is chosen from {MNIST16_TRAINING:,} or more training and {MNIST16_TEST:,} or "
            f"more test images; the mnist here has {len(mnist.y_train):,} and "
            f"{len(mnist.y_test):,}\nPut the whole MNIST in its place."
        )
    # RandomState, because NumPy promises that its stream will never change.
    random = np.random.RandomState(1989)
    train = random.permutation(len(mnist.y_train))[:MNIST16_TRAINING]
    test = random.permutation(len(mnist.y_test))[:MNIST16_TEST]
    return replace(
        mnist,
        name="mnist16",
        x_train=convert(mnist.x_train[train], (16, 16, 1)),
        y_train=mnist.y_train[train],
        x_test=convert(mnist.x_test[test], (16, 16, 1)),
        y_test=mnist.y_test[test],
        validation=None,
        note="7,291 training and 2,007 test images of MNIST, brought to 16x16 pixels: as many as "
        "the zip codes of LeCun et al. (1989), but not those.",
    )


def _split(name: str, pixels: np.ndarray, labels: np.ndarray, note: str) -> Dataset:
    """Set aside every fifth image of each class, and mix the rest."""
    is_test = np.zeros(len(labels), bool)
    for label in range(len(DIGITS)):
        is_test[np.flatnonzero(labels == label)[::5]] = True
    # The files are sorted by class or by writer, and a validation set may be cut from the end.
    # RandomState, because NumPy promises that its stream will never change.
    train = np.random.RandomState(0).permutation(np.flatnonzero(~is_test))
    x_test, y_test = pixels[is_test], labels[is_test]
    return Dataset(name, pixels[train], labels[train], x_test, y_test, DIGITS, note)


@dataclass(frozen=True)
class KnownSet:
    """A data set that this package knows; NAME.npz in the data folder goes before fetching."""

    class_names: tuple[str, ...]  # in the order of their numbers
    load: Callable[[], Dataset] | None = None  # draws it, or loads it from a package
    made_of: str = ""  # the data set whose images these are
    derive: Callable[[Dataset], Dataset] | None = None  # makes it of `made_of`
    addresses: tuple[str, ...] = ()  # of the folders that hold its files, tried in order
    files: str = ""  # whose files these are in published.txt, if not its own
    others: str = ""  # a pattern of files within them that belong to other sets
    keras_folder: str | None = None  # where Keras keeps the same files; a copy is used
    images: tuple[int, int] | None = None  # published numbers, training and test
    fallback: str = ""  # stands in for it where it cannot be reached
    note: str = ""  # of its array file, see `Dataset`
    licence: str = ""  # of a set that is fetched, as its publisher states it


KNOWN_SETS = {
    "mnist": KnownSet(
        DIGITS,
        addresses=(KERAS_ADDRESS,),
        keras_folder="",
        images=(60_000, 10_000),
        fallback="mnist5k",
        licence="CC BY-SA 3.0, as Keras states it; copyright Yann LeCun and Corinna Cortes",
    ),
    "fashion_mnist": KnownSet(
        FASHION_MNIST,
        addresses=(FASHION_ADDRESS, KERAS_ADDRESS),
        keras_folder="fashion-mnist",
        images=(60_000, 10_000),
        licence="MIT; copyright Zalando SE",
    ),
    "cifar10": KnownSet(
        CIFAR10,
        addresses=(CIFAR_ADDRESS,),
        images=(50_000, 10_000),
        licence=CIFAR_LICENCE,
    ),
    "cifar100": KnownSet(
        CIFAR100,
        addresses=(CIFAR_ADDRESS,),
        images=(50_000, 10_000),
        licence=CIFAR_LICENCE,
    ),
    "emnist_letters": KnownSet(
        LETTERS,
        addresses=EMNIST_ADDRESSES,
        files="emnist",
        others=r"emnist-(?!letters)",
        images=(124_800, 20_800),
        licence=EMNIST_LICENCE,
    ),
    "emnist_balanced": KnownSet(
        BALANCED,
        addresses=EMNIST_ADDRESSES,
        files="emnist",
        others=r"emnist-(?!balanced)",
        images=(112_800, 18_800),
        licence=EMNIST_LICENCE,
    ),
    "kmnist": KnownSet(
        KMNIST,
        addresses=(KMNIST_ADDRESS,),
        images=(60_000, 10_000),
        licence="CC BY-SA 4.0; KMNIST Dataset (created by CODH), adapted from Kuzushiji Dataset "
        "(created by NIJL and others)",
    ),
    "svhn": KnownSet(
        DIGITS,
        addresses=(SVHN_ADDRESS,),
        images=(73_257, 26_032),
        licence="for non-commercial use only",
    ),
    "mnist5k": KnownSet(DIGITS, load_mnist5k, made_of="mnist"),
    "digits": KnownSet(DIGITS, load_digits),
    "shapes": KnownSet(shapes.SHAPES, load_shapes),
    "fukushima_digits": KnownSet(fukushima_digits.CLASSES, load_fukushima_digits),
    "mnist16": KnownSet(DIGITS, made_of="mnist", derive=make_mnist16, fallback="mnist5k"),
    "cifar10_jpeg75": KnownSet(
        CIFAR10,
        made_of="cifar10",
        note="CIFAR-10 decoded from a JPEG copy of quality 75: close to CIFAR-10, "
        "but not CIFAR-10.",
    ),
}
CLASS_NAMES = {name: known.class_names for name, known in KNOWN_SETS.items()}


def class_names(config: Config) -> list[str]:
    """Return what the outputs of a configuration's network are called, in their order."""
    known = config.data.class_names or CLASS_NAMES.get(config.data.dataset, ())
    return output_names(known, config.model.num_classes)


def output_names(known: Sequence[str], outputs: int) -> list[str]:
    """Return a name for every output of a network, also for those that the data set lacks."""
    return [*known[:outputs], *(f"class {label}" for label in range(len(known), outputs))]


def same_images(one: str, other: str) -> bool:
    """Whether two data sets are made of the same images, so that weights for one suit the other."""

    def origin(name: str) -> str:
        known = KNOWN_SETS.get(name)
        return known.made_of or name if known else name

    return origin(one) == origin(other)
