"""Exported files: run by the runtimes of their formats, they answer as the network does."""

import importlib.util
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import modelzoo
from modelzoo import InputError, RunError, cli
from modelzoo.config import load_config
from modelzoo.convert.c_source import write_c_source
from modelzoo.convert.exporting import FORMATS, find_pictures, largest_difference
from modelzoo.convert.quantizing import compared, images_for
from modelzoo.data.datasets import load_dataset

PLAIN = [name for name in FORMATS if name != "c_array"]  # which holds what litert does


def needs(format: str) -> None:
    for package in FORMATS[format].packages:
        pytest.importorskip(package)


@pytest.fixture
def digits():
    """100 digits that MNIST's authors took from their training set: uint8 (100, 28, 28, 1)."""
    return load_dataset("mnist5k").x_test[::10]


def answers_of(path: Path, format: str, images: np.ndarray) -> np.ndarray:
    """Run a file as its user would: by the names of its input and output, all images at once."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        return session.run(["probabilities"], {"pictures": images})[0]
    if format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(str(path)).get_signature_runner()(pictures=images)["probabilities"]
    import tensorflow as tf

    answer = tf.saved_model.load(str(path)).signatures["serving_default"]
    return answer(pictures=tf.constant(images))["probabilities"].numpy()


def facts_of(path: Path, format: str) -> dict:
    """Read what a file says of itself."""
    if format == "onnx":
        import onnx

        texts = {each.key: each.value for each in onnx.load(path).metadata_props}
        return texts | {key: json.loads(texts[key]) for key in ("classes", "accuracy")}
    if format == "litert":
        return json.loads(path.with_name(f"{path.name}.json").read_text("utf-8"))
    return json.loads((path / "assets.extra" / "modelzoo.json").read_text("utf-8"))


@pytest.mark.parametrize("format", PLAIN)
def test_the_file_answers_as_the_network(format, tmp_path, digits):
    needs(format)
    done = modelzoo.export("lenet5", "mnist", format=format, out=tmp_path)
    network = modelzoo.load("lenet5", "mnist")
    expected = network.predict(modelzoo.preprocess("lenet5", digits), verbose=0)
    found = answers_of(done.path, format, digits.astype("float32"))
    assert len(found) == 100
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert done.difference <= 1e-4 and done.same_answers == done.images == 100
    assert sorted(each.name for each in tmp_path.iterdir())[0] == done.path.name
    assert 4 * 44_426 < done.bytes < 8 * 44_426  # every weight once


@pytest.mark.parametrize("format", PLAIN)
def test_the_file_says_what_it_is(format, tmp_path):
    needs(format)
    done = modelzoo.export("lenet5", "fashion_mnist", format=format, out=tmp_path)
    facts = facts_of(done.path, format)
    entry = load_config("lenet5").weights[1]
    assert facts["classes"][9] == "ankle boot" and len(facts["classes"]) == 10
    assert facts["weights_sha256"] == entry.sha256
    assert facts["licence"] == "Apache-2.0"
    assert facts["accuracy"] == entry.scores.accuracy
    assert "LeCun" in facts["source"]


def test_a_file_is_float32_whatever_the_configuration_says(tmp_path, monkeypatch):
    """An override of bfloat16 stayed above the float32 that the file promises."""
    built = {}

    def note(source, *others, **options):
        built["precision"] = source.config.trainer.precision
        built["dtype"] = {layer.compute_dtype for layer in source.build().layers}

    monkeypatch.setattr("modelzoo.convert.exporting._export", note)
    config = load_config("lenet5", overrides=["trainer.precision=mixed_bfloat16"])
    modelzoo.export(config, format="saved_model", out=tmp_path)
    assert built == {"precision": "float32", "dtype": {"float32"}}


def test_scaled_pictures(tmp_path, digits):
    needs("litert")
    from ai_edge_litert.interpreter import Interpreter

    done = modelzoo.export("lenet_1989", format="litert", out=tmp_path, scaled=True)
    assert done.path.name == "lenet_1989-mnist16-scaled.tflite"
    images = modelzoo.preprocess("lenet_1989", digits[:, 6:22, 6:22])
    found = Interpreter(str(done.path)).get_signature_runner()(scaled_pictures=images)["scores"]
    expected = modelzoo.load("lenet_1989").predict(images, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_a_run_s_folder(tmp_path, capsys):
    run = tmp_path / 'three"\n#shapes'  # which a C source must not hold
    run.mkdir()
    config = load_config("lenet5", overrides=["model.num_classes=3"])
    config = config.with_values({"data": {"class_names": ["a", "b", "c"]}}, "here")
    (run / "config.yaml").write_text(config.to_yaml())
    modelzoo.build(config).save_weights(run / "best.weights.h5")
    command = ["export", str(run), "--format", "saved_model", "--out", str(tmp_path), "--json"]
    assert cli.main(command) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["path"] == str(tmp_path / "three__#shapes.saved_model")
    assert facts_of(Path(done["path"]), "saved_model")["classes"] == ["a", "b", "c"]


def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch, capsys):
    saved_model = FORMATS["saved_model"]

    def write_other(wrapped, output, path, facts):
        *_, bias = wrapped.weights
        bias.assign_add(np.linspace(0, 0.01, 10))
        saved_model.write(wrapped, output, path, facts)

    monkeypatch.setitem(FORMATS, "saved_model", saved_model._replace(write=write_other))
    command = ["export", "lenet5", "--format", "saved_model", "--out", str(tmp_path / "new")]
    assert cli.main(command) == 1
    assert "differ by 0.00" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [ValueError("no such operation\nin a graph"), KeyboardInterrupt()]
)
def test_a_converter_that_fails_leaves_nothing(error, tmp_path, monkeypatch):
    def write_half(wrapped, output, path, facts):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setitem(FORMATS, "saved_model", FORMATS["saved_model"]._replace(write=write_half))
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else RunError
    with pytest.raises(expected) as refusal:
        modelzoo.export("lenet5", format="saved_model", out=tmp_path / "new")
    if expected is RunError:
        assert str(refusal.value) == "lenet5: cannot become saved_model: no such operation"
    assert list(tmp_path.iterdir()) == []


def test_differences_are_of_probabilities_or_shares_of_scores():
    expected = np.array([[-200.0, -100.0]])
    assert largest_difference(expected + 0.01, expected, "scores") == pytest.approx(5e-5)
    assert largest_difference(expected + 0.01, expected, "probabilities") > 1e-4
    assert not largest_difference(expected * np.nan, expected, "scores") <= 1e-4
    assert not largest_difference(expected[:, :1], expected, "scores") <= 1e-4


def test_pictures_to_check_with(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    monkeypatch.setenv("MODELZOO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODELZOO_OFFLINE", raising=False)
    images = np.arange(150, dtype=np.uint8).repeat(32 * 32 * 3).reshape(150, 32, 32, 3)
    labels = np.arange(150) % 10
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "cifar10.npz", **arrays)
    where, pictures = find_pictures(load_config("alexnet"))
    assert where == "100 test images of cifar10"
    assert pictures[[0, -1], 0, 0, 0].tolist() == [0, 149]  # from the first to the last
    where, pictures = find_pictures(load_config("alexnet", dataset="cifar100"))
    assert where == "100 test images of mnist5k" and pictures.shape == (100, 32, 32, 3)


def test_what_is_there_is_not_replaced(tmp_path):
    (tmp_path / "lenet5-mnist.saved_model").mkdir()
    with pytest.raises(InputError, match="already exists"):
        modelzoo.export("lenet5", format="saved_model", out=tmp_path)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else found(name)
    )
    with pytest.raises(
        InputError, match=r'onnx needs tf2onnx, which is not.*\n.*pip install "tf2onnx>=1.17"$'
    ):
        modelzoo.export("lenet5", format="onnx", out=tmp_path)


@pytest.fixture(scope="module")
def integers(tmp_path_factory):
    """LeNet of 1989 in integers, as C, calibrated and checked on digits that come with modelzoo."""
    needs("c_array")
    folder = tmp_path_factory.mktemp("integers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELZOO_DATA", str(folder / "data"))
        patch.setenv("MODELZOO_HOME", str(folder / "home"))
        patch.setenv("MODELZOO_OFFLINE", "1")
        images = images_for(load_config("lenet_1989"))
        made = modelzoo.export("lenet_1989", format="c_array", quantize="int8", out=folder / "new")
    return made, images


def test_integers_answer_as_the_network(integers):
    from ai_edge_litert.interpreter import Interpreter

    made, images = integers
    model = made.path.with_suffix(".tflite")
    interpreter = Interpreter(str(model))
    assert not {"float32"} & {each["dtype"].__name__ for each in interpreter.get_tensor_details()}
    run, stored = interpreter.get_signature_runner(), images.checked  # as they are, no scaling
    assert stored.dtype == "uint8" and len(stored) == made.images >= 500
    found = np.concatenate([run(pictures=image[np.newaxis])["scores"] for image in stored])
    network = modelzoo.load("lenet_1989")
    floats = network.predict(modelzoo.preprocess("lenet_1989", stored), verbose=0)
    quantized = made.quantized
    assert quantized.accuracy == np.mean(found.argmax(axis=1) == images.labels) > 0.9
    assert quantized.float_accuracy == np.mean(floats.argmax(axis=1) == images.labels)
    values = made.facts["output_scale"] * (found.astype(int) - made.facts["output_zero_point"])
    assert np.abs(values - floats).mean() < 0.05  # of scores from -1.7 to 1.7
    assert (made.facts["input_scale"], made.facts["input_zero_point"]) == (1.0, 0)
    assert made.bytes == model.stat().st_size < 0.6 * quantized.float_bytes
    assert json.loads(Path(f"{model}.json").read_text("utf-8")) == made.facts
    assert (
        made.facts["calibrated_on"]
        == "500 training images of mnist5k, in place of mnist16, drawn by seed 0"
    )


def test_calibration_takes_training_images(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    images = np.arange(700).astype("uint8").repeat(28 * 28).reshape(700, 28, 28) % 200
    labels = np.arange(700) % 10
    arrays = {
        "x_train": images,
        "y_train": labels,
        "x_test": images[:20] + 200,
        "y_test": labels[:20],
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    found = images_for(load_config("lenet5"))
    assert found.calibrated_on == "500 training images of mnist, drawn by seed 0"
    assert len(found.calibration) == 500 and found.calibration.max() < 200
    assert found.checked_on == "20 test images of mnist" and found.checked.min() >= 200
    np.testing.assert_array_equal(found.calibration, images_for(load_config("lenet5")).calibration)


def test_integers_that_name_other_classes_do_not_count(integers):
    _, images = integers
    right = np.eye(10)[images.labels]
    few, many = right.copy(), right.copy()
    few[:10], many[: len(many) // 10] = (
        np.roll(each, 1, axis=1) for each in (few[:10], many[: len(many) // 10])
    )
    found = compared(images, few, right, 1000)
    assert found.lost == pytest.approx(10 / len(right)) and found.float_accuracy == 1
    with pytest.raises(RunError, match=r"name the network's class for 90.0% of .* less than 95%"):
        compared(images, many, right, 1000)


def test_lost_accuracy_is_reported(integers, monkeypatch, capsys):
    made, _ = integers
    for accuracy, lost in ((0.9, "the integers lose 0.30 points of accuracy\n"), (0.901, "")):
        costs = replace(made.quantized, accuracy=accuracy, float_accuracy=0.903)
        monkeypatch.setattr(
            "modelzoo.convert.exporting.export", lambda model, c=costs: replace(made, quantized=c)
        )
        assert cli.main(["export", "lenet_1989", "--format", "litert", "--quantize", "int8"]) == 0
        out, err = capsys.readouterr()
        assert err == lost and "float32: accuracy 0.9030" in out
        assert "input 1, zero point 0; output 0.0" in out


@pytest.mark.parametrize("name", ["9-lives", "lenet5-mnist"])
def test_a_c_source_holds_the_bytes(name, integers, tmp_path):
    """Whatever a data set's classes are called."""
    made, _ = integers
    content = made.path.with_suffix(".tflite").read_bytes()
    classes = ["*/ int x;", "/*", "??/", "two\nlines", "é"]
    write_c_source(tmp_path / f"{name}.c", content, made.facts | {"classes": classes})
    text = made.path.read_text("utf-8")
    assert made.facts["weights_sha256"] in text and "input_shape: 1, 16, 16, 1" in text
    assert "classes: 0, 1, 2" in text and "resize it to 16 rows of 16 pixels" in text
    if not (compiler := shutil.which("gcc")):
        pytest.skip("needs gcc")
    array = {"9-lives": "_9_lives", "lenet5-mnist": "lenet5_mnist"}[name]
    (tmp_path / "main.c").write_text(
        f'#include <stdio.h>\n#include "{name}.h"\n#include "{name}.h"\n'
        "int main(void) {\n"
        f"  if ((unsigned long long){array} % 16) return 1;\n"
        f"  return fwrite({array}, 1, {array}_length, stdout) != {array}_length;\n}}\n"
    )
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
    program = tmp_path / "program"
    sources = [tmp_path / "main.c", tmp_path / f"{name}.c"]
    subprocess.run([compiler, *strict, *sources, "-o", program], check=True)
    assert subprocess.run([program], check=True, capture_output=True).stdout == content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("onnx --quantize int8", "--quantize: is for --format litert, not onnx"),
        ("html --quantize int8", "--quantize: is for --format litert, not html"),
        ("saved_model --c-array", "--c-array: is for --format litert, not saved_model"),
    ],
)
def test_only_litert_has_integers_and_c(options, words, refuses, tmp_path):
    refuses(f"export lenet5 --out {{files}} --format {options}", words, files=tmp_path)
