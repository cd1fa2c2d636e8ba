"""Scores: what counts as a hit, also where outputs are equal."""

import numpy as np
import pytest

from modelzoo.training.evaluation import Scores, most_probable

LABELS = np.repeat(np.arange(10), 3)


def scores_of(outputs: np.ndarray, labels: np.ndarray = LABELS) -> Scores:
    accuracy = float((outputs.argmax(axis=1) == labels).mean())
    return Scores("test", 0.0, accuracy, labels, outputs.astype("float32"), 0.0)


@pytest.mark.parametrize("value", [0.1, 0.0, np.nan])
def test_equal_outputs_are_no_hits(value):
    """Of ten equal outputs, one counts as the prediction and five as the top 5."""
    found = scores_of(np.full((30, 10), value))
    assert (found.accuracy, found.top_accuracy(1), found.top_accuracy(5)) == (0.1, 0.1, 0.5)
    assert found.top_accuracy(10) == 1


def test_ties_below_the_best_are_ranked_by_class():
    """A saturated softmax: one output is 1, the others are exactly 0."""
    found = scores_of(np.eye(10)[np.full(30, 9)])
    assert most_probable(found.probabilities, 3)[0].tolist() == [9, 0, 1]
    assert found.accuracy == found.top_accuracy(1) == 0.1
    assert found.top_accuracy(5) == 0.5


def test_without_ties_the_rule_is_the_usual_one():
    """The share of images with fewer than five outputs above that of the true class."""
    generator = np.random.default_rng(0)
    outputs, labels = generator.random((12_000, 20)), generator.integers(0, 20, 12_000)
    above = (outputs > outputs[np.arange(12_000), labels][:, None]).sum(axis=1)
    found = scores_of(outputs, labels)
    assert found.top_accuracy(5) == np.mean(above < 5)
    assert found.top_accuracy(1) == found.accuracy
