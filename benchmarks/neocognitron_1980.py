"""The demonstration of Fukushima (1980): does each of five digits get a cell of its own?

    python benchmarks/neocognitron_1980.py [--seeds 10]

For each seed, the network of configs/neocognitron.yaml organises itself by 20 presentations of each
digit, at positions and in an order chosen by the seed. A digit's cell is the cell of UC3 that
answers most strongly at most of its positions. The table then gives the share of all positions
within the field where that cell answers most strongly, for the digits as they were learned,
distorted, and with a few of the 256 cells turned over; "no other's cell" is the share of positions
of the learned digits where the cells of the other four stay silent, as all do in the paper. The
read-out on top is not used.
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import modelzoo
from modelzoo.data import fukushima_digits as digits


def organize(seed: int) -> keras.Model:
    """Return the cells, from the input to UC3, after 100 presentations."""
    model = modelzoo.build("neocognitron")
    model.compile("sgd", "sparse_categorical_crossentropy")
    pictures, labels = digits.presentations(seed)
    order = np.random.default_rng(seed).permutation(len(pictures))
    scaled = modelzoo.preprocess("neocognitron", pictures[order])
    model.fit(scaled, labels[order], batch_size=1, shuffle=False, verbose=0)
    return keras.Model(model.input, model.get_layer("UC3").output)


def answers(cells: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Return what the 24 cells of UC3 put out for each image, (n, 24)."""
    scaled = modelzoo.preprocess("neocognitron", pictures)
    return keras.ops.convert_to_numpy(cells(scaled))[:, 0, 0]


def strongest(cells: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Return the plane of UC3 that answers most strongly to each image; -1 if none does."""
    outputs = answers(cells, pictures)
    return np.where(outputs.max(axis=1) > 0, outputs.argmax(axis=1), -1)


def others_silent(cells: keras.Model, own: list[int]) -> list[float]:
    """Return for each digit the share of positions where no other digit's cell answers."""
    shares = []
    for digit, pictures in enumerate(everywhere("as learned")):
        others = [cell for cell in own if cell != own[digit]]
        shares.append(float((answers(cells, pictures)[:, others] == 0).all(axis=1).mean()))
    return shares


DISTORTIONS = {  # what (x, y) is multiplied with, from the left: one cell more or less, mostly
    "enlarged": ((1.15, 0.0), (0.0, 1.15)),
    "reduced": ((0.88, 0.0), (0.0, 0.88)),
    "widened": ((1.15, 0.0), (0.0, 1.0)),
    "heightened": ((1.0, 0.0), (0.0, 1.15)),
    "slanted": ((1.0, -0.125), (0.0, 1.0)),
}


def with_noise(pictures: np.ndarray, cells: int, seed: int) -> np.ndarray:
    """Return the images with this many cells of each, chosen at random, turned over."""
    random = np.random.RandomState(seed)
    noisy = pictures.copy().reshape(len(pictures), -1)
    for picture in noisy:
        picture[random.choice(picture.size, cells, replace=False)] ^= 255
    return noisy.reshape(pictures.shape)


def everywhere(kind: str) -> list[np.ndarray]:
    """Return for each digit its images at all positions, changed as `kind` says."""
    matrix = np.array(DISTORTIONS[kind]) if kind in DISTORTIONS else None
    pictures = [digits.at_every_position(digits.draw(n, matrix)) for n in range(5)]
    if kind.endswith("cells turned over"):
        pictures = [with_noise(each, int(kind.split()[0]), seed=1) for each in pictures]
    return pictures


def main() -> None:
    """Print a table for each seed, and the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    kinds = ["as learned", *DISTORTIONS, "4 cells turned over", "8 cells turned over"]
    rows = [*kinds, "no other's cell"]
    shares = np.zeros((options.seeds, len(rows), 5))
    separate = 0
    for seed in range(options.seeds):
        cells = organize(seed)
        own = [
            int(np.bincount(found[found >= 0], minlength=24).argmax())
            for found in (strongest(cells, pictures) for pictures in everywhere("as learned"))
        ]
        separate += len(set(own)) == 5
        for row, kind in enumerate(kinds):
            for digit, pictures in enumerate(everywhere(kind)):
                shares[seed, row, digit] = (strongest(cells, pictures) == own[digit]).mean()
        shares[seed, -1] = others_silent(cells, own)
        means = ", ".join(
            f"{kind} {share:.3f}" for kind, share in zip(rows, shares[seed].mean(1), strict=True)
        )
        print(f"seed {seed}: {len(set(own))} cells for 5 digits; {means}", flush=True)
    print(
        f"\nfive cells for five digits: {separate} of {options.seeds} seeds\nmean over the seeds:"
    )
    for row, kind in enumerate(rows):
        of_digits = "  ".join(f"{n}: {share:.3f}" for n, share in enumerate(shares[:, row].mean(0)))
        print(f"{kind:20} {shares[:, row].mean():.3f}   {of_digits}")


if __name__ == "__main__":
    main()
