"""Files that lie, leave their place or want to run code are refused, quickly and by name."""

import json
import resource
import socket
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from modelzoo import cli
from modelzoo.networks.network import MOST
from modelzoo.support.errors import InputError
from modelzoo.weights.stored import read_stored

SECONDS, MEMORY = 2.0, 200_000_000
SHAPES = {  # of LeNet-5
    "conv2d": [(5, 5, 1, 6), (6,)],
    "conv2d_1": [(5, 5, 6, 16), (16,)],
    "dense": [(256, 120), (120,)],
    "dense_1": [(120, 84), (84,)],
    "dense_2": [(84, 10), (10,)],
}
CONV = "conv2d/conv2d/kernel:0"


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    """Return a layer as `model_config` has it."""
    return {"class_name": kind, "config": {"name": name, **config}}


def lenet_description() -> list[dict[str, Any]]:
    """Return the layers of LeNet-5."""
    return [
        layer("Conv2D", "conv2d", batch_input_shape=[None, 28, 28, 1], filters=6,
              kernel_size=[5, 5], activation="tanh"),
        layer("AveragePooling2D", "pool1", pool_size=[2, 2]),
        layer("Conv2D", "conv2d_1", filters=16, kernel_size=[5, 5], activation="tanh"),
        layer("AveragePooling2D", "pool2", pool_size=[2, 2]),
        layer("Flatten", "flatten"),
        layer("Dense", "dense", units=120, activation="sigmoid"),
        layer("Dense", "dense_1", units=84, activation="sigmoid"),
        layer("Dense", "dense_2", units=10, activation="softmax"),
    ]  # fmt: skip


def describe(file: h5py.File, layers: Any) -> None:
    """Write `model_config`."""
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    file.attrs["model_config"] = json.dumps(config)


def write_right(path: Path) -> h5py.File:
    """Write a legacy whole model without a fault, and return it open."""
    generator = np.random.default_rng(0)
    file = h5py.File(path, "w")
    describe(file, lenet_description())
    root = file.create_group("model_weights")
    root.attrs["layer_names"] = [name.encode() for name in SHAPES]
    root.attrs["keras_version"], root.attrs["backend"] = "2.7.0", "tensorflow"
    for name, shapes in SHAPES.items():
        group = root.create_group(name)
        names = [f"{name}/kernel:0", f"{name}/bias:0"]
        group.attrs["weight_names"] = [each.encode() for each in names]
        for each, shape in zip(names, shapes, strict=True):
            group[each] = generator.normal(0, 0.05, shape).astype("float32")
    return file


# Each makes one fault in a file that is right; `root` is model_weights.


def code_in_a_lambda(file: h5py.File, root: h5py.Group) -> None:
    """A Lambda with marshalled code, as Keras 2 saves it."""
    code = layer("Lambda", "evil", function=["4wEAAAAAAAAAAAAAAAQAAAA=", None, None],
                 function_type="lambda")  # fmt: skip
    describe(file, [*lenet_description(), code])


def lambda_in_a_nested_network(file: h5py.File, root: h5py.Group) -> None:
    """A Lambda one network deeper."""
    inner = {"class_name": "Sequential", "config": {"layers": [layer("Lambda", "evil")]}}
    describe(file, [*lenet_description(), inner])


def unknown_activation(file: h5py.File, root: h5py.Group) -> None:
    """An activation that only its author has."""
    layers = lenet_description()
    layers[0]["config"]["activation"] = {"class_name": "function", "config": "os.system"}
    describe(file, layers)


def external_link(file: h5py.File, root: h5py.Group) -> None:
    """An array that lies in another file."""
    del root[CONV]
    root[CONV] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file: h5py.File, root: h5py.Group) -> None:
    """An array that is a name for another."""
    del root[CONV]
    root[CONV] = h5py.SoftLink("/model_weights/dense/dense/bias:0")


def cyclic_groups(file: h5py.File, root: h5py.Group) -> None:
    """A group that holds the group that holds it."""
    root["conv2d/again"] = root


def virtual_array(file: h5py.File, root: h5py.Group) -> None:
    """An array put together from other files."""
    layout = h5py.VirtualLayout((5, 5, 1, 6), "float32")
    layout[...] = h5py.VirtualSource("other.h5", "x", (5, 5, 1, 6))
    del root[CONV]
    root.create_virtual_dataset(CONV, layout)


def external_storage(file: h5py.File, root: h5py.Group) -> None:
    """An array whose numbers are the bytes of another file."""
    del root[CONV]
    root.create_dataset(
        CONV, (5, 5, 1, 6), "float32", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def a_terabyte(file: h5py.File, root: h5py.Group) -> None:
    """A shape of 1 TB that takes no bytes."""
    del root["dense/dense/kernel:0"]
    root.create_dataset("dense/dense/kernel:0", (256, 1_000_000_000), "float32")


def a_terabyte_in_chunks(file: h5py.File, root: h5py.Group) -> None:
    """The same, stored in compressed parts that were never written."""
    del root["dense/dense/kernel:0"]
    root.create_dataset(
        "dense/dense/kernel:0", (256, 1_000_000_000), "float32", chunks=(16, 1024), compression=1
    )


def missing_chunks(file: h5py.File, root: h5py.Group) -> None:
    """Parts of an array that were never written."""
    del root["dense/dense/kernel:0"]
    made = root.create_dataset("dense/dense/kernel:0", (256, 120), "float32", chunks=(64, 120))
    made[:64] = 1


def gzip_bomb(file: h5py.File, root: h5py.Group) -> None:
    """A part that inflates to 300 MB, not to its size."""
    del root["dense/dense/kernel:0"]
    made = root.create_dataset(
        "dense/dense/kernel:0", (256, 120), "float32", chunks=(256, 120), compression=9
    )
    packer = zlib.compressobj(9)
    block = bytes(1_000_000)
    packed = b"".join(packer.compress(block) for _ in range(300)) + packer.flush()
    made.id.write_direct_chunk((0, 0), packed[:120_000])


def other_shape(file: h5py.File, root: h5py.Group) -> None:
    """An array of another shape than its layer."""
    del root["dense/dense/kernel:0"]
    root["dense/dense/kernel:0"] = np.zeros((257, 120), "float32")


def wrong_type(file: h5py.File, root: h5py.Group) -> None:
    """Whole numbers for weights."""
    del root[CONV]
    root[CONV] = np.zeros((5, 5, 1, 6), "int64")


def compound_type(file: h5py.File, root: h5py.Group) -> None:
    """Records for numbers."""
    del root[CONV]
    root[CONV] = np.zeros((5, 5, 1, 6), [("a", "f4"), ("b", "i4")])


def object_references(file: h5py.File, root: h5py.Group) -> None:
    """Pointers for numbers."""
    del root[CONV]
    root.create_dataset(CONV, (5, 5, 1, 6), h5py.ref_dtype)


def not_a_number(file: h5py.File, root: h5py.Group) -> None:
    """NaN and infinity among the weights."""
    root[CONV][0, 0, 0, :2] = np.nan, np.inf


def unknown_filter(file: h5py.File, root: h5py.Group) -> None:
    """A filter that HDF5 would look for in a plugin."""
    del root[CONV]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((5, 5, 1, 6))
    plist.set_filter(32_000 + 15, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((5, 5, 1, 6))
    kind = h5py.h5t.NATIVE_FLOAT
    h5py.h5d.create(root["conv2d/conv2d"].id, b"kernel:0", kind, space, plist)


def deep_groups(file: h5py.File, root: h5py.Group) -> None:
    """Groups in groups, 2,000 deep."""
    group = root
    for _ in range(2_000):
        group = group.create_group("a")


def many_groups(file: h5py.File, root: h5py.Group) -> None:
    """A hundred thousand groups."""
    for number in range(100_000):
        h5py.h5g.create(root.id, b"%d" % number)


def huge_attribute(file: h5py.File, root: h5py.Group) -> None:
    """A description of 60 MB."""
    file.attrs["model_config"] = "x" * 60_000_000


def repeated_text(file: h5py.File, root: h5py.Group) -> None:
    """A name of 8 MB, 22 times."""
    del root.attrs["layer_names"]
    names = np.array(["x" * 8_000_000] * 22, dtype=object)
    root.attrs.create("layer_names", names, dtype=h5py.string_dtype())


def no_json(file: h5py.File, root: h5py.Group) -> None:
    """A description that is a pickle."""
    file.attrs["model_config"] = "cos\nsystem\n(S'touch ran'\ntR."


def unclosed_text(file: h5py.File, root: h5py.Group) -> None:
    """A text of escaped quotes without an end: looking for that from each of them takes hours."""
    file.attrs["model_config"] = '"' + '\\"' * 2_000_000


def deep_json(file: h5py.File, root: h5py.Group) -> None:
    """A description nested 100,000 deep."""
    file.attrs["model_config"] = '{"class_name": ' + "[" * 100_000 + "]" * 100_000 + "}"


def long_number(file: h5py.File, root: h5py.Group) -> None:
    """A number of a million digits."""
    layers = json.dumps(lenet_description()).replace("[5, 5]", f"[{'9' * 1_000_000}, 5]")
    text = f'{{"class_name": "Sequential", "config": {{"layers": {layers}}}}}'
    file.attrs["model_config"] = text


def absurd_units(file: h5py.File, root: h5py.Group) -> None:
    """A description that claims 10**15 units."""
    layers = lenet_description()
    layers[5]["config"]["units"] = 10**15
    describe(file, layers)


def number_for_text(file: h5py.File, root: h5py.Group) -> None:
    """A description that is a number."""
    file.attrs["model_config"] = 3.14


def description_of_another_kind(file: h5py.File, root: h5py.Group) -> None:
    """Layers that are no layers."""
    describe(file, [1, None, "Dense", {"class_name": ["Dense"]}])


def name_that_points_nowhere(file: h5py.File, root: h5py.Group) -> None:
    """A weight that is not there."""
    root["conv2d"].attrs["weight_names"] = [b"conv2d/kernel:0", b"conv2d/no:0"]


def name_that_points_up(file: h5py.File, root: h5py.Group) -> None:
    """A weight outside its layer."""
    root["conv2d"].attrs["weight_names"] = [b"../dense/dense/kernel:0", b"conv2d/bias:0"]


def layer_that_points_nowhere(file: h5py.File, root: h5py.Group) -> None:
    """A layer that is not there."""
    root.attrs["layer_names"] = [b"conv2d", b"conv2d_7", b"dense", b"dense_1", b"dense_2"]


def name_given_twice(file: h5py.File, root: h5py.Group) -> None:
    """One array for two weights."""
    root["conv2d"].attrs["weight_names"] = [b"conv2d/bias:0", b"conv2d/bias:0"]


def array_left_over(file: h5py.File, root: h5py.Group) -> None:
    """An array of no layer."""
    root["conv2d/conv2d/more:0"] = np.zeros(3, "float32")


def layer_left_out(file: h5py.File, root: h5py.Group) -> None:
    """A description with a layer less than the file holds."""
    describe(file, [each for each in lenet_description() if each["config"]["name"] != "dense_1"])


def escape_sequences(file: h5py.File, root: h5py.Group) -> None:
    """A layer whose name commands the terminal."""
    describe(file, [*lenet_description(), layer("Lambda", "\x1b]0;owned\x07\n\n\n\n\n\n\nok")])


def named_type(file: h5py.File, root: h5py.Group) -> None:
    """A type among the groups."""
    root["conv2d/kind"] = np.dtype("f8")


def no_layers(file: h5py.File, root: h5py.Group) -> None:
    """No names at all."""
    del root.attrs["layer_names"]


FAULTS: dict[Callable[[h5py.File, h5py.Group], None], tuple[str, ...]] = {
    code_in_a_lambda: ("'evil'", "Lambda", "code"),
    lambda_in_a_nested_network: ("'evil'", "Lambda"),
    unknown_activation: ("os.system",),
    external_link: ("link to another file", "kernel:0"),
    soft_link: ("soft link", "kernel:0"),
    cyclic_groups: ("circle",),
    virtual_array: ("virtual",),
    external_storage: ("another file",),
    a_terabyte: ("256x1000000000", "0 bytes"),
    a_terabyte_in_chunks: ("256x1000000000",),
    missing_chunks: ("dense/dense/kernel:0",),
    gzip_bomb: ("inflate",),
    other_shape: ("dense", "257"),
    wrong_type: ("int64", "float32"),
    compound_type: ("compound",),
    object_references: ("references",),
    not_a_number: ("NaN or infinite", "2 of 150"),
    unknown_filter: ("filter 32015",),
    deep_groups: ("deep",),
    many_groups: ("5,000",),
    huge_attribute: ("too large",),
    repeated_text: ("layer_names", "too large"),
    no_json: ("model_config", "JSON"),
    unclosed_text: ("model_config", "JSON"),
    deep_json: ("model_config", "deep"),
    long_number: ("model_config",),
    absurd_units: ("dense", "units"),
    number_for_text: ("model_config", "text"),
    description_of_another_kind: ("model_config",),
    name_that_points_nowhere: ("no:0", "does not hold"),
    name_that_points_up: ("../dense",),
    layer_that_points_nowhere: ("conv2d_7",),
    name_given_twice: ("bias:0", "twice"),
    array_left_over: ("more:0",),
    layer_left_out: ("4 layers", "5"),
    escape_sequences: ("Lambda",),
    named_type: ("kind",),
    no_layers: ("layout",),
}
CONTENTS: dict[str, tuple[bytes, str]] = {
    "html": (b"<!DOCTYPE html><html>Quota exceeded</html>", "web page"),
    "zip": (b"PK\x03\x04" + bytes(100), "zip"),
    "pickle": (b"\x80\x04cos\nsystem\n(S'touch ran'\ntR.", "pickle"),
    "empty": (b"", "empty"),
    "text": (b"weights, honestly", "not an HDF5 file"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "gzip"),
    "signature-only": (b"\x89HDF\r\n\x1a\n", "damaged"),
    "noise": (b"\x89HDF\r\n\x1a\n" + np.random.default_rng(0).bytes(5000), ""),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection fails the test."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module", autouse=True)
def started() -> None:
    """Start the framework, whose memory and seconds are no file's fault."""
    from modelzoo.api import build
    from modelzoo.training.device import start_framework

    start_framework("tensorflow", "cpu")
    build("lenet5")


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Return a function that runs a command and checks how it is refused."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*command: str) -> str:
        capfd.readouterr()
        memory = _peak_memory()
        code = cli.main(list(command))
        used = _peak_memory() - memory
        out, err = capfd.readouterr()
        assert code == 2, (code, out, err)
        assert out == ""
        assert 1 <= len(err.splitlines()) <= 5, err
        assert "\x1b" not in err
        assert "bug" not in err
        assert used < MEMORY, used
        assert list(Path.cwd().iterdir()) == []
        return err

    yield run


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def test_the_file_without_a_fault_is_read(tmp_path: Path) -> None:
    """What the others are made from is right."""
    with write_right(tmp_path / "right.h5"):
        pass
    layers = read_stored(tmp_path / "right.h5").layers
    assert {layer.name: layer.shapes for layer in layers} == SHAPES
    assert cli.main(["import", str(tmp_path / "right.h5"), "--out", str(tmp_path)]) == 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_hostile_file_is_not_imported(
    fault: Callable[[h5py.File, h5py.Group], None], tmp_path: Path, refused: Callable[..., str]
) -> None:
    """Exit code 2, one message that names the fault, no file, no network, little memory."""
    path = tmp_path / "hostile.h5"
    with write_right(path) as file:
        fault(file, file["model_weights"])
    err = refused("import", str(path))
    assert all(word in err for word in ("hostile.h5", *FAULTS[fault])), err


def test_more_numbers_than_a_network_has_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressed, a small file holds gigabytes."""
    with write_right(tmp_path / "right.h5"):
        pass
    monkeypatch.setitem(MOST, "parameters", 1000)
    with pytest.raises(InputError, match="more than 1,000 numbers"):
        read_stored(tmp_path / "right.h5")


@pytest.mark.parametrize("fault", [external_link, gzip_bomb, not_a_number, array_left_over])
def test_a_hostile_file_is_not_loaded(
    fault: Callable[[h5py.File, h5py.Group], None], tmp_path: Path, refused: Callable[..., str]
) -> None:
    """The reader is that of the importer, also for weights of a network of ours."""
    path = tmp_path / "hostile.h5"
    with write_right(path) as file:
        fault(file, file["model_weights"])
    err = refused("predict", "--model", "lenet5", "--weights", str(path), str(_picture(tmp_path)))
    assert all(word in err for word in FAULTS[fault]), err


def _picture(folder: Path) -> Path:
    from PIL import Image

    Image.new("L", (28, 28), 255).save(folder / "digit.png")
    return folder / "digit.png"


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("command", ["import", "evaluate --model lenet5 --weights"])
def test_what_is_no_hdf5_is_named(
    kind: str, command: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    """Said to be what it is."""
    content, word = CONTENTS[kind]
    path = tmp_path / "download.h5"
    path.write_bytes(content)
    err = refused(*command.split(), str(path))
    assert "download.h5" in err
    assert word in err
    assert not (tmp_path / "work" / "ran").exists()


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_said_to_be_cut_off(
    share: float, tmp_path: Path, refused: Callable[..., str]
) -> None:
    """A download that ended early."""
    path = tmp_path / "cut.h5"
    with write_right(path):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "cut.h5" in refused("import", str(path))
