"""What `predict` and `features` answer: classes, doubt, and no class where there is nothing."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modelzoo import cli
from modelzoo.training.evaluation import CERTAIN, is_uncertain


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder with a drawn 1, a sheet without a stroke, and photos of one colour."""
    monkeypatch.chdir(tmp_path)
    one = Image.new("L", (120, 90), 255)
    ImageDraw.Draw(one).line([(60, 15), (60, 75)], fill=0, width=8)
    one.save("one.png")
    Image.new("L", (120, 90), 250).save("blank.png")
    Image.new("L", (28, 28), 0).save("blank28.png")
    Image.new("RGB", (64, 48), (10, 200, 30)).save("green.jpg")
    return tmp_path


def test_a_blank_image_gets_no_class(images, capsys):
    command = ["predict", "--model", "lenet5", "blank.png", "one.png", "blank28.png"]
    assert cli.main([*command, "--device", "cpu"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "blank.png: no ink found: the image is blank"
    assert [line[:10] for line in lines if line.startswith("one.png")] == ["one.png: 1"]
    assert "blank28.png: no ink found: the image is blank" in lines
    assert out.count("%") == 3
    assert err.splitlines()[-1] == (
        "modelzoo predict: 2 of 3 images without a class: no ink found: the image is blank"
    )
    assert cli.main([*command, "--device", "cpu", "--json"]) == 1
    blank, one, _ = json.loads(capsys.readouterr().out)["images"]
    assert blank["classes"] == [] and blank["problem"] == "no ink found: the image is blank"
    assert blank["uncertain"] is None
    assert one["classes"][0]["name"] == "1" and one["problem"] is None


def test_a_photo_of_one_colour_gets_no_class(images, capsys):
    command = ["predict", "--model", "alexnet_cifar10", "green.jpg", "--device", "cpu"]
    assert cli.main(command) == 1
    assert capsys.readouterr().out.splitlines()[0] == "green.jpg: all pixels are equal"


def test_features_of_a_blank_image_names_no_class(images, capsys):
    before = sorted(images.iterdir())
    command = ["features", "lenet5", "blank.png", "--device", "cpu"]
    assert cli.main(command) == 1
    out, err = capsys.readouterr()
    assert out == "" and err == "modelzoo features: blank.png: no ink found: the image is blank\n"
    assert cli.main([*command, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == [] and found["problem"] == "no ink found: the image is blank"
    assert sorted(images.iterdir()) == before


def test_an_uncertain_prediction_is_marked(images, capsys):
    generator = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(40)]
    for name in names:  # some scribbles resemble a digit, others do not
        scribble = Image.new("L", (28, 28))
        points = [tuple(point) for point in generator.integers(4, 24, (6, 2)).tolist()]
        ImageDraw.Draw(scribble).line(points, fill=255, width=2)
        scribble.save(name)
    command = ["predict", "--model", "lenet5", "one.png", *names, "--device", "cpu"]
    assert cli.main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["images"]
    marks = [each["uncertain"] for each in found]
    assert marks == [each["classes"][0]["probability"] < 0.6 for each in found]
    assert marks[0] is False and True in marks
    assert cli.main(command) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if ".png: " in line]
    assert [line.endswith(" (uncertain)") for line in lines] == marks


def test_the_limit_of_doubt():
    assert CERTAIN == 0.6
    assert is_uncertain([0.3, 0.59, 0.11], "probability") is True
    assert is_uncertain([0.4, 0.6], "probability") is False
    assert is_uncertain(np.array([0.1, 0.2]).tolist(), "score") is None


def test_the_samples_are_read_by_the_networks_that_come_with_the_package(capsys):
    """lenet5 reads all ten digits; a sample is given to networks that have its class."""
    assert cli.main(["predict", "--sample", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["weights"]) == ("lenet5", "mnist")
    read = {each["file"]: each["classes"][0]["name"] for each in found["images"]}
    assert read == {f"sample:{digit}": str(digit) for digit in range(10)}
    assert not any(each["uncertain"] for each in found["images"])
    assert cli.main(["predict", "--model", "alexnet", "--sample", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["images"]
    read = {each["file"]: each["classes"][0]["name"] for each in found}
    assert read == {f"sample:{name}": name for name in ("airplane", "automobile", "ship")}


def test_samples_are_chosen_by_name(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["predict", "sample:3", "--model", "lenet5", "--sample", "7", "3"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sample:")]
    assert [line[:11] for line in lines] == ["sample:3: 3", "sample:7: 7", "sample:3: 3"]
    for command, message in {
        "predict --model lenet5": "no images: name their files, or try --sample",
        "predict --model lenet5/fashion_mnist --sample": "no sample shows one of this network's",
        "predict --sample cat": "sample:cat: there is no such sample; there are: 0, 1, 2,",
    }.items():
        assert cli.main(command.split()) == 2
        assert message in capsys.readouterr().err
