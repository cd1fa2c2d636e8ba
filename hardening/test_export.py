"""Every trained network is exported to every format, and answers as it did."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_export import PLAIN, needs

import modelzoo
from modelzoo import InputError, RunError
from modelzoo.config import list_models, load_config
from modelzoo.convert.quantizing import images_for
from modelzoo.training.resolve import resolve

TRAINED = [
    (name, entry.name)
    for name in list_models()
    for entry in load_config(name).weights
    if "package" in entry.sources
]


@pytest.mark.parametrize("format", PLAIN)
@pytest.mark.parametrize(("name", "weights"), TRAINED)
def test_every_trained_network_can_be_exported(name, weights, format, tmp_path):
    """Each is checked by `export` itself, on the test images of its data set where they are."""
    needs(format)
    done = exported(name, weights, format, tmp_path)
    assert done["images"] == 100 and "test images of" in done["pictures"]
    assert done["difference"] <= 1e-4 and done["same_answers"] == 100
    (entry,) = (each for each in load_config(name).weights if each.name == weights)
    probabilities = np.allclose(np.sum(entry.golden.outputs, axis=1), 1, atol=1e-3)
    assert done["facts"]["output"].startswith("probabilities" if probabilities else "scores")


def exported(name: str, weights: str, format: str, folder: Path) -> dict[str, Any]:
    """Export a network; AlexNet in a process of its own, as tf2onnx takes 4 GB of memory for it."""
    if load_config(name).about.parameters < 10_000_000:
        return dataclasses.asdict(modelzoo.export(name, weights, format=format, out=folder))
    command = f"-m modelzoo export {name} --weights {weights} --format {format} --json --out"
    done = subprocess.run(
        [sys.executable, *command.split(), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("format", PLAIN)
def test_groups_and_normalisation(format, tmp_path):
    """AlexNet's two towers, which Keras computes in functions of their own, at a small size."""
    needs(format)
    small = {"conv_maps": [8] * 5, "dense_units": [16, 16], "groups": [1, 2, 1, 2, 2]}
    small |= {"normalization": ["local_response", "batch", "none", "none", "none"]}
    config = load_config("alexnet").with_values({"model": small}, "here")
    weights = tmp_path / "small.weights.h5"
    modelzoo.build(config).save_weights(weights)
    done = modelzoo.export(config, weights, format=format, out=tmp_path)
    assert done.path.exists() and done.difference <= 1e-4


@pytest.mark.parametrize(
    ("name", "weights"),
    [each for each in TRAINED if load_config(each[0]).about.parameters < 2_000_000],
)
def test_integers_lose_little(name, weights, tmp_path):
    """On the whole test set. The AlexNets take minutes: `python -m benchmarks.small` has them."""
    needs("litert")
    try:
        images_for(resolve(name, weights).config)
    except InputError as error:
        pytest.skip(str(error).splitlines()[0])
    if name == "neocognitron_mnist":
        with pytest.raises(RunError, match="no integer form"):
            modelzoo.export(name, weights, format="litert", quantize="int8", out=tmp_path)
        return
    done = modelzoo.export(name, weights, format="litert", quantize="int8", out=tmp_path)
    assert done.bytes < 0.6 * done.quantized.float_bytes
    assert done.quantized.lost <= 0.005
