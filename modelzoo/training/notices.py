"""What a training should not leave without a word: one line each, with what to try.

Pure functions of class counts and of the history of a run. They start no framework.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

IMBALANCE = 10  # times as many images of one class as of another
FALL = 0.5  # share of what an accuracy had above chance
SHOWN = 5  # names of classes in one line


def notices_on_classes(
    counts: np.ndarray, names: Sequence[str], *, is_weighted: bool = False
) -> list[str]:
    """Return what is wrong with the classes of the training images.

    Args:
        counts: training images of each class, those for validation left out.
        names: of the classes.
        is_weighted: whether `fit.class_weight` already answers an imbalance.
    """
    notices = []
    missing = [name for name, count in zip(names, counts, strict=True) if not count]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        notices.append(
            f"no training images of {', '.join(map(repr, missing[:SHOWN]))}{more}, which cannot be "
            "learned: add images, or leave the class out"
        )
    present = [(int(count), name) for name, count in zip(names, counts, strict=True) if count]
    (least, rare), (most, frequent) = min(present), max(present)
    if most > IMBALANCE * least and not is_weighted:
        notices.append(
            f"{most:,} training images of {frequent!r}, but {least:,} of {rare!r}: "
            "try --set fit.class_weight=balanced"
        )
    return notices


def notices_on_history(
    history: Sequence[Mapping[str, float]], labels: np.ndarray, best_epoch: int
) -> list[str]:
    """Return what is wrong with the accuracy of a finished training.

    Args:
        history: a row an epoch, as in history.csv.
        labels: class numbers of the validation images; of the training images if there are none.
        best_epoch: whose weights are kept, from 1.
    """
    kind = "val_accuracy" if "val_accuracy" in history[-1] else "accuracy"
    values = [float(row.get(kind, math.nan)) for row in history]
    if not all(map(math.isfinite, values)):  # other metrics were asked for
        return []
    called = "validation accuracy" if kind == "val_accuracy" else "training accuracy"
    chance = float(np.bincount(labels).max() / len(labels))
    # Two standard errors: of few images, more than the most frequent class are right by luck.
    luck = chance + 2 * math.sqrt(chance * (1 - chance) / len(labels))
    best, last = max(values), values[-1]
    rate = history[-1].get("learning_rate")
    than = "" if rate is None else f" than {rate:g}"
    if best <= luck:
        return [
            f"the {called} {best:.3f} is no better than chance ({chance:.3f}, the share of the "
            f"most frequent class): try a learning rate 10 times lower or higher{than}, or more "
            "epochs, and check the labels"
        ]
    if best - last > FALL * (best - chance):
        reached = values.index(best) + 1
        return [
            f"the {called} fell from {best:.3f} (epoch {reached}) to {last:.3f} (epoch "
            f"{len(values)}): the weights of epoch {best_epoch} are kept; try a lower learning "
            f"rate{than}"
        ]
    return []
