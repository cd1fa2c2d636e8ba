"""What is written for every backend computes the same on JAX and PyTorch.

A process has one backend: the chosen tests run again in one process for each.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import HANGS

CHOSEN = {
    "hardening/test_backends": "ctrl_c",
    "tests/test_augmentation_layers": "every_place or central or covariance_of",
    "tests/test_explain": "not lenet5_1998 and not lenet_1989",  # whose layers agree with NumPy
    "tests/test_lenet_layers": "agrees_with_numpy",
    "tests/test_neocognitron": "agree or fit or saved",
    "tests/test_robustness": "(log_odds or fgsm_on or gradient or strength_0_changes or seed) "
    "and not lenet5_1998 and not lenet_1989",
}
IS_CHILD = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"

if not IS_CHILD:

    @pytest.mark.parametrize("backend", ["jax", "torch"])
    def test_other_backends_do_the_same(backend: str) -> None:
        """Nothing that should run on any backend depends on TensorFlow."""
        pytest.importorskip(backend)
        files = [f"{name}.py" for name in CHOSEN]
        chosen = " or ".join(
            f"({name.partition('/')[2]} and ({words}))" for name, words in CHOSEN.items()
        )
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-o", "addopts=-v", "-k", chosen, *files],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            timeout=HANGS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(f"{name}.py::" in done.stdout for name in CHOSEN), done.stdout

else:
    import keras
    import test_training as training

    def test_ctrl_c_loses_no_batch(
        bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """JAX keeps what is trained outside of the variables within an epoch."""
        backend = f"trainer.backend={keras.backend.backend()}"
        config = training.config_of("bars", 2, *training.EVERYTHING_RANDOM, backend)
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        training.Trainer(config, out=whole, device="cpu").fit()
        with monkeypatch.context() as patched:
            training.interrupt_in_epoch(patched, 1, training.press_ctrl_c, batch=2)
            with pytest.raises(KeyboardInterrupt):
                training.Trainer(config, out=cut, device="cpu").fit()
        _, progress = training.RunFolder(cut).load_state()
        assert progress.epochs_done == 1 and 3 <= progress.batches_done <= 4
        assert training.resumed_as_if_never_stopped(cut, whole)
