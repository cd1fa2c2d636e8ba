"""Choosing a device: what is asked for is there, or refused with what was found."""

import numpy as np
import pytest

from modelzoo.support.errors import InputError
from modelzoo.training import device
from modelzoo.training.device import Device, placement, start_framework


def with_gpus(monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    monkeypatch.setattr(device, "_list_gpus", lambda backend: names)


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch):
    with_gpus(monkeypatch, ["Card A", "Card B"])
    assert start_framework().name == "gpu:0"
    assert start_framework(device="gpu:1") == Device("gpu:1", "GPU: Card B")
    assert start_framework(device="cpu").name == "cpu:0"
    with_gpus(monkeypatch, [])
    assert start_framework().name == "cpu:0"


@pytest.mark.parametrize("asked", ["gpu", "gpu:0"])
def test_an_absent_gpu_is_refused_with_what_was_found(monkeypatch, asked):
    with_gpus(monkeypatch, [])
    with pytest.raises(InputError, match=rf"--device {asked}: not found.*none; CPU: .* cores"):
        start_framework(device=asked)
    with_gpus(monkeypatch, ["Card A"])
    with pytest.raises(InputError, match=r"gpu:1: not found.*1 \(Card A\)"):
        start_framework(device="gpu:1")


def test_another_backend_in_the_same_process_is_refused():
    pytest.importorskip("jax")
    with pytest.raises(InputError, match="Keras already runs on tensorflow"):
        start_framework("jax")


def test_the_placement_is_read_from_the_variable():
    """The device that is written down is the one that was used, not the one asked for."""
    import keras

    with start_framework(device="cpu").scope():
        variable = keras.Variable(np.zeros(3))
    assert "CPU:0" in placement(variable)
