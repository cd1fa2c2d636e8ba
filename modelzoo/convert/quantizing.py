"""Integers in place of floats: how a LiteRT file of 8 bits is calibrated, and what it loses.

The method: B. Jacob and others, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018. Here after training: weights and activations become
q = round(value / scale) + zero point, and the scales of activations follow from training images.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict

from modelzoo.config import Config
from modelzoo.data.datasets import load_dataset
from modelzoo.support.errors import RunError

CALIBRATION, SEED = 500, 0  # training images, and the seed that draws them
TESTED, TESTED_BYTES = 10_000, 1 << 28  # at most so many test images, and so much memory for them
WARNED = 0.002  # accuracy lost that is reported
SAME_CLASS = 0.95  # share of images whose class must stay, or the file does not count


@dataclass(frozen=True)
class Quantized:
    """What a file of integers was calibrated on, and what it costs and saves."""

    calibrated_on: str
    accuracy: float  # share of the images that it was checked on, 0 to 1
    float_accuracy: float  # of the network, on the same images
    float_bytes: int  # of the same file with float32

    @property
    def lost(self) -> float:
        """Accuracy lost; negative if the integers are right more often."""
        return self.float_accuracy - self.accuracy


@dataclass(frozen=True)
class Images:
    """Training images to calibrate on, test images to check on: uint8 (n, h, w, c), 0..255."""

    network: str
    calibration: np.ndarray
    calibrated_on: str  # in words
    checked: np.ndarray
    labels: np.ndarray
    checked_on: str


def images_for(config: Config) -> Images:
    """Open the configuration's data set, or `mnist5k` where MNIST can't be reached.

    Raises:
        InputError: there is no such data set on this machine, and it can't be fetched.
    """
    wanted, shape = config.data.dataset, config.image_shape
    data = load_dataset(wanted, image_shape=shape, notify=lambda _: None, **asdict(config.image))
    name = data.name if data.name == wanted else f"{data.name}, in place of {wanted}"
    count = len(data.x_train)
    drawn = np.sort(np.random.default_rng(SEED).permutation(count)[:CALIBRATION])
    most = min(TESTED, TESTED_BYTES // int(np.prod(shape)))
    tested = np.unique(np.linspace(0, len(data.x_test) - 1, most).astype(int))
    return Images(
        network=config.name,
        calibration=data.x_train[drawn],
        calibrated_on=f"{len(drawn)} training images of {name}, drawn by seed {SEED}",
        checked=data.x_test[tested],
        labels=data.y_test[tested],
        checked_on=f"{len(tested):,} test images of {name}",
    )


def to_integers(converter: Any, images: np.ndarray) -> None:
    """Make a converter of TensorFlow write integers only: input and output are uint8."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


def quantities(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what differs from the facts of floats: shapes, scales and zero points.

    Raises:
        RunError: a part of the network has no integer form and stayed in float32.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    floats = [each for each in interpreter.get_tensor_details() if each["dtype"] == np.float32]
    if floats:
        raise RunError(f"LiteRT has no integer form of {len(floats)} of its arrays")
    sides = (interpreter.get_input_details(), interpreter.get_output_details())
    found: dict[str, Any] = {}
    for side, (tensor,) in zip(("input", "output"), sides, strict=True):
        scale, zero = tensor["quantization"]
        found[side] = facts[side].replace("float32 (batch", "uint8 (1")
        found[f"{side}_shape"] = tensor["shape"].tolist()
        found |= {f"{side}_scale": float(scale), f"{side}_zero_point": int(zero)}
    return found | {"values": "scale * (stored - zero_point)"}


def compared(
    images: Images, found: np.ndarray, expected: np.ndarray, float_bytes: int
) -> Quantized:
    """Compare the outputs of integers and floats, (n, classes), class by class.

    Raises:
        RunError: they name another class for more than 5% of the images.
    """
    of_integers, of_floats = found.argmax(axis=1), expected.argmax(axis=1)
    same = float((of_integers == of_floats).mean())
    if not same >= SAME_CLASS:
        raise RunError(
            f"{images.network}: integers of 8 bits name the network's class for {same:.1%} of "
            f"{images.checked_on}, less than {SAME_CLASS:.0%}; nothing was written"
        )
    right, right_of_floats = (
        float((each == images.labels).mean()) for each in (of_integers, of_floats)
    )
    return Quantized(images.calibrated_on, right, right_of_floats, float_bytes)
