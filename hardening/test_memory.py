"""Memory of a training: that of a folder stays flat, and arrays are held once."""

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
from modelzoo.data.folders import find_images
from modelzoo.data.pipeline import InputPipeline

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

source.KEPT_SHARE = 0  # as for images that do not fit
data = find_images("pictures").as_dataset((128, 128, 3))
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


HELD_ONCE = """
import resource, sys
import numpy as np
from modelzoo.config.sections import Data
from modelzoo.data.npz import read_npz
from modelzoo.data.pipeline import InputPipeline
from pathlib import Path

settings = Data(dataset="many", batch_size=128)
pipeline = InputPipeline(read_npz(Path("many.npz"), "many"), settings, num_classes=10)
pipeline.start_epoch(0)
for split in (pipeline.training_batches(), pipeline.scoring_batches("validation")):
    for images, labels in split:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others count memory differently")
def test_images_in_memory_are_held_once(tmp_path: Path) -> None:
    """A copy for TensorFlow, and one in its graph, took nearly three times their size."""
    pytest.importorskip("tensorflow")
    peaks, counts = [], (15_000, 240_000)
    for count in counts:
        numbers = np.arange(count, dtype=np.int64) % 10
        pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
        few = {"x_test": pixels[:100], "y_test": numbers[:100]}
        np.savez(tmp_path / "many.npz", x_train=pixels, y_train=numbers, **few)
        command = [sys.executable, "-c", HELD_ONCE]
        environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 1.5 * 28 * 28 * (counts[1] - counts[0])
