"""Ten crops: corners, centre and mirror images, averaged as by hand; and how images get there."""

import json
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from modelzoo import cli
from modelzoo.api import evaluate, preprocess
from modelzoo.config import load_config
from modelzoo.data.datasets import load_dataset
from modelzoo.data.pipeline import InputPipeline
from modelzoo.data.preprocessor import ten_crops
from modelzoo.support.errors import InputError
from modelzoo.training.prepare import build_network, open_dataset
from modelzoo.weights.reader import load_weights

CROPPED = """\
base: lenet5
model: {input_shape: [24, 20, 1]}
data:
  dataset: bars
  image_size: 28
  validation_split: 40
  preprocessing:
    - {class_name: CenterCrop, config: {height: 24, width: 20}}
    - {class_name: Rescaling, config: {scale: 0.00392156862745098}}
  augmentation:
    - {class_name: RandomPatch, config: {height: 24, width: 20}}
    - {class_name: RandomFlip, config: {mode: horizontal}}
fit: {epochs: 1}
"""


def by_hand(images: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """The ten patches as Krizhevsky et al. (2012) list them, in NumPy."""
    bottom, right = images.shape[1] - height, images.shape[2] - width
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    patches = [images[:, i : i + height, j : j + width] for i, j in places]
    return patches + [patch[:, :, ::-1] for patch in patches]


@pytest.mark.parametrize("shape", [(3, 9, 8, 3), (1, 5, 7, 1)])
def test_the_ten_patches(shape):
    images = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    found = np.asarray(ten_crops(images, 5, 6)).reshape(len(images), 10, 5, 6, shape[3])
    for index, patch in enumerate(by_hand(images, 5, 6)):
        assert np.array_equal(found[:, index], patch)


@pytest.fixture
def trained(bars):
    """A run on 24x20 patches of 28x28 images, by command."""
    Path("cropped.yaml").write_text(CROPPED)
    assert cli.main(["train", "--model", "cropped.yaml", "--out", "run", "--device", "cpu"]) == 0
    return Path("run"), load_config("run")


def test_scores_are_those_of_averaged_probabilities(trained, capsys):
    run, config = trained
    command = ["evaluate", "--model", str(run), "--device", "cpu", "--json"]
    assert cli.main([*command, "--crops", "10"]) == 0
    found = json.loads(capsys.readouterr().out)
    network = build_network(config)
    load_weights(network, run / "best.weights.h5")
    data, _ = open_dataset(config, print)
    images = np.asarray(data.x_test).astype("float32") / 255
    each = [np.asarray(network(patch)) for patch in by_hand(images, 24, 20)]
    averaged = np.mean(each, axis=0)
    own = averaged[np.arange(len(data.y_test)), data.y_test]
    assert found["crops"] == 10 and found["images"] == 60
    assert found["accuracy"] == (averaged.argmax(axis=1) == data.y_test).mean()
    assert found["loss"] == pytest.approx(-np.log(own).mean(), rel=1e-5)
    best_five = np.argsort(-averaged, axis=1)[:, :5]
    assert found["top5_accuracy"] == (best_five == data.y_test[:, None]).any(axis=1).mean()
    # One crop is the central patch, which is the fifth.
    assert cli.main(command) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["accuracy"] == (each[4].argmax(axis=1) == data.y_test).mean()
    assert one["loss"] != pytest.approx(found["loss"])


@pytest.mark.slow
def test_the_loss_is_told_without_penalties(trained):
    """A regularizer belongs to the training; it would hide how good the probabilities are."""
    import keras

    from modelzoo.training.evaluation import compile_for_scoring, score

    run, config = trained
    network = build_network(config)
    load_weights(network, run / "best.weights.h5")
    pipeline = InputPipeline(open_dataset(config, print)[0], config.data, num_classes=10)
    compile_for_scoring(network, config)
    without = [score(network, pipeline, "test", patch).loss for patch in (None, (24, 20))]
    network.layers[1].kernel_regularizer = keras.regularizers.L2(1.0)
    again = keras.models.clone_model(network)
    again.set_weights(network.get_weights())
    compile_for_scoring(again, config)
    assert sum(float(penalty) for penalty in again.losses) > 0.1
    found = [score(again, pipeline, "test", patch).loss for patch in (None, (24, 20))]
    np.testing.assert_allclose(found, without, rtol=1e-4)


def test_what_has_nothing_to_cut_from_is_refused(bars, refuses):
    build_network(load_config("lenet5")).save_weights("own.weights.h5")
    command = "evaluate --model lenet5 --weights own.weights.h5 --dataset bars --crops"
    refuses(f"{command} 10", "opened at 28x28, which leaves nothing to cut")
    refuses(f"{command} 5", "--crops")
    config = load_config("lenet5", dataset="bars")
    with pytest.raises(InputError, match="--crops 5: there are 1"):
        evaluate(config, Path("own.weights.h5"), device="cpu", crops=5)
    check = "evaluate --model lenet5 --weights mnist --check --crops 10"
    refuses(check, "measured with --crops 1")


def test_a_photograph_becomes_the_central_square(tmp_path, monkeypatch):
    """The paper: shorter side to 256, then the central 256x256; and a named folder of images."""
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    pixels = np.zeros((320, 640, 3), np.uint8)
    pixels[:, 160:480, 0] = np.arange(320)[None, :] % 256  # the central square
    pixels[:, :160, 1] = pixels[:, 480:, 1] = 255
    for split in ("train", "test"):
        for name in ("n01440764", "n01443537"):
            folder = tmp_path / "imagenet" / split / name
            folder.mkdir(parents=True)
            Image.fromarray(pixels).save(folder / "0.png")
    for model, side in (("alexnet_2012", 227), ("alexnet_owt", 224)):
        config = load_config(model)
        data, _ = open_dataset(config, print)
        assert (data.name, data.image_shape) == ("imagenet", (256, 256, 3))
        assert data.class_names == ("n01440764", "n01443537")
        image = data.x_test[0]
        assert image[:, 2:-2, 1].max() == 0  # of what lies beside the square, nothing is left
        settings = replace(config.data, batch_size=2, validation_split=0)
        pipeline = InputPipeline(data, settings, num_classes=2)
        scored, _ = next(iter(pipeline.scoring_batches("test")))
        margin = (256 - side) // 2
        centre = image[margin : margin + side, margin : margin + side].astype("float32")
        mean = {227: [123.68, 116.779, 103.939], 224: [123.675, 116.28, 103.53]}[side]
        spread = {227: [1.0, 1.0, 1.0], 224: [58.395, 57.12, 57.375]}[side]
        np.testing.assert_allclose(scored[0], (centre - mean) / spread, atol=1e-4)
        pipeline.start_epoch(0)
        batch, _ = next(iter(pipeline.training_batches()))
        assert batch.shape == (2, side, side, 3)


def test_pictures_of_another_size_are_not_cropped_in_silence():
    for side in (256, 224):
        assert preprocess("alexnet_owt", np.zeros((1, side, side, 3), np.uint8)).shape[1] == 224
    with pytest.raises(InputError, match="are 32x32, but alexnet_owt opens them at 256x256"):
        preprocess("alexnet_owt", np.zeros((1, 32, 32, 3), np.uint8))


def test_without_imagenet_it_is_said_what_to_do(bars, capsys):
    assert cli.main(["train", "--model", "alexnet_2012"]) == 2
    message = capsys.readouterr().err
    assert "image-net.org" in message and str(bars / "imagenet/train/CLASS") in message
    assert "folder:PATH" in message and len(message.splitlines()) <= 5
    (bars / "imagenet" / "train").mkdir(parents=True)
    with pytest.raises(InputError, match="imagenet: holds nothing that is read"):
        load_dataset("imagenet", image_shape=(8, 8, 3))
