"""Which network, which weights, which data; and never the class names of another data set."""

import json

import numpy as np
import pytest
from PIL import Image

import modelzoo
from modelzoo import InputError, cli, load_config
from modelzoo.config import split_reference
from modelzoo.data.known_sets import DIGITS, FASHION_MNIST
from modelzoo.training.resolve import resolve
from modelzoo.weights.store import find_weights


def published(*arguments, **options) -> tuple[str, str]:
    source = resolve(*arguments, **options)
    assert source.published is not None
    return source.published.name, source.dataset


@pytest.fixture
def run(bars, tmp_path):
    """The folder of a run on the bars: maximum pooling, and class names of its own."""
    names = "data.class_names=[" + ", ".join(f"bar {digit}" for digit in range(10)) + "]"
    config = load_config("lenet5", dataset="bars", overrides=["model.pooling=max", names])
    folder = tmp_path / "a run"
    folder.mkdir()
    (folder / "config.yaml").write_text(config.to_yaml())
    content = find_weights(load_config("lenet5"), "mnist").read_bytes()
    (folder / "best.weights.h5").write_bytes(content)
    return folder


def test_default_weights_belong_to_the_data_set():
    assert published("lenet5") == ("mnist", "mnist")
    assert published("lenet5", dataset="fashion_mnist") == ("fashion_mnist", "fashion_mnist")
    override = ["data.dataset=fashion_mnist"]
    assert published("lenet5", overrides=override) == ("fashion_mnist", "fashion_mnist")
    config = load_config("lenet5", dataset="fashion_mnist")
    assert published(config) == ("fashion_mnist", "fashion_mnist")
    with pytest.raises(InputError, match="no weights are published for digits"):
        modelzoo.load(load_config("lenet5", dataset="digits"))


def test_weights_bring_their_data_set(capsys):
    assert published("lenet5", "fashion_mnist") == ("fashion_mnist", "fashion_mnist")
    assert published("lenet5/fashion_mnist") == ("fashion_mnist", "fashion_mnist")
    assert published(load_config("lenet5"), "fashion_mnist") == ("fashion_mnist", "fashion_mnist")
    assert published("alexnet") == ("cifar10", "cifar10_jpeg75")
    assert cli.main(["info", "lenet5/fashion_mnist", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"] == "fashion_mnist"


def test_data_sets_of_the_same_images_share_weights():
    """CIFAR-10 from a JPEG copy is CIFAR-10 to a network, and mnist5k is a part of MNIST."""
    assert published("alexnet", dataset="cifar10") == ("cifar10", "cifar10")
    assert published("lenet5", dataset="mnist5k") == ("mnist", "mnist5k")


@pytest.mark.parametrize(
    ("weights", "dataset", "message"),
    [
        (None, "digits", r"no weights are published for digits; there are: mnist \(for mnist\)"),
        (None, "fashion_mnits", "did you mean fashion_mnist"),
        ("mnist", "fashion_mnist", "lenet5/mnist was trained on mnist, not on fashion_mnist"),
        ("fashion_mnist", "mnist5k", "trained on fashion_mnist, not on mnist5k"),
    ],
)
def test_weights_of_another_data_set_are_refused(weights, dataset, message):
    with pytest.raises(InputError, match=message):
        resolve("lenet5", weights, dataset=dataset)
    with pytest.raises(InputError, match=message):
        resolve("lenet5", weights, overrides=[f"data.dataset={dataset}"])


def test_scores_name_the_weights_of_another_data_set():
    """A number can be measured on any data; its reader has to know whose weights gave it."""
    source = resolve("lenet5", dataset="digits", for_scores=True)
    assert (source.label, source.dataset, source.trained_on) == ("lenet5/mnist", "digits", "mnist")
    assert "lenet5/mnist was trained on mnist, not on digits" in source.notice
    assert source.published_scores(source.dataset) is None
    own = resolve("lenet5", for_scores=True)
    assert own.notice is None and own.published_scores(own.dataset).accuracy == 0.9953


def test_a_run_s_weights_bring_the_run_s_configuration(run):
    """Under lenet5's own configuration they would be pooled otherwise, and get digits' names."""
    for source in (
        resolve(run),
        resolve("lenet5", run),
        resolve("lenet5", run / "best.weights.h5"),
    ):
        assert source.dataset == source.trained_on == "bars" and source.label == "a run"
        assert source.config.model.pooling == "max"
        assert source.config.data.class_names[3] == "bar 3"
    with pytest.raises(InputError, match=r"is a run of lenet5 \(built by lenet5\), not of alexnet"):
        resolve("alexnet", run)
    for model in (run, "lenet5"):
        weights = None if model is run else run
        with pytest.raises(InputError, match="a run was trained on bars, not on mnist"):
            resolve(model, weights, dataset="mnist")
        assert resolve(model, weights, dataset="mnist", for_scores=True).notice


def test_a_packaged_name_goes_before_a_folder_of_that_name(run):
    run.rename(run.with_name("lenet5"))
    assert published("lenet5") == ("mnist", "mnist")
    assert resolve("./lenet5").trained_on == "bars"


def test_weights_that_come_after_an_inherited_data_set(tmp_path):
    """A YAML inherits mnist and publishes weights for other data: they bring it, as when named."""
    entry = load_config("lenet5").weights[1]
    text = (
        f"weights:\n  - {{name: clothes, sources: [package], sha256: {entry.sha256}, "
        f"bytes: {entry.bytes}, recipe: r, licence: l, "
        "scores: {dataset: fashion_mnist, accuracy: 0.9}}\n"
    )
    path = tmp_path / "lenet5.yaml"  # the package holds the file under this name
    path.write_text(f"base: lenet5\n{text}")
    config = load_config(path)
    assert config.data.dataset == "mnist"
    with pytest.raises(InputError, match="clothes"):  # not a file of the package, but chosen
        resolve(path)
    path.write_text(f"base: lenet5\ndata: {{dataset: mnist}}\n{text}")
    with pytest.raises(InputError, match="no weights are published for mnist"):
        resolve(path)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("lenet5", ("lenet5", None)),
        ("lenet5/mnist", ("lenet5", "mnist")),
        ("my/own.yaml", ("my/own.yaml", None)),
        ("my/own.yaml/mnist", ("my/own.yaml", "mnist")),
        ("runs/first", ("runs/first", None)),
        ("lenet5/", ("lenet5/", None)),
    ],
)
def test_one_grammar_names_a_network_and_its_weights(reference, parts):
    assert split_reference(reference) == parts


def test_predict_names_the_classes_of_the_weights(one, capsys):
    """In 0.1.0 a 1 was "trouser 100.0%": the digit weights under the names of clothes."""
    commands = {
        "predict --model lenet5": ("mnist", DIGITS),
        "predict --model lenet5 --dataset fashion_mnist": ("fashion_mnist", FASHION_MNIST),
        "predict --model lenet5/fashion_mnist": ("fashion_mnist", FASHION_MNIST),
    }
    for command, (weights, names) in commands.items():
        options = ["--top", "10", "--json", "--device", "cpu", str(one)]
        assert cli.main([*command.split(), *options]) == 0
        told = json.loads(capsys.readouterr().out)
        (image,) = told["images"]
        assert told["weights"] == weights
        found = {each["name"]: each["probability"] for each in image["classes"]}
        assert sorted(found) == sorted(names)
        pixels = np.asarray(Image.open(one))[np.newaxis]
        if weights == "mnist":  # its place in the image is brought to MNIST's
            assert image["classes"][0]["name"] == "1"
            continue
        network = modelzoo.load("lenet5", weights)
        outputs = network.predict(modelzoo.preprocess("lenet5", pixels), verbose=0)[0]
        np.testing.assert_allclose([found[name] for name in names], outputs, atol=1e-5)


@pytest.mark.parametrize(
    "command",
    [
        "predict --model lenet5 --dataset digits {image}",
        "predict --model lenet5 --weights mnist --dataset fashion_mnist {image}",
        "predict --model {run} --dataset mnist {image}",
        "features lenet5 --dataset digits {image}",
        "features lenet5 --weights mnist --dataset fashion_mnist {image}",
    ],
)
def test_commands_that_name_classes_refuse_other_weights(command, one, run, refuses):
    error = refuses(command.format(image=one, run=str(run).replace(" ", "~")))
    assert "for digits" in error or "was trained on" in error


def test_evaluate_and_attack_say_which_weights_they_score(bars, tmp_path, capsys):
    evaluate = ["evaluate", "--model", "lenet5", "--dataset", "bars", "--device", "cpu", "--json"]
    assert cli.main(evaluate) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["weights"], told["trained_on"], told["dataset"]) == ("mnist", "mnist", "bars")
    assert told["notice"] and told["notice"] in err
    assert "lenet5/mnist was trained on mnist, not on bars" in err
    words = "--method fgsm --strengths 0.1 --images 10 --format json --device cpu"
    attack = ["attack", "lenet5", "--dataset", "bars", "--out", str(tmp_path), *words.split()]
    assert cli.main(attack) == 0
    assert "lenet5/mnist was trained on mnist, not on bars" in capsys.readouterr().err
