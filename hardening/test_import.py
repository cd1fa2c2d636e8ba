"""A published file of weights is imported as the network that it was, by search on real images."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelzoo import cli

FILES = Path(__file__).parents[2] / "shared" / "cases" / "import"


@pytest.mark.skipif(not FILES.is_dir(), reason="the published files are not here")
@pytest.mark.skipif(
    not (Path(os.environ.get("MODELZOO_DATA", "/nowhere")) / "mnist.npz").exists(),
    reason="MNIST is not here",
)
def test_larger_pixels_are_not_taken_for_better_ones(tmp_path: Path, capsys: Any) -> None:
    """A network of relu is as right about few images at any scale, and surer at a larger one."""
    file = str(FILES / "channels_first_weights_only.h5")
    assert cli.main(["import", file, "--dataset", "mnist", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scaling"] == "0..1" and round(found["accuracy"], 4) == 0.9907
    layers = json.dumps(found["assumptions"])
    assert "activations relu, relu, relu" in layers and "channel by channel" in layers
