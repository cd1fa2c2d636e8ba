"""Completion in a shell: commands, options, names of networks, weights and data sets, files."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("argcomplete")


def offered(line: str, folder) -> set[str]:
    """Return what a shell offers at the end of a command line; no framework may be imported."""
    answer = folder / "answer"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SHELL": "bash"}
    asked |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "modelzoo"],
        env=os.environ | asked | {"_ARGCOMPLETE_STDOUT_FILENAME": str(answer)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "tensorflow" not in done.stderr and "keras" not in done.stderr and not done.stdout
    return {word.strip() for word in answer.read_text().split("\n")}


def test_a_shell_completes_what_can_be_typed(tmp_path):
    (tmp_path / "my.yaml").touch()
    assert {"train", "learning-rate", "report"} <= offered("modelzoo ", tmp_path)
    assert offered("modelzoo train --find", tmp_path) == {""}
    assert offered("modelzoo train --tensor", tmp_path) == {"--tensorboard"}
    assert {"lenet5", "lenet5_1998"} <= offered("modelzoo train --model lenet5", tmp_path)
    assert offered("modelzoo info my", tmp_path) == {"my.yaml"}
    weights = offered("modelzoo pull lenet5/", tmp_path)
    assert weights == {"lenet5/mnist", "lenet5/fashion_mnist", "lenet5/mnist_robust"}
    assert offered("modelzoo train --dataset mnist5", tmp_path) == {"mnist5k"}
    assert offered("modelzoo train --backend j", tmp_path) == {"jax"}
