"""What `python -m hardening.compare_versions compare` calls a difference."""

import json
from pathlib import Path

import numpy as np
import pytest

from hardening.compare_versions.__main__ import main

INTENDED = """
- where: ["train/metrics.json:layers[C1].*"]
  why: a new column
- where: ["train/arrays.npz:*"]
  within: 0.01
  why: another order of additions
"""


def write_record(folder: Path, loss: float, weight: float, **first_layer: object) -> Path:
    case = folder / "train"
    case.mkdir(parents=True)
    layers = [{"name": "C1", **first_layer}, {"name": "F6", "units": 84}]
    metrics = {"loss": loss, "seconds": loss, "layers": layers}
    (case / "metrics.json").write_text(json.dumps(metrics))
    (case / "0.err").write_text(f"epoch 1  {100 * loss:.1f} s\nnote: small\n")
    np.savez(case / "arrays.npz", kernel=np.array([1, weight]))
    (case / "exit_codes.json").write_text("[0]")
    return folder


@pytest.mark.parametrize(
    ("loss", "weight", "layer", "code", "said"),
    [
        (0.5, 2.0, {}, 0, "0 differences that are not intended"),
        (0.25, 2.0, {}, 1, "train/metrics.json:loss  0.5 -> 0.25, largest difference 0.25"),
        (0.5, 2.005, {"stride": 1}, 0, "intended, 1: another order of additions"),
        (0.5, 2.5, {}, 1, "train/arrays.npz:kernel  [1. 2.] -> [1.  2.5], largest difference 0.5"),
    ],
)
def test_differences_are_named_or_intended(tmp_path, capsys, loss, weight, layer, code, said):
    """A regression that the comparison misses, or a time that it calls one."""
    old = write_record(tmp_path / "old", 0.5, 2.0)
    new = write_record(tmp_path / "new", loss, weight, **layer)
    allowed = tmp_path / "intended.yaml"
    allowed.write_text(INTENDED)
    arguments = ["compare", str(old), str(new), "--allowed", str(allowed)]
    assert main(arguments) == code
    assert said in capsys.readouterr().out.splitlines()
