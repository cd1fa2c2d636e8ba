"""The published weights: what an entry must say, the commands, and whether the promise holds."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

import modelzoo
from modelzoo import cli
from modelzoo.config import list_models, load_config
from modelzoo.config.published import parse_source
from modelzoo.support.errors import InputError, RunError
from modelzoo.support.files import record_path, sha256_of, state_of
from modelzoo.training.engine import KerasEngine, check_golden, golden_images, make_golden
from modelzoo.training.resolve import resolve
from modelzoo.weights import store

with h5py.File(memory := io.BytesIO(), "w") as written:
    written["x"] = np.arange(100.0)
DATA = memory.getvalue()
SHA256 = hashlib.sha256(DATA).hexdigest()
ENTRY: dict[str, Any] = {
    "name": "own",
    "sources": ["file:own.weights.h5"],
    "sha256": SHA256,
    "bytes": len(DATA),
    "scores": {"dataset": "bars", "split": "test", "accuracy": 0.5, "loss": 1.5},
    "recipe": "not trained",
    "licence": "Apache-2.0",
}
UNVERIFIED = {k: v for k, v in ENTRY.items() if k not in ("sha256", "bytes")} | {"unverified": True}
PUBLISHED = [(model, entry) for model in list_models() for entry in load_config(model).weights]


@pytest.fixture(autouse=True)
def offline(home, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELZOO_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def write_config(entries: list[dict[str, Any]], **sections: Any) -> Path:
    path = Path("own.yaml")
    content = {"base": "lenet5", **sections, "weights": entries}
    path.write_text(yaml.safe_dump(json.loads(json.dumps(content))))  # without aliases
    return path


# Entries

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no hash": ({"sha256": None}, "weights.0: sha256 or bytes is missing"),
    "hash too short": ({"sha256": "00"}, "weights.0.sha256: '00' should be 64 hexadecimal digits"),
    "hash with a line end": ({"sha256": "a" * 64 + "\n"}, "weights.0.sha256"),
    "no bytes": ({"bytes": 0}, "weights.0.bytes"),
    "unknown key": ({"sha265": "0"}, "unknown key weights.0.sha265; did you mean 'sha256'?"),
    "accuracy in percent": ({"scores": ENTRY["scores"] | {"accuracy": 99.2}}, "scores.accuracy"),
    "accuracy nan": ({"scores": ENTRY["scores"] | {"accuracy": float("nan")}}, "weights.0"),
    "data set is a path": ({"scores": ENTRY["scores"] | {"dataset": "../x"}}, "scores.dataset"),
    "no scores": ({"scores": None}, "weights.0.scores"),
    "no sources": ({"sources": []}, "weights.0.sources"),
    "http": ({"sources": ["http://weights.example/a"]}, "weights.0: http://weights.ex"),
    "no commit": ({"sources": ["hf://me/zoo@main/x.h5"]}, "weights.0: hf://me/zoo@main/x.h5: name"),
    "name with a path": ({"name": "../x"}, "weights.0.name: '../x' should be letters, digits"),
    "name with a line end": ({"name": "a\n"}, "weights.0.name: 'a\\n' should be letters, digits"),
    "dots": ({"name": ".."}, "weights.0.name: '..' should be letters, digits"),
    "golden rows": ({"golden": {"seed": 0, "outputs": [[1.0], [0.5, 0.5]]}}, "one length"),
    "golden tolerance": (
        {"golden": {"seed": 0, "outputs": [[1.0]], "tolerance": 0.5}},
        "weights.0.golden.tolerance",
    ),
    "verified after all": ({"unverified": True}, "it is not unverified"),
    "limit beside bytes": ({"max_bytes": 5}, "max_bytes"),
}


@pytest.mark.parametrize("name", WRONG, ids=lambda name: name.replace(" ", "-"))
def test_a_wrong_entry_names_file_line_and_key(name):
    changes, words = WRONG[name]
    path = write_config([{k: v for k, v in (ENTRY | changes).items() if v is not None}])
    with pytest.raises(InputError) as refused:
        load_config(path)
    message = str(refused.value)
    assert words in message
    assert message.startswith("own.yaml, line ")
    assert len(message.splitlines()) == 1


def test_entries_among_themselves():
    with pytest.raises(InputError, match="'own' is there twice"):
        load_config(write_config([ENTRY, ENTRY]))
    for wrong in ({"a": 1}, "own", 5):
        with pytest.raises(InputError, match="weights: should be a list"):
            load_config(write_config(wrong))
    with pytest.raises(InputError, match="a file that we ship has a hash"):
        load_config(write_config([UNVERIFIED | {"sources": ["package"]}]))


def test_the_line_is_that_of_the_key():
    path = write_config([ENTRY, ENTRY | {"name": "two", "sha256": "x"}])
    lines = path.read_text().splitlines()
    number = lines.index("  sha256: x") + 1
    with pytest.raises(InputError, match=f"own.yaml, line {number}: weights.1.sha256"):
        load_config(path)


def test_a_relative_file_counts_from_its_yaml(tmp_path):
    entry = load_config(write_config([ENTRY])).weights[0]
    assert entry.sources == [f"file:{tmp_path / 'own.weights.h5'}"]


@pytest.mark.parametrize(
    "text",
    ["", "packages", "https:", "https://a b", "https://a\nb", "https://[x", "https://a:99999999/",
     "file:", "file:a\0b", "gdrive:", "gdrive:short", "javascript:alert(1)", "s3://bucket/x",
     "http://localhost.example/x", "http://localhost@weights.example/x", "//a.example/x",
     "http://weights.example\\@localhost/x", "hf://x.h5", "hf://me/x.h5", "hf://me/zoo/../x.h5",
     "hf://me/zoo@/x.h5", "hf://me/zoo/a b.h5", "hf:me/zoo/x.h5"],
)  # fmt: skip
def test_what_is_no_source(text):
    """An address without TLS is one on this machine only."""
    with pytest.raises(InputError):
        parse_source(text)


def test_what_is_a_source():
    shown = {
        "package": "package",
        "https://a.example/x.h5": "https://a.example/x.h5",
        "https://me:secret@a.example/x": "https://a.example/x",
        "http://127.0.0.1:8000/x": "http://127.0.0.1:8000/x",
        "gdrive:1mMiujUTQQkQgU0CjAwVQN69GUSmHjxNo": "gdrive:1mMiujUTQQkQgU0CjAwVQN69GUSmHjxNo",
        "file:///tmp/a%20b.h5": "file:/tmp/a b.h5",
        "file:x.h5": "file:x.h5",
        "hf://me/zoo@v1/a/x.h5": "https://huggingface.co/me/zoo/resolve/v1/a/x.h5",
    }
    assert {text: str(parse_source(text)) for text in shown} == shown


# Commands


@pytest.fixture
def own():
    Path("own.weights.h5").write_bytes(DATA)
    return write_config([ENTRY, UNVERIFIED | {"name": "free"}])


def run(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str, str]:
    code = cli.main(list(command))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_pull(own, home, capsys):
    code, out, err = run(capsys, "pull", "own.yaml", "--json")
    path = home / "weights" / "own" / f"own-{SHA256[:8]}.weights.h5"
    assert (code, path.read_bytes()) == (0, DATA)
    (row,) = json.loads(out)["files"]
    assert row["path"] == str(path) and row["sha256"] == SHA256 and row["verified"]
    assert f"own/own: fetching {len(DATA):,} bytes from file:" in err
    code, out, err = run(capsys, "pull", "own.yaml/own", "own.yaml/free")
    assert code == 2
    assert f"{path} (from cache" in out
    assert "own/free" in err and "--allow-unverified" in err
    code, out, err = run(capsys, "pull", "own.yaml/free", "--allow-unverified")
    assert code == 0 and "unverified: this hash was never published" in out


def test_verify(own, home, capsys):
    assert run(capsys, "verify", "own.yaml")[0] == 0
    run(capsys, "pull", "own.yaml")
    run(capsys, "pull", "own.yaml/free", "--allow-unverified")
    code, out, _ = run(capsys, "verify", "own.yaml", "--json")
    assert code == 0
    assert [row["state"] for row in json.loads(out)["files"]] == ["good", "good"]
    shipped = len(list(store.PACKAGED.glob("*/*.h5")))
    assert f"{shipped + 2} files, 0 wrong" in run(capsys, "verify")[1]  # by their records
    (path,) = (home / "weights" / "own").glob("free-????????.h5")
    path.write_bytes(DATA + b"x")
    for names in ((), ("own.yaml",), ("own.yaml/free",)):
        code, out, err = run(capsys, "verify", *names)
        assert code == 1
        assert "WRONG" in out and "free" in err
    assert run(capsys, "verify", "own.yaml/own")[0] == 0
    record_path(path).unlink()
    code, out, _ = run(capsys, "verify", "own.yaml")
    assert code == 0 and "no hash" in out
    record_path(path).write_text("x")
    assert run(capsys, "verify")[0] == 1


def test_unverified_files_of_two_configurations_are_kept_apart(own, capsys):
    """What somebody's YAML of the same name brought here does not pass for the published file."""
    run(capsys, "pull", "own.yaml/free", "--allow-unverified")
    Path("other.h5").write_bytes(DATA)
    write_config([UNVERIFIED | {"name": "free", "sources": ["file:other.h5"]}])
    code, _, err = run(capsys, "pull", "own.yaml/free")
    assert code == 2 and "--allow-unverified" in err


def test_verify_misses_what_should_be_shipped(capsys):
    """A wheel without its weights is wrong."""
    Path("own.weights.h5").write_bytes(DATA)
    write_config([ENTRY | {"sources": ["package", "file:own.weights.h5"]}])
    code, out, _ = run(capsys, "verify", "own.yaml", "--json")
    (row,) = json.loads(out)["files"]
    assert (code, row["place"], row["state"], row["wrong"]) == (1, "package", "missing", True)


def test_list_and_info(own, capsys):
    out = " ".join(run(capsys, "list", "--weights")[1].split())
    assert "alexnet/document" in out and "0.5549" in out and "not fetched, unverified" in out
    rows = json.loads(run(capsys, "list", "--weights", "--json")[1])
    assert {"model", "name", "scores", "sha256", "bytes", "licence", "where"} <= set(rows[0])
    out = " ".join(run(capsys, "info", "alexnet")[1].split())
    assert "document: accuracy 0.5549, loss 2.4020 on cifar10 (test), needs --allow-unver" in out


# With a network


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    """The weights of an untrained LeNet-5."""
    import keras

    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("network") / "own.weights.h5"
    modelzoo.build("lenet5").save_weights(path)
    return path


@pytest.fixture
def published(network_file, bars):
    """A configuration that publishes it, with any scores."""
    shutil.copy(network_file, "own.weights.h5")
    content = network_file.read_bytes()
    found = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    def write(accuracy: float = 0.5, golden: Any = None, **scores: Any) -> Path:
        scores = ENTRY["scores"] | {"accuracy": accuracy} | scores
        entry = ENTRY | found | {"scores": scores} | ({"golden": golden} if golden else {})
        return write_config([entry], data={"dataset": "bars", "validation_split": 40})

    return write


def test_load_by_name(published, network_file):
    path = published()
    expected = modelzoo.load("lenet5", weights=network_file).get_weights()
    url, sha256 = f"file:{network_file}", sha256_of(network_file)
    for found in (
        modelzoo.load(path, weights="own"),
        modelzoo.load(path),
        modelzoo.load("lenet5", weights=url, sha256=sha256),
        modelzoo.load("lenet5", weights=url, allow_unverified=True),
        modelzoo.load("lenet5", weights=network_file, sha256=sha256.upper()),
    ):
        assert all(map(np.array_equal, found.get_weights(), expected))
    for weights in (url, network_file):
        with pytest.raises(InputError):
            modelzoo.load("lenet5", weights=weights, sha256="0" * 64)
    with pytest.raises(InputError, match="--sha256"):
        modelzoo.load("lenet5", weights=f"file:{Path('own.weights.h5').absolute()}")


def test_evaluate_check(published, capsys):
    command = ["evaluate", "--model", str(published()), "--device", "cpu"]
    code, out, _ = run(capsys, *command, "--json")
    found = json.loads(out)
    assert code == 0 and found["checked"] is None
    assert (found["weights"], found["dataset"], found["published_accuracy"]) == ("own", "bars", 0.5)
    accuracy = found["accuracy"]
    golden = make_golden(load_config("lenet5"), Path("own.weights.h5"))
    golden_table = {"seed": golden.seed, "outputs": golden.outputs}
    published(accuracy, golden_table)
    code, out, err = run(capsys, *command, "--check", "--json")
    assert code == 0, err
    assert json.loads(out)["golden_difference"] < 1e-5 and json.loads(out)["checked"] is True
    checked = f"checked: accuracy equals the published {accuracy:.4f} (within 0.001)"
    assert f"{checked}, golden outputs equal\n" in run(capsys, *command, "--check")[1]
    published(min(1.0, accuracy + 0.0009))
    code, out, _ = run(capsys, *command, "--check")
    assert code == 0
    assert f"the published {min(1.0, accuracy + 0.0009):.4f} (within 0.001)\n" in out
    assert "checked" not in run(capsys, *command)[1]
    published(accuracy + 0.0011)
    code, out, _ = run(capsys, *command, "--check", "--json")
    assert code == 1 and json.loads(out)["checked"] is False
    code, out, err = run(capsys, *command, "--check")
    assert code == 1 and "checked" not in out
    assert "published is" in err and "published: accuracy" in out
    golden_table["outputs"] = [row[::-1] for row in golden.outputs]
    published(accuracy, golden_table)
    code, _, err = run(capsys, *command, "--check")
    assert code == 1 and "golden outputs" in err
    top_5 = found["top5_accuracy"]
    published(accuracy, top5_accuracy=top_5)
    code, out, _ = run(capsys, *command, "--check")
    assert code == 0 and f"published: accuracy {accuracy:.4f}, top-5 " in out
    published(accuracy, top5_accuracy=abs(top_5 - 0.01))
    code, _, err = run(capsys, *command, "--check")
    assert code == 1 and "top-5 accuracy" in err
    published(accuracy, split="validation")
    code, _, err = run(capsys, *command, "--check")
    assert code == 1 and "nothing to compare with" in err
    code, _, err = run(capsys, *command, "--weights", "own.weights.h5", "--check")
    assert code == 2 and "--check" in err


def test_golden_pictures_never_change():
    images = golden_images(0, 2, (28, 28, 1))
    assert images.shape == (2, 28, 28, 1) and images.dtype == np.uint8
    assert images[0, ::4, ::4, 0][0].tolist() == [172, 10, 127, 140, 47, 170, 196]
    assert golden_images(0, 1, (30, 31, 3)).shape == (1, 30, 31, 3)


# The promise


@pytest.mark.parametrize(
    ("model", "entry"), PUBLISHED, ids=lambda each: getattr(each, "name", each)
)
def test_published_weights_are_what_they_say(model, entry):
    about = load_config(model).about
    assert entry.parameters in (None, about.parameters)
    # A state dict is somebody else's: its outputs can't be told without the file.
    assert entry.unverified or entry.golden or entry.format == "torch", "golden is missing"
    shipped = store.packaged_path(entry.file_of(model))
    if shipped is None:
        pytest.skip("not shipped in the package")
    assert state_of(shipped, entry.sha256, entry.bytes) == "good"
    engine = KerasEngine(resolve(model, entry.name, dataset=entry.scores.dataset), "cpu")
    assert entry.parameters in (None, engine.parameters)
    assert check_golden(engine.config, engine, entry.golden) <= entry.golden.tolerance


def test_the_package_holds_no_file_that_nothing_describes():
    described = {store.packaged_path(entry.file_of(model)) for model, entry in PUBLISHED}
    shipped = list(store.PACKAGED.glob("*/*"))
    assert set(shipped) <= described
    assert sum(path.stat().st_size for path in shipped) <= 20_000_000


def test_nan_and_another_shape_are_no_golden_outputs():
    from modelzoo.config.published import Golden

    class Stub:
        def predict(self, images: np.ndarray) -> np.ndarray:
            return np.full((len(images), 10), np.nan, "float32")

    config = load_config("lenet5")
    for outputs in ([[0.1] * 10], [[0.1] * 9]):
        with pytest.raises(RunError):
            check_golden(config, Stub(), Golden(seed=0, outputs=outputs))
