"""Whole studies: trained, compared, interrupted and gone on with."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_study import SMALL, written

from modelzoo import Trainer
from modelzoo.cli import main
from modelzoo.training.study import load_study, variant_folders


def test_a_study_trains_compares_and_goes_on(tmp_path, capsys, monkeypatch):
    """A table and two charts; what is finished stays, and what was interrupted goes on."""
    path, out = written(tmp_path), tmp_path / "out"
    assert main(["study", str(path), "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["variant"] for row in printed["variants"]] == ["as it is", "with tanh"]
    seeds = written(tmp_path / "seeds", variants={"a": None}, seeds=[0, 1])
    assert main(["study", str(seeds), "--out", str(tmp_path / "two")]) == 0
    assert "±" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "two" / "study.csv")["runs"].tolist() == [2]
    table = pd.read_csv(out / "study.csv")
    np.testing.assert_allclose(table["gap"], table["train_accuracy"] - table["val_accuracy"])
    assert (out / "study.png").stat().st_size > 5_000 and (out / "study.html").exists()

    study = load_study(path)
    tanh = variant_folders(study, out)["with tanh"]
    finished = {each: each.read_bytes() for each in (out / "as-it-is").glob("*.*")}
    before = (tanh / "history.csv").read_text().splitlines()
    (tanh / "metrics.json").unlink()  # as if it had been cut short after its last epoch
    monkeypatch.setattr(Trainer, "fit", lambda self: pytest.fail("trained from the start"))
    assert main(["study", str(path), "--out", str(out)]) == 0
    assert "with tanh" in capsys.readouterr().out
    assert {each: each.read_bytes() for each in finished} == finished
    assert (tanh / "history.csv").read_text().splitlines() == before

    for changed in ({"fit": {"epochs": 2}}, {"data": {"augmentation": ["RandomFlip"]}}):
        other = written(tmp_path, common={**SMALL["common"], **changed})
        assert main(["study", str(other), "--out", str(out)]) == 2
        assert "holds a run of another configuration" in capsys.readouterr().err


def test_a_study_may_have_no_validation_images_and_fewer_classes(tmp_path, capsys):
    """The network of 1998 keeps none; what follows from the data is no other configuration."""
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28, 1), "uint8")
    for part in ("train", "test"):
        for number, image in enumerate(images):
            path = tmp_path / "pictures" / part / "abc"[number % 3] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path)
    common = {"data": {"validation_split": 0}, "fit": {"epochs": 1}}
    data = f"folder:{tmp_path / 'pictures'}"
    path = written(tmp_path, dataset=data, common=common, variants={"only": None})
    for _ in range(2):  # the second time there is nothing left to do
        assert main(["study", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "none" in capsys.readouterr().out
