"""A training on a folder of images takes no more memory from batch to batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

IN_A_PROCESS = """
import resource, sys
from modelzoo.config.sections import Data
from modelzoo.data import source
from modelzoo.data.datasets import load_folder
from modelzoo.data.pipeline import InputPipeline

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

source.KEPT_SHARE = 0  # as for images that do not fit
data = load_folder("pictures", (128, 128, 3))
settings = Data(dataset="pictures", batch_size=16, validation_split=0,
    augmentation=[{"class_name": "RandomPatch", "config": {"height": 112, "width": 112}}])
pipeline = InputPipeline(data, settings, num_classes=4)
pipeline.start_epoch(0)
for step, (images, labels) in enumerate(pipeline.training_batches()):
    if step == 30:
        early = peak()
print(step + 1, peak() - early)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts memory differently")
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_memory_stays_flat_during_a_pass(tmp_path: Path, backend: str) -> None:
    """Batches are kept, or read ahead without bound: all of these are 200 MB, or 600 as floats."""
    pytest.importorskip(backend)
    picture = tmp_path / "one.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    Image.fromarray(noise).save(picture)
    for split, count in (("train", 1000), ("test", 1)):
        for name in "abcd":
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.jpg").write_bytes(picture.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS],
        cwd=tmp_path,
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    batches, grown = done.stdout.split()
    assert int(batches) == 250
    assert float(grown) < 40  # MB
