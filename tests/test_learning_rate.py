"""The range test of learning rates: what it suggests, and its chart."""

import json
import math

import pytest

from modelzoo import InputError, cli
from modelzoo.charts.curves import learning_rate_curve
from modelzoo.training.learning_rate import range_test


def test_the_suggested_rate_is_a_tenth_of_that_of_the_least_loss():
    falling = [2 - math.cos(step / 100 * math.pi - math.pi) * 1 for step in range(150)]
    found = range_test([*falling, *(10.0 * step for step in range(1, 50))], 200)
    assert found.suggested == pytest.approx(found.least / 10)
    place = next(i for i, row in enumerate(found.rows) if row["rate"] == found.least)
    assert 100 < place < 125 and found.rows[place]["smoothed"] < 1.2  # the average comes later
    assert found.rows[0]["rate"] == 1e-6 and len(found.rows) < 160  # it ends where it is ruined
    assert range_test([1.0, math.nan, 1.0], 200).rows[-1]["loss"] == 1.0
    with pytest.raises(InputError, match="no number from the first batch"):
        range_test([math.nan], 200)


def test_the_chart_marks_the_suggestion():
    rows = [{"rate": 10.0**-n, "loss": 1.0 + n, "smoothed": 1.0 + n} for n in range(5)]
    spec = learning_rate_curve(rows, 0.012, "A title").to_dict()
    assert "suggested: 0.012" in str(spec) and spec["title"]["text"] == "A title"
    scales = {str(layer["encoding"]["x"].get("scale", {}).get("type")) for layer in spec["layer"]}
    assert scales == {"log"}


def test_the_command_trains_some_batches_and_draws(bars, tmp_path, capfd, refuses):
    command = "learning-rate lenet5 --dataset bars --steps 60 --set data.batch_size=32 --format svg"
    command += " --set data.validation_split=40"
    assert cli.main([*command.split(), "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert 1e-6 < said["learning_rate"] < 1 and said["dataset"] == "bars"
    rows = said["rows"]
    assert 20 < len(rows) <= 60
    assert rows[1]["rate"] / rows[0]["rate"] == pytest.approx(1e7 ** (1 / 60))
    assert rows[0]["loss"] == pytest.approx(2.3, abs=0.5)  # ln 10: nothing is known yet
    assert min(row["smoothed"] for row in rows) < rows[0]["smoothed"]
    assert (tmp_path / "lenet5-learning-rate.svg").read_text().startswith("<svg")
    refuses("learning-rate neocognitron --dataset bars --steps 60", "without gradients")
