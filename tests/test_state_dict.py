"""PyTorch's state dicts: the same network answers the same, and a hostile file runs nothing."""

import contextlib
import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from torch_files import state_dict_text, tensor_text, text

import modelzoo
from modelzoo import cli
from modelzoo.config import load_config
from modelzoo.support.files import sha256_of
from modelzoo.weights.state_dict import STATE_KEYS, open_state_dict

TORCHVISION = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
SMALL = {"conv_maps": [8, 12, 16, 12, 10], "dense_units": [24, 20]}
CLASSES = 7


@pytest.fixture(autouse=True)
def here(home, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELZOO_DATA", str(tmp_path / "data"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def make_torch_alexnet(maps: list[int], units: list[int], classes: int) -> Any:
    """The modules of torchvision.models.alexnet, with random weights that keep signals alive."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    a, b, c, d, e = maps
    features = nn.Sequential(
        nn.Conv2d(3, a, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(b, c, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
        nn.Conv2d(d, e, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(36 * e, units[0]), nn.ReLU(),
        nn.Dropout(), nn.Linear(units[0], units[1]), nn.ReLU(),
        nn.Linear(units[1], classes),
    )  # fmt: skip
    parts = {"features": features, "avgpool": nn.AdaptiveAvgPool2d((6, 6))}
    parts |= {"flatten": nn.Flatten(), "classifier": classifier}
    network = nn.Sequential(OrderedDict(parts))
    for weight in network.parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        else:
            nn.init.normal_(weight, 0, 0.1)
    return network.eval()


@pytest.fixture
def small_model():
    """The configuration of alexnet_owt with the sizes of that file."""
    path = Path("small_owt.yaml")
    path.write_text(yaml.safe_dump({"base": "alexnet_owt", "model": SMALL}))
    return path


def run(*command: str) -> tuple[int, dict[str, Any], str]:
    """Run a command; return its exit code, its JSON, and its errors."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(list(command))
    return code, json.loads(out.getvalue() or "{}"), err.getvalue()


# The same network


def assert_same(torch_network: Any, ours: Any, count: int) -> None:
    """Compare probabilities, logits, and gradients by the images, which meet every weight."""
    import tensorflow as tf
    import torch

    images = np.random.default_rng(1).normal(size=(count, 224, 224, 3)).astype("float32")
    upstream = np.random.default_rng(2).normal(size=ours.output_shape[1:]).astype("float32")
    theirs = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    logits = torch_network(theirs)
    probabilities = torch.softmax(logits, dim=1)
    (probabilities * torch.tensor(upstream)).sum().backward()
    with tf.GradientTape() as tape:
        pictures = tf.constant(images)
        tape.watch(pictures)
        found = ours(pictures, training=False)
        loss = tf.reduce_sum(found * upstream)
    assert logits.std() > 0.5  # or a mistake would drown in equal probabilities
    np.testing.assert_allclose(found, probabilities.detach(), atol=1e-4)
    expected = torch.log_softmax(logits, dim=1).detach().numpy()
    np.testing.assert_allclose(np.log(np.asarray(found)), expected, atol=1e-3)
    by_theirs = theirs.grad.numpy().transpose(0, 2, 3, 1)
    by_ours = tape.gradient(loss, pictures)
    np.testing.assert_allclose(by_ours, by_theirs, atol=1e-4 * np.abs(by_theirs).max())


def test_an_imported_network_answers_as_in_pytorch(small_model):
    torch = pytest.importorskip("torch")
    network = make_torch_alexnet(*SMALL.values(), CLASSES)
    torch.save(network.state_dict(), "small.pth")
    command = ["import", "small.pth", "--model", str(small_model), "--json"]
    code, found, err = run(*command, "--out", "out")
    assert code == 0, err
    assert (found["layout"], found["name"]) == ("PyTorch state dict", "small")
    config = load_config(found["config"])
    assert config.model.num_classes == CLASSES and config.weights == []
    imported = modelzoo.load(found["config"], found["weights"])
    assert_same(network, imported, 16)
    direct = modelzoo.load(config, weights="small.pth")
    assert all(map(np.array_equal, direct.get_weights(), imported.get_weights()))
    # An import replaces its own outcome, and nothing else.
    assert run(*command, "--out", "out")[0] == 0
    Path("out/small.yaml").write_text("base: lenet5\n")
    code, _, err = run(*command, "--out", "out")
    assert code == 2 and "already exists" in err


@pytest.mark.slow
def test_torchvision_s_alexnet_in_full():
    torch = pytest.importorskip("torch")
    network = make_torch_alexnet([64, 192, 384, 256, 256], [4096, 4096], 1000)
    assert sum(weight.numel() for weight in network.parameters()) == 61_100_840
    torch.save(network.state_dict(), "alexnet-owt-7be5be79.pth")
    code, found, err = run("import", "alexnet-owt-7be5be79.pth", "--json")
    assert code == 0, err
    assert (found["parameters"], found["equals"]) == (61_100_840, "alexnet_owt")
    assert_same(network, modelzoo.load(found["config"], found["weights"]), 16)


@pytest.mark.parametrize("kind", ["float16", "float64", "channels_last", "parameter", "views"])
def test_the_forms_of_a_tensor(kind):
    torch = pytest.importorskip("torch")
    numbers = torch.arange(2 * 3 * 5 * 4, dtype=torch.float32).reshape(2, 3, 5, 4)
    tensor = {
        "float16": lambda: numbers.half(),
        "float64": lambda: numbers.double(),
        "channels_last": lambda: numbers.contiguous(memory_format=torch.channels_last),
        "parameter": lambda: torch.nn.Parameter(numbers),
        "views": lambda: torch.cat([numbers, numbers * 2])[1:3, :, ::2],
    }[kind]()
    torch.save({"a.weight": tensor, "a.bias": torch.ones(2)}, "a.pth")
    with open_state_dict(Path("a.pth")) as state:
        array = state.read("a.weight")
        assert array.dtype == np.float32 and np.array_equal(array, tensor.detach().float().numpy())
        assert np.array_equal(state.read("a.bias"), [1, 1])


def test_a_layer_without_a_bias_is_filled():
    """The dense kernel runs pixel by pixel here, channel by channel in the file."""
    import keras

    from modelzoo.weights.reader import load_weights

    make = keras.layers
    network = keras.Sequential(
        [keras.Input((4, 4, 1)), make.Conv2D(2, 3, use_bias=False), make.Flatten(), make.Dense(3)]
    )
    path = write(Path("a.pth"), {"0.weight": (2, 1, 3, 3), "2.weight": (3, 8), "2.bias": (3,)})
    assert load_weights(network, path) is None
    with open_state_dict(path) as state:
        conv, dense, bias = (state.read(name) for name in state.tensors)
    dense = dense.reshape(3, 2, 2, 2).transpose(2, 3, 1, 0).reshape(8, 3)
    wanted = [conv.transpose(2, 3, 1, 0), dense, bias]
    assert all(map(np.array_equal, network.get_weights(), wanted))


# Refused. The files are written by hand, so that no PyTorch is needed to refuse them.


class Code:
    """What a hostile file holds: unpickled, it would run a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)


def checkpoint_text(shapes: dict[str, tuple[int, ...]], key: str) -> bytes:
    """Return a checkpoint as training loops save it: the weights amid what else they keep."""
    group = {
        "lr": 0.001,
        "betas": (0.9, 0.999),
        "amsgrad": False,
        "foreach": None,
        "params": [0, 1],
    }
    state = {0: {"step": 7, "history": [[1, 2.5], []]}}
    parts = [
        text("epoch") + pickled(12)[2:-1],
        text("optimizer_state_dict") + pickled({"state": state, "param_groups": [group]})[2:-1],
        tensor_text("steps", (), 1, kind="Long"),
        text("moments") + b"}(" + tensor_text("m", (3,), 3) + b"u",
        text(key) + state_dict_text(shapes),
        text("losses") + pickled([0.5, 0.25])[2:-1],
    ]
    return b"\x80\x02}(" + b"".join(parts) + b"u."


def write(
    path: Path,
    shapes: dict[str, tuple[int, ...]] | None = None,
    *,
    content: bytes | None = None,
    entries: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
    scale: float = 0.1,
) -> Path:
    """Write a state dict of these shapes, with instructions or entries that it must not have."""
    generator = np.random.default_rng(0)
    shapes = WEIGHTS if shapes is None else shapes
    described = b"\x80\x02" + state_dict_text(shapes) + b"."
    found = {"a/data.pkl": described if content is None else content, "a/byteorder": b"little"}
    for name, shape in shapes.items():
        numbers = generator.normal(size=shape) * scale
        found[f"a/data/{name}"] = numbers.astype("<f4").tobytes()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in (found | (entries or {})).items():
            archive.writestr(name, value)
    return path


# LeNet-5 of configs/lenet5.yaml, as PyTorch would save it.
WEIGHTS: dict[str, tuple[int, ...]] = {
    "0.weight": (6, 1, 5, 5), "0.bias": (6,), "3.weight": (16, 6, 5, 5), "3.bias": (16,),
    "7.weight": (120, 256), "7.bias": (120,), "9.weight": (84, 120), "9.bias": (84,),
    "11.weight": (10, 84), "11.bias": (10,),
}  # fmt: skip


def without(*names: str) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in WEIGHTS.items() if name not in names}


def one_tensor(*arguments: Any) -> bytes:
    return b"\x80\x02}" + tensor_text("0.weight", *arguments) + b"s."


def truncated(path: Path) -> None:
    content = write(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(path: Path) -> None:
    content = bytearray(write(path).read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


BESIDE = b"\x80\x02}(" + text("state_dict") + state_dict_text(WEIGHTS) + text("args")
BESIDE += b"cposix\nsystem\n" + text("touch ran") + b"\x85Ru."

# What `write` is given in place of what is right, and the words of the message.
GIVEN: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "os.system": ({"content": pickled({"0.weight": Code()})}, ("system", "never run")),
    "os.system in place of a tensor": (
        {"content": b"\x80\x02cposix\nsystem\nX\t\x00\x00\x00touch ran\x85R."},
        ("posix.system", "never run"),
    ),
    "a whole model": (
        {"content": b"\x80\x02c__main__\nAlexNet\n)\x81."},
        ("__main__.AlexNet", "state_dict()"),
    ),
    "an object": ({"content": b"\x80\x02ccollections\nOrderedDict\n)\x81."}, ("NEWOBJ",)),
    "by extension": ({"content": b"\x80\x02\x82\x01."}, ("EXT1",)),
    "protocol 4": ({"content": pickle.dumps({}, 4)}, ("no state dict",)),
    "a list": ({"content": pickled([1])}, ("no state dict",)),
    "nothing": ({"content": pickled({})}, ("no state dict",)),
    "a checkpoint": ({"content": pickled({"epoch": 3})}, ("'epoch'", "tensor")),
    "no end": ({"content": b"\x80\x02}"}, ("damaged",)),
    "no stack": ({"content": b"\x80\x02R."}, ("data.pkl", "damaged")),
    "key twice": ({"content": b"\x80\x02}(X\x01\x00\x00\x00aNX\x01\x00\x00\x00aNu."}, ("twice",)),
    "integers": (
        {"content": b"\x80\x02}" + tensor_text("0.weight", (2,), 2, kind="Long") + b"s."},
        ("'0.weight'", "torch.LongStorage", "float32"),
    ),
    "code beside the weights": ({"content": BESIDE}, ("posix.system", "never run")),
    "numbers missing": (
        {"content": one_tensor((6, 1, 5, 6), 180)},
        ("0.weight", "180 numbers", "600 bytes"),
    ),
    "too large": ({"content": one_tensor((2**39,), 150)}, ("larger than its numbers",)),
    "repeated": ({"content": one_tensor((2**39,), 150, (0,))}, ("larger than its numbers",)),
    "beyond": ({"content": one_tensor((2, 2), 150, (149, 1))}, ("larger than its numbers",)),
    "backwards": ({"content": one_tensor((6,), 150, (-1,))}, ("unknown way",)),
    "no numbers": ({"content": one_tensor((0, 3), 150)}, ("empty",)),
    "compressed": ({"compression": zipfile.ZIP_DEFLATED}, ("compressed",)),
    "long description": (
        {"content": b"\x80\x02" + b"0" * 5_000_000},
        ("data.pkl", "5,000,002 bytes"),
    ),
    "two folders": ({"entries": {"b/data.pkl": b""}}, ("PyTorch has saved",)),
    "other byte order": ({"entries": {"a/byteorder": b"big"}}, ("byteorder",)),
    "nan": ({"scale": np.nan}, ("0.weight", "150 of 150", "NaN")),
    "batch normalisation": ({"shapes": WEIGHTS | {"1.running_mean": (6,)}}, ("'1.running_mean'",)),
    "key missing": ({"shapes": without("9.bias")}, ("F6 takes 120x84, 84; '9' holds 120x84",)),
    "layer missing": (
        {"shapes": without("9.weight", "9.bias")},
        ("F6 takes 120x84, 84; '11' holds 84x10, 10",),
    ),
    "layer too many": (
        {"shapes": WEIGHTS | {"13.weight": (10, 10), "13.bias": (10,)}},
        ("no place for it; '13' holds 10x10, 10",),
    ),
    "other shape": (
        {"shapes": WEIGHTS | {"3.weight": (16, 6, 3, 3)}},
        ("C3 takes 5x5x6x16, 16; '3' holds 3x3x6x16, 16",),
    ),
}
FAULTS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    **{name: (partial(write, **given), words) for name, (given, words) in GIVEN.items()},
    "cut off": (truncated, ("damaged",)),
    "a bit flipped": (flipped, ("damaged",)),
    "pickle of PyTorch before 1.6": (
        lambda path: path.write_bytes(pickled(0x1950A86A20F9469CFC6C)),
        ("Python pickle, which is never opened", "weights_only=True"),
    ),
    "HDF5": (
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)),
        ("is not a state dict",),
    ),
    "missing": (lambda path: None, ("cannot be read",)),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda name: name.replace(" ", "-"))
def test_a_hostile_or_broken_file_is_refused(fault):
    make, words = FAULTS[fault]
    path = Path("hostile.pth")
    make(path)
    for command in (
        ["import", str(path), "--model", "lenet5", "--json", "--out", "out"],
        ["evaluate", "--model", "lenet5", "--weights", str(path), "--dataset", "digits"],
    ):
        code, found, err = run(*command)
        assert (code, found) == (2, {}), err
        assert "Traceback" not in err and "This is a bug" not in err
        assert len(err.splitlines()) <= 5, err
        for word in words:
            assert word in err, err
    assert not Path("ran").exists()
    assert not Path("out").exists()


def test_the_files_that_are_spoiled_above_are_right_ones():
    path = write(Path("right.pth"))
    assert run("import", str(path), "--model", "lenet5", "--json", "--out", "out")[0] == 0
    with open_state_dict(path) as state:
        assert {name: tensor.shape for name, tensor in state.tensors.items()} == WEIGHTS


@pytest.mark.parametrize("key", STATE_KEYS)
def test_a_checkpoint_is_read(key):
    prefix = "module." if key == "net" else ""
    shapes = {f"{prefix}{name}": shape for name, shape in WEIGHTS.items()}
    path = write(Path("checkpoint.pth"), shapes, content=checkpoint_text(shapes, key))
    plain = write(Path("plain.pth"), shapes)
    with open_state_dict(path) as state, open_state_dict(plain) as expected:
        assert {name: tensor.shape for name, tensor in state.tensors.items()} == shapes
        assert all(np.array_equal(state.read(name), expected.read(name)) for name in shapes)
    network, wanted = modelzoo.load("lenet5", weights=path), modelzoo.load("lenet5", weights=plain)
    assert all(map(np.array_equal, network.get_weights(), wanted.get_weights()))


def test_a_checkpoint_of_pytorch_is_read():
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(2, 3)
    )
    network = torch.nn.DataParallel(network)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 1, 3, 3)).sum().backward()
    optimizer.step()
    content = {"epoch": 1, "optimizer_state_dict": optimizer.state_dict(), "loss": 0.5}
    torch.save(content | {"model_state_dict": network.state_dict()}, "checkpoint.pth")
    with open_state_dict(Path("checkpoint.pth")) as state:
        assert list(state.tensors) == list(network.state_dict())
        for name, tensor in network.state_dict().items():
            assert np.array_equal(state.read(name), tensor.numpy())


def test_a_file_of_no_packaged_network_is_refused():
    code, _, err = run("import", str(write(Path("lenet.pth"))), "--json", "--out", "out")
    assert code == 2
    assert "does not say its activations, padding and pooling" in err and "--dataset NAME" in err
    assert "--model NAME" in err


# The registry


def test_the_registry_has_torchvision_s_file():
    (entry,) = load_config("alexnet_owt").weights
    assert (entry.name, entry.format, entry.sources) == ("imagenet", "torch", [TORCHVISION])
    published_digits = TORCHVISION.rpartition("-")[2].removesuffix(".pth")
    assert entry.sha256 is not None and entry.sha256.startswith(published_digits)
    assert entry.bytes == 244_408_911 > 4 * 61_100_840
    assert (entry.scores.accuracy, entry.scores.top5_accuracy) == (0.56522, 0.79066)
    assert entry.file_of("alexnet_owt").file == "alexnet_owt/imagenet-7be5be79.pth"


def test_it_is_pulled_verified_and_loaded(home):
    file = write(Path("own.pth"))
    digest, size = sha256_of(file), file.stat().st_size
    entry = {"name": "net", "format": "torch", "sources": ["file:own.pth"], "sha256": digest}
    entry |= {"bytes": size, "scores": {"dataset": "mnist", "accuracy": 0.1}}
    entry |= {"recipe": "none", "licence": "none"}
    Path("own.yaml").write_text(yaml.safe_dump({"base": "lenet5", "weights": [entry]}))
    code, found, err = run("pull", "own.yaml", "--json")
    assert code == 0, err
    (row,) = found["files"]
    path = home / "weights" / "own" / f"net-{digest[:8]}.pth"
    assert (row["path"], row["sha256"], row["verified"]) == (str(path), digest, True)
    network, expected = modelzoo.load("own.yaml"), modelzoo.load("lenet5", weights=file)
    assert all(map(np.array_equal, network.get_weights(), expected.get_weights()))
    assert run("verify", "own.yaml", "--json")[1]["wrong"] == 0
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert run("verify", "own.yaml", "--json")[0] == 1
    assert [row["wrong"] for row in run("verify", "--json")[1]["files"] if "own" in row["path"]]
