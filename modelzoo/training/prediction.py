"""What networks predict for image files and images of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from modelzoo.config import Config
from modelzoo.support.errors import InputError
from modelzoo.training.resolve import Source, resolve

if TYPE_CHECKING:
    import numpy as np

    from modelzoo.training.evaluation import Unit


@dataclass(frozen=True)
class Prediction:
    """A network's prediction for one image."""

    file: str
    classes: list[tuple[str, float]]  # names and values, the largest first
    notes: tuple[str, ...]  # how it was brought to the network's input
    unit: Unit  # a network whose outputs do not sum to 1 gives scores
    uncertain: bool | None = None  # a small probability; None for scores and without classes
    problem: str = ""  # why there are no classes: the image shows nothing, or cannot be read
    digits: tuple[DigitRead, ...] = ()  # of a photograph, in reading order; `classes` of them all
    prepared: tuple[np.ndarray, ...] = ()  # what the network was given, uint8 (h, w, channels)


@dataclass(frozen=True)
class DigitRead:
    """A network's prediction for one digit of a photograph."""

    classes: list[tuple[str, float]]  # names and values, the largest first
    uncertain: bool | None
    box: tuple[int, int, int, int]  # left, top, right, bottom in the upright image


def predict(
    model: Source | str | Path | Config,
    files: Sequence[str | Path] | np.ndarray,
    weights: str | Path | None = None,
    *,
    top: int = 3,
    device: str = "auto",
    one: bool = False,
    keep_going: bool = False,
) -> list[Prediction]:
    """Classify image files of any size and kind, or images of a data set.

    Args:
        model: from `resolve`, or what it takes. The configuration's `image` says how a file is
            brought to the input shape, `data` how it is scaled. Where it looks for digits, all
            that a photograph shows are read, in reading order.
        files: PNG, JPEG, GIF, BMP, TIFF or WebP, HEIC where pillow-heif is installed; or
            "sample:7", an image of the package; or an array of images as they are stored, of the
            shape that the network takes, (n, height, width) or (n, height, width, channels), uint8
            or float in 0..255.
        weights: as for `resolve`, which see.
        top: how many classes to return for each.
        device: as for `Trainer`.
        one: read only the most likely digit of each photograph.
        keep_going: a file that cannot be read gets a prediction without classes, whose `problem`
            is the reason, as long as any other file can be read.

    Returns:
        A prediction for each file. Blank images get no class, see `Prediction.problem`. Of several
        digits, `classes` holds the number and the probability that all its digits are right, or
        of a network without probabilities the smallest score.

    Raises:
        InputError: a file is not an image that can be read; none is classified then.

    Examples:
        >>> digits = modelzoo.load_dataset("mnist5k")
        >>> found = modelzoo.predict("lenet5/mnist", digits.x_test[::300])
        >>> [each.classes[0][0] for each in found], digits.y_test[::300].tolist()
        (['0', '3', '6', '9'], [0, 3, 6, 9])
    """
    import numpy as np

    from modelzoo.data.images import PreparedImage, read_image
    from modelzoo.data.known_sets import class_names
    from modelzoo.training.prepare import stored_images

    source = model if isinstance(model, Source) else resolve(model, weights)
    config = source.config
    read: list[PreparedImage | InputError] = []
    if isinstance(files, np.ndarray):
        images = stored_images(config, files)
        read += [PreparedImage(pixels, ()) for pixels in images]
        files = [f"image {number}" for number in range(len(images))]
    else:
        for file in files:
            try:
                read.append(read_image(file, config.image_shape, **asdict(config.image)))
            except InputError as error:
                if not keep_going:
                    raise
                read.append(error)
    if (
        read
        and isinstance(read[0], InputError)
        and not any(isinstance(each, PreparedImage) for each in read)
    ):
        raise read[0]

    from modelzoo.training.engine import start_engine
    from modelzoo.training.evaluation import is_uncertain, most_probable, unit_of

    engine = start_engine(source, device)
    given = [image for each in read if isinstance(each, PreparedImage) for image in each.images]
    outputs = engine.predict(np.stack(given))
    names, unit, rows = class_names(config), unit_of(outputs), iter(outputs)
    predictions = []
    for file, each in zip(map(str, files), read, strict=True):
        if isinstance(each, InputError):
            predictions.append(Prediction(file, [], (), unit, problem=str(each)))
            continue
        values = np.stack(list(islice(rows, len(each.images))))
        digits = [
            DigitRead(
                [(names[index], float(row[index])) for index in best],
                is_uncertain(map(float, row), unit),
                box,
            )
            for best, row, box in zip(most_probable(values, top), values, each.boxes, strict=True)
        ]
        if each.problem:
            found = Prediction(file, [], each.notes, unit, problem=each.problem)
        elif one or len(digits) == 1:
            found = _of_one(file, digits, each.notes, unit)
        else:
            found = _of_number(file, digits, each.notes, unit)
        predictions.append(replace(found, prepared=each.images))
    return predictions


def _of_one(file: str, digits: list[DigitRead], notes: tuple[str, ...], unit: Unit) -> Prediction:
    """Read the likeliest digit, and mention the others."""

    def likelihood(each: DigitRead) -> float:  # a large mark is a digit rather than a small one
        return each.classes[0][1] * (each.box[3] - each.box[1])

    best, *others = sorted(digits, key=likelihood, reverse=True)
    uncertain = best.uncertain
    if others:
        places = (f"{each.classes[0][0]} at {each.box[0]},{each.box[1]}" for each in others)
        notes += (f"not read, since one was wanted: {', '.join(places)}",)
        if unit == "probability" and likelihood(others[0]) > 0.9 * likelihood(best):
            notes += ("several marks are equally likely",)
            uncertain = True
    return Prediction(file, best.classes, notes, unit, uncertain, digits=(best,))


def _of_number(
    file: str, digits: list[DigitRead], notes: tuple[str, ...], unit: Unit
) -> Prediction:
    """Put the digits together; the probability is that all of them are right."""
    number = "".join(each.classes[0][0] for each in digits)
    values = [each.classes[0][1] for each in digits]
    value = prod(values) if unit == "probability" else min(values)
    uncertain = any(each.uncertain for each in digits) if unit == "probability" else None
    return Prediction(file, [(number, value)], notes, unit, uncertain, digits=tuple(digits))
