"""The benchmarks compare like with like, and their page says what was measured."""

import json

import numpy as np
import pytest

import modelzoo
from benchmarks.compare import child, keras_script, machine, runner, summary
from benchmarks.compare.__main__ import main
from benchmarks.compare.works import SHOWN, WORKS, Contestant, chosen_works

NETWORKS = {"lenet5": 44_426, "alexnet": 22_590_346}
WITHOUT_DROPOUT = {"lenet5": {}, "alexnet": {"dropout": 0.0}}


def step_of_ours(name: str, images: np.ndarray, labels: np.ndarray):
    """Return our network's first weights, its outputs, and its weights after a training step."""
    from modelzoo import keras_objects

    config = modelzoo.load_config(name)
    model = modelzoo.build(config, **WITHOUT_DROPOUT[name])
    optimizer = keras_objects.make("optimizer", config["compile"]["optimizer"], "optimizer")
    model.compile(optimizer, config["compile"]["loss"])
    start, outputs = model.get_weights(), np.asarray(model(images, training=True))
    model.train_on_batch(images, labels)
    return start, outputs, model.get_weights()


@pytest.fixture
def batch(request):
    """Return eight pictures from 0 to 1 as the network takes them, and one-hot labels."""
    generator = np.random.default_rng(0)
    shape = {"lenet5": (28, 28, 1), "alexnet": (32, 32, 3)}[request.param]
    images = generator.random((8, *shape), dtype="float32")
    return request.param, images, np.eye(10, dtype="float32")[np.arange(8)]


@pytest.mark.parametrize("batch", NETWORKS, indirect=True)
def test_the_script_does_the_same_arithmetic(batch):
    """Same parameters, same outputs from the same weights, same weights after a step."""
    name, images, labels = batch
    start, outputs, after = step_of_ours(name, images, labels)
    model = getattr(keras_script, name)(**WITHOUT_DROPOUT[name])
    assert model.count_params() == NETWORKS[name]
    model.set_weights(start)
    np.testing.assert_allclose(model(images, training=True), outputs, atol=1e-6)
    model.train_on_batch(images, labels)
    for own, ours in zip(model.get_weights(), after, strict=True):
        np.testing.assert_allclose(own, ours, atol=1e-5)


@pytest.mark.parametrize("batch", NETWORKS, indirect=True)
def test_pytorch_does_the_same_arithmetic(batch):
    """Same parameters, same outputs from the same weights, same weights after a step."""
    torch = pytest.importorskip("torch")
    from benchmarks import networks_pytorch as networks
    from benchmarks.compare import pytorch_loop

    name, images, labels = batch
    start, outputs, after = step_of_ours(name, images, labels)
    model = getattr(networks, name)(**WITHOUT_DROPOUT[name])
    assert networks.parameters(model) == NETWORKS[name]
    networks.copy_from_keras(model, start)
    data = torch.tensor(images).permute(0, 3, 1, 2), torch.tensor(labels.argmax(1))
    with torch.no_grad():  # moves the running means, as our own forward pass did
        probabilities = model(data[0]).softmax(1)
    np.testing.assert_allclose(probabilities, outputs, atol=1e-6)

    pytorch_loop.train(model, pytorch_loop.adadelta(model), data, 8)
    expected = getattr(networks, name)(**WITHOUT_DROPOUT[name])
    networks.copy_from_keras(expected, after)
    for (key, own), ours in zip(
        model.state_dict().items(), expected.state_dict().values(), strict=True
    ):
        if "num_batches" not in key and "running_var" not in key:
            np.testing.assert_allclose(own, ours, atol=1e-5, err_msg=key)


def test_networks_of_the_gpu_script_are_ours():
    """Their parameters, in plain PyTorch."""
    pytest.importorskip("torch")
    from benchmarks import networks_pytorch as networks

    for name in ("alexnet_cifar10", "alexnet_owt", "alexnet_2012"):
        wanted = modelzoo.load_config(name)["about"]["parameters"]
        assert networks.parameters(getattr(networks, name)()) == wanted, name


def test_spread_and_ratios():
    """Medians over all rounds, ranges of nine of ten, ratios of medians."""
    work = {
        "contestants": {
            "modelzoo": {"samples": [[2.0, 1.0], [3.0]], "facts": [{"test_accuracy": 0.5}]},
            "script": {"samples": [[4.0], [6.0]], "facts": [{"extrapolated": True}, {}]},
        },
    }
    ours, script = summary.rows(work)
    assert ours.spread == summary.Spread(2.0, pytest.approx(1.1), pytest.approx(2.9), 3)
    assert ours.ratio == 1.0 and ours.accuracies == (0.5,) and not ours.extrapolated
    assert script.spread.median == 5.0 and script.ratio == 2.5 and script.extrapolated
    assert summary.spread([7.0]) == summary.Spread(7.0, 7.0, 7.0, 1)
    shown = [summary.number(value) for value in (0.01234, 1.2, 7.0, 123.4, 999.6, 12345.6)]
    assert shown == ["0.0123", "1.20", "7.00", "123", "1,000", "12,346"]


def test_works_are_described_whole():
    """Every contestant has a name for people, and does its work by a function or a command."""
    assert [work.name for work in chosen_works(["cold-start", "cold-start-alexnet"])] == [
        "cold-start-lenet5",
        "cold-start-alexnet",
    ]
    for work in WORKS:
        assert set(work.quick) <= set(work.settings)
        for contestant in work.contestants:
            assert contestant.name in SHOWN
            assert bool(contestant.command) != bool(contestant.module)
            if contestant.module in ("keras_script", "ours"):
                module = __import__(f"benchmarks.compare.{contestant.module}", fromlist=["x"])
                assert hasattr(module, work.function), (work.name, contestant.name)


def test_a_process_is_measured():
    """Its time, its peak of memory, and why it failed."""
    work = next(work for work in WORKS if work.name == "startup")
    python = next(each for each in work.contestants if each.name == "python")
    samples, facts = runner.measure(work, python, {})
    assert 0 < samples[0] < 60 and facts == {}
    failing = Contestant("python", command=("-c", "raise SystemExit('no such thing')"), needs=())
    with pytest.raises(modelzoo.RunError, match="exit code 1: no such thing"):
        runner.measure(work, failing, {})
    lacking = Contestant("python", needs=("no_such_package",))
    assert runner.missing(lacking) == ["no_such_package"]
    before = child.peak_memory()
    held = bytearray(b"x" * 100_000_000)
    assert child.peak_memory() - before < 1000e6 and len(held) < child.peak_memory() < 100e9
    assert machine.describe()["cores"] >= 1


def test_bad_input_of_the_comparison(tmp_path, monkeypatch, capsys):
    """One message, exit code 2, and the file as it was."""
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    assert main(["--work", "lenet5-epok"]) == 2
    assert "did you mean 'lenet5-epoch'" in capsys.readouterr().err
    assert main(["--work", "lenet5-epoch"]) == 2
    assert "needs" in capsys.readouterr().err
    out = tmp_path / "speed.json"
    for content, said in (("[]", "holds no earlier"), ('{"machine": {}}', "another machine")):
        out.write_text(content)
        assert main(["--work", "startup", "--out", str(out)]) == 2
        assert said in capsys.readouterr().err
        assert out.read_text() == content


@pytest.mark.slow
def test_a_quick_comparison_runs(tmp_path, monkeypatch, capsys):
    """One work, in fresh processes, on a small data set; a missing recipe is left out."""
    generator = np.random.default_rng(0)
    arrays = {
        f"{kind}_{split}": values
        for split, count in (("train", 2_000), ("test", 200))
        for kind, values in (
            ("x", generator.integers(0, 255, (count, 28, 28), dtype="uint8")),
            ("y", np.arange(count, dtype="uint8") % 10),
        )
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    out, works = tmp_path / "speed.json", ["lenet5-epoch", "cold-start-lenet5"]
    others = ["pytorch", "keras-jax", "keras-torch"]
    recipe = ["--lenet5-recipe", "no_such_recipe"]
    options = ["--quick", "--work", *works, "--without", *others, *recipe, "--out", str(out)]
    assert main(options) == 0
    report = json.loads(out.read_text())
    epoch, recipe = (report["works"][name] for name in works)
    for name in ("modelzoo", "script"):
        measured = epoch["contestants"][name]
        assert len(measured["samples"][0]) == 1
        assert measured["facts"][0]["parameters"] == 44_426
    assert "no_such_recipe" in recipe["left_out"]["modelzoo"]
    assert "plain Keras script" in capsys.readouterr().out
