"""The benchmarks compare like with like, and their page says what was measured."""

import json
import shutil

import numpy as np
import pytest

import modelzoo
from benchmarks import gpu_throughput, learning, neocognitron_1980, roofline, speed_page
from benchmarks.compare import child, keras_script, machine, runner, summary
from benchmarks.compare.__main__ import main
from benchmarks.compare.works import LEARNING, SHOWN, WORKS, Contestant, chosen_works
from benchmarks.results import write_results
from benchmarks.speed_chart import speed_chart
from modelzoo.support.environment import memory_peak

NETWORKS = {"lenet5": 44_426, "alexnet": 22_590_346}
BATCHES = ["lenet5", "alexnet"]
WITHOUT_DROPOUT = {"lenet5": {}, "alexnet": {"dropout": 0.0}}


def step_of_ours(name: str, images: np.ndarray, labels: np.ndarray):
    """Return our network's first weights, its outputs, and its weights after a training step."""
    from modelzoo.networks import keras_objects

    config = modelzoo.load_config(name)
    model = modelzoo.build(config, **WITHOUT_DROPOUT[name])
    optimizer = keras_objects.make("optimizer", config.compile.optimizer, "optimizer")
    model.compile(optimizer, config.compile.loss)
    start, outputs = model.get_weights(), np.asarray(model(images, training=True))
    model.train_on_batch(images, labels)
    return start, outputs, model.get_weights()


@pytest.fixture
def batch(request):
    """Return eight images from 0 to 1 as the network takes them, and one-hot labels."""
    generator = np.random.default_rng(0)
    shape = {"lenet5": (28, 28, 1), "alexnet": (32, 32, 3)}[request.param]
    images = generator.random((8, *shape), dtype="float32")
    return request.param, images, np.eye(10, dtype="float32")[np.arange(8)]


@pytest.mark.parametrize("batch", BATCHES, indirect=True)
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


@pytest.mark.parametrize("batch", BATCHES, indirect=True)
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


@pytest.mark.parametrize("batch", ["lenet5"], indirect=True)
def test_jax_does_the_same_arithmetic(batch):
    """Same outputs from the same weights, same weights after a step."""
    jax = pytest.importorskip("jax")
    from benchmarks.compare import jax_scan

    _, images, labels = batch
    start, outputs, after = step_of_ours("lenet5", images, labels)

    def pairs(arrays):
        flat = [each.reshape(-1, each.shape[-1]) if each.ndim > 1 else each for each in arrays]
        return [tuple(map(jax.numpy.asarray, flat[i : i + 2])) for i in range(0, len(flat), 2)]

    weights = pairs(start)
    probabilities = jax.nn.softmax(jax_scan.scores_of(weights, images))
    np.testing.assert_allclose(probabilities, outputs, atol=1e-6)
    zeros = jax.tree.map(jax.numpy.zeros_like, weights)
    state, _ = jax_scan.step((weights, zeros, zeros), (images, labels.argmax(1)))
    for own, ours in zip(jax.tree.leaves(state[0]), jax.tree.leaves(pairs(after)), strict=True):
        np.testing.assert_allclose(own, ours, atol=1e-5)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("batch", ["lenet5"], indirect=True)
def test_compiled_pytorch_does_the_same_arithmetic(batch):
    """Same weights after a step."""
    torch = pytest.importorskip("torch")
    from benchmarks import networks_pytorch as networks
    from benchmarks.compare import pytorch_loop

    _, images, labels = batch
    start, _, after = step_of_ours("lenet5", images, labels)
    plain, expected = networks.lenet5(), networks.lenet5()
    networks.copy_from_keras(plain, start)
    networks.copy_from_keras(expected, after)
    model, optimizer = pytorch_loop.contestant(plain, {"compiled": True})
    x = pytorch_loop.laid_out(torch.tensor(images).permute(0, 3, 1, 2), {"compiled": True})
    pytorch_loop.train(model, optimizer, (x, torch.tensor(labels.argmax(1))), 8)
    for own, ours in zip(plain.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(own.detach(), ours.detach(), atol=1e-5)


def test_networks_of_the_gpu_script_are_ours():
    """Their parameters, in plain PyTorch."""
    pytest.importorskip("torch")
    from benchmarks import networks_pytorch as networks

    for name in ("alexnet_cifar10", "alexnet_owt", "alexnet_2012"):
        wanted = modelzoo.load_config(name).about.parameters
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
        "cold-start-lenet5-0.9871",
        "cold-start-lenet5-0.99",
        "cold-start-alexnet",
    ]
    for work in (*WORKS, LEARNING):
        assert set(work.quick) <= set(work.settings)
        for contestant in work.contestants:
            assert contestant.name in SHOWN
            assert bool(contestant.command) != bool(contestant.module)
            if contestant.module in ("keras_script", "ours"):
                module = __import__(f"benchmarks.compare.{contestant.module}", fromlist=["x"])
                assert callable(child.find(module, work.function)), (work.name, contestant.name)


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
    held = b"x" * 100_000_000
    assert len(held) < memory_peak() < 100e9
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


def measured(unit_samples: dict[str, list[float]], **facts):
    """Return a work's results, one round."""
    contestants = {
        name: {"samples": [samples], "facts": [facts]} for name, samples in unit_samples.items()
    }
    return {"quick": False, "contestants": contestants, "left_out": {"keras-jax": "no jax"}}


REPORT = {
    "machine": {
        "processor": "Abacus",
        "instructions": ["beads"],
        "cores": 2,
        "memory_bytes": 2**34,
        "system": "Linux 6",
        "versions": {"python": "3.11"},
    },
    "works": {
        "lenet5-epoch": measured(
            {"modelzoo": [1.0, 2.0, 3.0], "script": [5.0]}, test_accuracy=0.9871
        ),
        "cold-start-lenet5-0.9871": measured(
            {"modelzoo": [8.0]}, test_accuracy=0.98, extrapolated=True
        ),
        "startup": measured({"list": [0.25]}),
    },
}


def test_throughput_is_compared_with_plain_pytorch(capsys, monkeypatch, tmp_path):
    """Medians and their ratio, of the same network in the same precision."""
    case = {"model": "lenet5", "precision": "tf32", "batch": 8, "device_name": "Abacus"}
    gpu_throughput._print(
        [
            {**case, "framework": "jax", "samples": [100.0, 300.0]},
            {**case, "framework": "pytorch", "samples": [400.0]},
        ]
    )
    out = capsys.readouterr().out
    assert "0.50 of plain PyTorch" in out and "100 to 300" in out and "device: Abacus" in out
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    name = gpu_throughput._noise_set("lenet5", 24)
    with np.load(tmp_path / f"{name}.npz") as made:
        assert made["x_train"].shape == (24, 28, 28, 1) and len(made["class_names"]) == 10


def test_the_gpu_script_tries_itself_out_on_a_cpu(tmp_path, monkeypatch, capsys):
    """Without a GPU it refuses; with --device cpu it measures."""
    options = ["gpu_throughput", "--framework", "tensorflow", "--model", "lenet5", "--rounds", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr("sys.argv", [*options, "--precision", "tf32"])
    assert gpu_throughput.main() == 2
    assert "no GPU was found" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*options, "--steps", "2", "--batch", "8", "--device", "cpu"])
    assert gpu_throughput.main() == 0
    assert "ours, tensorflow" in capsys.readouterr().out


def test_the_page_says_what_was_measured():
    """Medians, ratios, accuracies, goals, and who was left out; nothing where nothing was done."""
    text = speed_page.page(REPORT, None)
    assert "Machine: Abacus, 2 cores (" in text and "), 16 GiB of memory, Linux 6" in text
    assert "| modelzoo | 2.00 | 1.10 to 2.90 | 3 | 1.00 | 0.9871 |" in text
    assert "| plain Keras script on TensorFlow | 5.00 | 5.00 to 5.00 | 1 | 2.50 | 0.9871 |" in text
    assert "| `modelzoo list` | 0.250 | 0.250 to 0.250 | 1 |\n" in text
    assert "modelzoo (extrapolated)" in text and "0.9871 reached in 0 of 1" in text
    assert "Left out: plain Keras script on JAX (no jax)." in text
    assert "modelzoo is behind in" not in text
    ahead = measured({"modelzoo": [2.0], "pytorch": [1.0]}, test_accuracy=0.13)
    text = speed_page.page({**REPORT, "works": {"alexnet-step": ahead}}, None)
    assert "modelzoo is behind in: AlexNet (the tutorial's), a step (plain PyTorch 0.50)." in text
    assert "| plain PyTorch | 1.00 | 1.00 to 1.00 | 1 | 0.50 |\n" in text  # 0.13 tells nothing
    steps = {"lenet5": {"keras": [4.0, 5.0, 9.0], "shares": [2.5]}, "alexnet": {"keras": [80.0]}}
    changed = speed_page.page(None, None, {"machine": REPORT["machine"], "samples": steps})
    assert "`python -m benchmarks.steps`, on Abacus, 2 cores (" in changed
    assert "| lenet5, 128 | half of the batch on each core | 2.50 | 2.00 |" in changed
    nothing = speed_page.page(None, None)
    assert "Nothing has been measured yet." in nothing and "| modelzoo" not in nothing


def facts(*losses, accuracy):
    """Return the facts of a training."""
    return {"losses": losses, "test_loss": 2.0, "test_accuracy": accuracy, "parameters": 1}


def test_what_training_learns_is_shown_with_its_seeds(tmp_path, monkeypatch, capsys):
    """Mean and range over all seeds that were trained, also when one is added later."""
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    (tmp_path / "cifar10_jpeg75.npz").touch()
    out, trained = tmp_path / "learning.json", []

    def measure(work, contestant, settings):
        assert work is LEARNING and settings["steps"] == 100
        trained.append((contestant.name, settings["seed"]))
        return [0.0], facts(2.3, 1.9 + settings["seed"] / 100, accuracy=0.25)

    monkeypatch.setattr(runner, "measure", measure)
    chosen = ["--contestant", "script", "modelzoo", "--out", str(out)]
    assert learning.main([*chosen, "--seeds", "0", "2"]) == 0
    assert learning.main([*chosen[:2], *chosen[3:], "--seeds", "1"]) == 0
    assert trained == [
        ("script", 0),
        ("script", 2),
        ("modelzoo", 0),
        ("modelzoo", 2),
        ("script", 1),
    ]
    row = "| plain Keras script on TensorFlow | 0, 1, 2 | 1.910 (1.900 to 1.920) | 2.000 | 0.2500 |"
    assert row in capsys.readouterr().out
    text = speed_page.page(None, None, None, speed_page.read(out))
    assert "what the training learns in 600 steps" in text and row in text
    assert (
        "| modelzoo | 0, 2 | 1.910 (1.900 to 1.920) |" in text and "| plain PyTorch |" not in text
    )
    assert "Not trained so far: modelzoo with Keras' own optimizer and layers, " in text


def test_bad_input_of_the_training(tmp_path, monkeypatch, capsys):
    """One message, exit code 2, and the file as it was."""
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    assert learning.main(["--contestant", "skript"]) == 2
    assert "did you mean 'script'" in capsys.readouterr().err
    assert learning.main(["--contestant", "script"]) == 2
    assert "cifar10_jpeg75.npz" in capsys.readouterr().err
    (tmp_path / "cifar10_jpeg75.npz").touch()
    out = tmp_path / "learning.json"
    out.write_text('{"settings": {"steps": 7}}')
    assert learning.main(["--contestant", "script", "--out", str(out)]) == 2
    assert "was measured with other settings" in capsys.readouterr().err
    assert out.read_text() == '{"settings": {"steps": 7}}'


def test_the_faster_training_is_no_worse_one():
    """Of the published trainings: modelzoo's losses are lower than Keras', or their ranges meet."""
    report = speed_page.read(learning.OUT)
    assert report["settings"]["steps"] * report["settings"]["stretches"] == 600
    losses = {name: learning.last_losses(runs) for name, runs in report["contestants"].items()}
    assert all(len(each) >= 2 for each in losses.values())
    assert {"script", "modelzoo", "modelzoo-optimizer"} <= set(losses)
    for name in ("modelzoo", "modelzoo-optimizer"):
        assert min(losses[name]) <= max(losses["script"]), name


def test_contestants_train_with_a_seed(tmp_path, monkeypatch):
    """A loss for each stretch of steps, of the contestants that need nothing but TensorFlow."""
    generator = np.random.default_rng(0)
    arrays = {
        f"{kind}_{split}": values
        for split, count in (("train", 6 * 32), ("test", 20))
        for kind, values in (
            ("x", generator.integers(0, 255, (count, 32, 32, 3), dtype="uint8")),
            ("y", np.arange(count, dtype="uint8") % 10),
        )
    }
    np.savez(tmp_path / "cifar10_jpeg75.npz", **arrays)
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path))
    names, out = ["script", "modelzoo", "modelzoo-keras-step"], tmp_path / "learning.json"
    options = ["--contestant", *names, "--seeds", "3", "--steps", "1", "--out", str(out)]
    assert learning.main(options) == 0
    trained = {name: runs["3"] for name, runs in speed_page.read(out)["contestants"].items()}
    assert list(trained) == names
    assert all(each["parameters"] == 22_590_346 for each in trained.values())
    assert all(len(each["losses"]) == 6 for each in trained.values())
    ours, keras_own = (trained[name]["losses"][:3] for name in names[1:])
    np.testing.assert_allclose(ours, keras_own, rtol=1e-3)  # the same seed, weights and batches


def test_the_page_shows_how_far_from_the_peak_training_is():
    """Operations and bytes of a step, and what was reached, over the machine's peaks."""
    peaks = {"float32": 2e11, "bfloat16": 4e11, "bytes": 2e10}
    own = roofline.costs(modelzoo.load_config("alexnet"))
    assert own["weights"] == 4 * 22_590_346 and own["batch_size"] == 32
    assert own["optimizer"] == pytest.approx(2 * 4 * 22_589_642, abs=100)  # two slots, counters
    assert own["step_bytes"] > 4 * (6 + 2 * 2) * 22_589_642
    reached = roofline._reached(1e11, 1e10, 1.0, peaks)
    assert reached["share_of_operations"] == 0.5 and reached["share_of_bytes"] == 0.5
    report = {"machine": REPORT["machine"], "peaks": peaks, "networks": {"alexnet": own}}
    text = speed_page.page(None, {**report, "reached": {"alexnet": reached}})
    assert "| alexnet | 51.3 | 32 | 4.84 | 90.4 | 181 |" in text
    assert "100.0 GFLOP/s, 50% of the matrix product's" in text


def test_peaks_are_those_of_a_machine():
    """More than a pocket calculator, on arrays of a size that takes no time."""
    pytest.importorskip("tensorflow")
    assert roofline.matrix_product("float32", 2, size=64) > 1e6
    assert roofline.triad(8, 2) > 1e6


def test_what_was_reached_is_read_from_the_comparison(tmp_path, monkeypatch):
    """Ours, not that of --quick, and not of another machine."""
    peaks = {"float32": 1e11, "bfloat16": 1e11, "bytes": 1e10}
    networks = {name: roofline.costs(modelzoo.load_config(name)) for name in NETWORKS}
    work = {**measured({"modelzoo": [50.0]}), "settings": {}}
    path = tmp_path / "speed.json"
    assert roofline.reached_by_training(path, networks, peaks) == {}
    report = {"machine": machine.describe(), "works": {"alexnet-step": work}}
    path.write_text(json.dumps(report))
    found = roofline.reached_by_training(path, networks, peaks)["alexnet"]
    assert found["operations_per_second"] == pytest.approx(
        32 * networks["alexnet"]["training"] / 0.05
    )
    report["works"]["alexnet-step"]["quick"] = True
    path.write_text(json.dumps(report))
    assert roofline.reached_by_training(path, networks, peaks) == {}
    path.write_text(json.dumps({**report, "machine": REPORT["machine"]}))
    with pytest.raises(modelzoo.InputError, match="another machine"):
        roofline.reached_by_training(path, networks, peaks)


def test_the_chart_has_a_panel_for_each_work_that_modelzoo_did(tmp_path):
    """Bars are ratios, and each carries its median."""
    from modelzoo import charts

    chart = speed_chart(REPORT["works"])
    panels = chart.to_dict()["vconcat"]
    assert [panel["title"]["text"] for panel in panels] == [
        "LeNet-5, an epoch of MNIST",
        "LeNet-5, cold start to 0.9871, by different recipes",
    ]
    bars = panels[0]["layer"][0]["data"]["values"]
    assert [(bar["ratio"], bar["text"]) for bar in bars] == [(1.0, "2.00 s"), (2.5, "5.00 s")]
    assert charts.save(chart, tmp_path / "speed.png").stat().st_size > 1000
    assert "Nothing was compared" in json.dumps(speed_chart({}).to_dict())


def test_the_page_is_up_to_date():
    """A figure was changed by hand, or measured without writing the page."""
    written = speed_page.page(*speed_page.results())
    assert speed_page.PAGE.read_text("utf-8") == written, "python -m benchmarks.speed_page"
    assert speed_page.PICTURE.exists() == speed_page.SPEED.exists()


def test_the_page_refuses_what_is_no_result(tmp_path, monkeypatch, capsys):
    """A quick try, and files that are something else."""
    monkeypatch.setattr(speed_page, "SPEED", tmp_path / "speed.json")
    monkeypatch.setattr("sys.argv", ["speed_page", "--check"])
    for content in ("[]", "{", '{"works": {"x": {"quick": true}}}'):
        speed_page.SPEED.write_text(content)
        assert speed_page.main() == 2
        assert str(speed_page.SPEED) in capsys.readouterr().err


def test_a_quick_comparison_runs(tmp_path, monkeypatch, capsys):
    """Two works, in fresh processes, on a small data set."""
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
    out, works = tmp_path / "speed.json", ["lenet5-epoch", "cold-start-lenet5-0.9871"]
    others = ["script-onednn", "pytorch", "keras-jax", "keras-torch"]
    assert main(["--quick", "--work", *works, "--without", *others, "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    epoch, cold = (report["works"][name] for name in works)
    for name in ("modelzoo", "script"):
        measured = epoch["contestants"][name]
        assert len(measured["samples"][0]) == 1
        assert measured["facts"][0]["parameters"] == 44_426
    assert cold["contestants"]["modelzoo"]["facts"][0]["parameters"] == 44_426
    assert len(cold["contestants"]["script"]["facts"][0]["accuracy_by_epoch"]) == 1
    assert "plain Keras script" in capsys.readouterr().out


def test_results_are_written_whole_and_briefly(tmp_path):
    results = {
        "machine": {"cores": 2},
        "samples": [[1.5, 2e-07, -3], [4]],
        "text": "[1, 2]",
        "no": [],
    }
    write_results(tmp_path / "results.json", results)
    text = (tmp_path / "results.json").read_text()
    assert json.loads(text) == results
    assert "[1.5, 2e-07, -3]" in text


def test_each_of_five_digits_gets_a_cell_of_its_own():
    """The paper's demonstration: 20 presentations of each, at random positions (seed 1)."""
    cells = neocognitron_1980.organize(seed=1)

    def answers(kind: str) -> list[np.ndarray]:
        pictures = neocognitron_1980.everywhere(kind)
        return [neocognitron_1980.strongest(cells, each) for each in pictures]

    own = [int(np.bincount(found).argmax()) for found in answers("as learned")]
    assert len(set(own)) == 5

    def share(kind: str) -> float:
        pairs = zip(answers(kind), own, strict=True)
        return float(np.mean([(found == cell).mean() for found, cell in pairs]))

    assert share("as learned") > 0.97  # at all 408 positions; measured: 1.000
    assert share("enlarged") > 0.95  # 0.996
    assert share("widened") > 0.95  # 0.989
    assert share("heightened") > 0.95  # 0.997
    assert share("slanted") > 0.65  # 0.730
    assert share("reduced") > 0.65  # 0.709
    assert share("4 cells turned over") > 0.95  # 0.982
    assert share("8 cells turned over") > 0.85  # 0.895
