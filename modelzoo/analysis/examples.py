"""A few adversarial pictures to look at, chosen from those that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from modelzoo.analysis.measuring import Attack, Pictures, Row, batches
from modelzoo.charts import Chart
from modelzoo.charts.robustness import METHOD_TITLES, adversarial_pictures

SHOWN = 5


def pictures_chart(
    model: keras.Model,
    softmax: bool,
    pictures: Pictures,
    methods: Mapping[str, Attack],
    rows: Sequence[Row],
    label: str,
) -> Chart | None:
    """Return pictures that the first method fools, each of another class; None without a strength.

    Args:
        model: from pictures in 0..255 to scores.
        softmax: whether a softmax of the scores gives probabilities; else they are shown as scores.
        pictures: of which the first batch is looked at.
        methods: the attacks; the first is shown.
        rows: what `attack_rows` returned for them.
        label: of the network.
    """
    method, attack = next(iter(methods.items()))
    strength = telling_strength([row for row in rows if row["method"] == method])
    if not strength:
        return None
    images, labels = next(batches(pictures))
    adversarial = attack(model, images, labels, strength)
    before = _outputs(model, images.astype("float32"), softmax)
    after = _outputs(model, adversarial, softmax)
    fooled = (before.argmax(axis=1) == labels) & (after.argmax(axis=1) != labels)
    chosen = _one_a_class(labels, fooled) if fooled.any() else np.arange(min(SHOWN, len(labels)))
    names = [*pictures.class_names, *(f"class {n}" for n in range(before.shape[1]))]
    captions = [
        (
            [f"true: {names[labels[index]]}", _answer(before[index], names, softmax)],
            [_answer(after[index], names, softmax)],
        )
        for index in chosen
    ]
    title = f"{METHOD_TITLES[method]} at strength {strength:g} against {label}"
    return adversarial_pictures(images[chosen], adversarial[chosen], captions, strength, title)


def telling_strength(rows: Sequence[Row]) -> float:
    """Return the least strength that at least halves the accuracy, or else the largest; 0 if none.

    Args:
        rows: of one method, by rising strength from 0.
    """
    for row in rows[1:]:
        if row["accuracy"] <= rows[0]["accuracy"] / 2:
            return float(row["strength"])
    return float(rows[-1]["strength"])


def _one_a_class(labels: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the positions of the first picture of each of the first classes, ordered by class."""
    positions = np.flatnonzero(among)
    _, first = np.unique(labels[positions], return_index=True)
    return positions[first][:SHOWN]


def _outputs(model: keras.Model, images: np.ndarray, softmax: bool) -> np.ndarray:
    scores = model.predict_on_batch(images).astype("float32")
    return keras.ops.convert_to_numpy(keras.ops.softmax(scores)) if softmax else scores


def _answer(outputs: np.ndarray, names: Sequence[str], softmax: bool) -> str:
    best = int(outputs.argmax())
    value = f"{outputs[best]:.1%}" if softmax else f"score {outputs[best]:.3g}"
    return f"read as: {names[best]} ({value})"
