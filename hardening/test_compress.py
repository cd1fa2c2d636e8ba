"""Small files of weights: what they hold, what they keep, and what is refused."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import modelzoo
from compress_weights import Kernel, compress, main, zero_blind_taps
from modelzoo.support.errors import RunError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network trained on scikit-learn's digits."""
    overrides = ["fit.epochs=4", "data.validation_split=400"]
    config = modelzoo.load_config("lenet5", dataset="digits", overrides=overrides)
    return modelzoo.Trainer(config, out=tmp_path_factory.mktemp("run") / "run").fit().folder


def sizes(path: Path) -> dict[str, h5py.Dataset]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: (item.dtype.name, item[()])})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


def test_a_small_file_holds_the_rounded_network(run, tmp_path):
    """Limits are kept, kernels are float16 multiples of one power of two, small arrays exact."""
    out = tmp_path / "small.weights.h5"
    config, best = modelzoo.load_config(run), run / "best.weights.h5"
    done = compress(config, best, out, max_bytes=90_000, max_drop=0.01)
    assert done.bytes == out.stat().st_size <= 90_000 < best.stat().st_size
    before, after = done.accuracy
    assert before - after <= 0.01 and done.images == 400 and done.dataset == "digits"
    whole, small = modelzoo.load(run), modelzoo.load(run, weights=out)
    steps = {kernel["name"]: kernel["step"] for kernel in done.kernels}
    assert set(steps) == {"C3/kernel", "F5/kernel", "F6/kernel"}
    for wanted, found in zip(whole.weights, small.weights, strict=True):
        wanted, found, path = np.asarray(wanted), np.asarray(found), found.path
        if path in steps:
            multiples = found / steps[path]
            assert np.array_equal(multiples, np.round(multiples))
            assert np.abs(found - wanted).max() <= steps[path] / 2
        else:
            assert np.array_equal(wanted, found)
    assert {kind for kind, array in sizes(out).values() if array.size >= 1024} == {"float16"}


def test_keras_itself_reads_a_small_file(run, tmp_path, capsys):
    """It is an ordinary file: nothing of ours is needed to open it."""
    config = modelzoo.load_config(run)
    done = compress(config, run / "best.weights.h5", tmp_path / "a.weights.h5", max_bytes=150_000)
    ours, theirs = modelzoo.load(run, weights=done.path), modelzoo.build(config)
    theirs.load_weights(done.path)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert np.array_equal(one, other)
    again = tmp_path / "b.weights.h5"
    assert main(["--model", str(run), "--max-bytes", "150000", "--out", str(again)]) == 0
    assert again.read_bytes() == done.path.read_bytes()
    assert f"{again}: {done.bytes:,} bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("max_bytes", "max_drop", "reason"),
    [
        (1000, 1.0, "too few"),
        (52_000, 0.0, "of accuracy on 400 validation images"),
    ],
)
def test_nothing_is_written_when_a_limit_cannot_be_kept(run, tmp_path, max_bytes, max_drop, reason):
    """Too few bytes, or too much accuracy lost for them."""
    out = tmp_path / "small.weights.h5"
    with pytest.raises(RunError, match=reason):
        weights = run / "best.weights.h5"
        compress(modelzoo.load_config(run), weights, out, max_bytes=max_bytes, max_drop=max_drop)
    assert not out.exists() and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"--max-bytes": "many"}, "--max-bytes: many should be a whole number"),
        ({"--max-bytes": "0"}, "--max-bytes: 0 should be a whole number from 1"),
        ({"--max-drop": "nan"}, "--max-drop: nan should be a number from 0 to 1"),
        ({"--out": "small.h5"}, "small.h5: should end in .weights.h5"),
        ({"--set": "data.validation_split=0"}, "holds no images to choose by"),
    ],
)
def test_bad_input_is_one_message(run, tmp_path, monkeypatch, capsys, changed, reason):
    """Numbers that are none, a name that Keras refuses, and nothing to choose by."""
    monkeypatch.chdir(tmp_path)
    options = {"--model": str(run), "--max-bytes": "90000", "--out": "a.weights.h5", **changed}
    try:
        code = main([text for pair in options.items() for text in pair])
    except SystemExit as end:  # of the parser
        code = end.code
    assert code == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rounding_prunes_and_stays_exact_in_float16():
    """What is below half a step becomes 0; the rest are multiples that float16 holds."""
    values = np.array([0.1, -0.1, 0.2, 0.9, -1.3], "float32")
    kernel = Kernel("k", keras.Variable(values), values, -2)
    assert kernel.rounded(-2).tolist() == [0, 0, 0.25, 1.0, -1.25]
    assert np.array_equal(kernel.rounded(-2).astype("float16"), kernel.rounded(-2))


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "seeing"),
    [
        (1, 3, 1, [1]),
        (2, 5, 1, [1, 2, 3]),
        (2, 3, 1, [0, 1, 2]),
        (1, 4, 1, [1]),
        (5, 7, 5, [1, 2, 3, 4, 5]),
    ],
)
def test_taps_that_see_only_padding_are_zeroed(size, kernel, strides, seeing):
    """No answer changes, and no tap that sees something is touched."""
    inputs = keras.Input((size, size, 2))
    layer = keras.layers.Conv2D(3, kernel, strides=strides, padding="same", use_bias=False)
    network = keras.Model(inputs, layer(inputs))
    images = np.random.default_rng(0).normal(size=(4, size, size, 2)).astype("float32")
    wanted, whole = np.array(network(images)), np.array(layer.kernel)
    blind = zero_blind_taps(network)
    assert np.array_equal(np.array(network(images)), wanted)
    left = np.array(layer.kernel)
    assert np.flatnonzero(left.any(axis=(1, 2, 3))).tolist() == seeing
    assert blind == (left == 0).sum() == whole.size - 6 * len(seeing) ** 2
