"""All published weights are made again by one command: what it lists, chooses and resumes."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import kept_results
import modelzoo
import reproduce
import update_docs
from kept_results import Result, best_of
from modelzoo import cli
from modelzoo.config import find_config, list_models, load_config
from modelzoo.config.layers import read_yaml
from modelzoo.config.published import parse_weights
from modelzoo.support.version import ARITHMETIC
from publish_weights import with_entry
from reproduce import Recipe, states

KEPT = kept_results.RESULTS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results and runs of their own, and one recipe: two seeds of weights that do not exist."""
    monkeypatch.setattr(kept_results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(reproduce, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(reproduce, "run_command", cli.main)
    (tmp_path / "results").mkdir()
    recipe = "lenet5/tried: {train: --model lenet5, seeds: [0, 1]}\n"
    (tmp_path / "results" / "recipes.yaml").write_text(recipe)
    return tmp_path


def keep(seed: int, **changes: object) -> None:
    """Put a result of lenet5 on mnist among those kept."""
    folder = kept_results.RESULTS / "lenet5" / f"mnist-12-epochs-seed-{seed}"
    shutil.copytree(KEPT / "lenet5" / folder.name, folder, dirs_exist_ok=True)
    metrics = json.loads((folder / "metrics.json").read_text()) | changes
    (folder / "metrics.json").write_text(json.dumps(metrics))


def test_the_list_has_all_weights_and_results_the_cheapest_first(capsys):
    assert reproduce.main(["--list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line[0] != " "][1:]
    shipped = {
        f"{name}/{entry.name}": f"{entry.scores.accuracy:.4f}"
        for name in list_models()
        if "base" not in read_yaml(find_config(name)).values
        for entry in load_config(name).weights
        if "package" in entry.sources
    }
    assert shipped.items() <= {name: test for name, _, _, test in rows}.items()
    costs = [float(minutes) if minutes != "-" else float("inf") for _, minutes, _, _ in rows]
    assert costs == sorted(costs)
    kept = {folder.rpartition("-seed-")[0] for folder in map(str, KEPT.glob("*/*"))}
    others = {name for name, *_ in rows} - set(shipped)
    assert {str(KEPT / name) for name in others} <= kept and len(others) > 5


def test_the_state_follows_from_what_the_results_say(place):
    def recipe() -> Recipe:
        (found,) = reproduce.recipes()
        return found

    assert states(recipe()) == ["seeds 0, 1 missing", "not published"]
    keep(0, arithmetic=ARITHMETIC, val_accuracy=0.99)
    assert states(recipe()) == ["seed 1 missing", "not published"]
    keep(1)
    assert states(recipe()) == ["seed 1 made by an earlier version", "not published"]
    assert recipe().to_train() == [1]
    keep(1, arithmetic=ARITHMETIC)
    assert states(recipe()) == ["not published"] and recipe().to_train() == [0]
    folder = recipe().folder(0)
    shutil.copytree(kept_results.RESULTS / "lenet5" / "mnist-12-epochs-seed-0", folder)
    assert states(recipe()) == ["not published", "seed 0 trained here, not published"]
    config = kept_results.RESULTS / "lenet5" / "mnist-12-epochs-seed-1" / "config.yaml"
    config.write_text(config.read_text().replace("learning_rate: 1.0", "learning_rate: 0.5"))
    assert states(recipe())[0] == "seed 1 made by an earlier version"  # of the recipe


@pytest.mark.parametrize(
    ("validation", "chosen"),
    [
        ([(0.98, 0.1), (0.99, 0.3), (0.97, 0.05)], 1),  # the highest accuracy
        ([(0.98, 0.1), (0.99, 0.3), (0.99, 0.2)], 2),  # of equals the lower loss
        ([(None, None), (None, None), (None, None)], 0),  # no images held out
    ],
)
def test_validation_chooses_the_seed_and_never_the_test_set(validation, chosen):
    tests = [0.9 if index == chosen else 0.99 for index in range(3)]
    found = [
        Result("lenet5", Path(), {"val_accuracy": a, "val_loss": b, "test_accuracy": test})
        for (a, b), test in zip(validation, tests, strict=True)
    ]
    assert best_of(found) is found[chosen]


def interrupted(words: list[str]) -> int:
    """Train as told, with a Ctrl-C in the second epoch."""
    import keras

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    config = load_config("lenet5", dataset="digits").with_epochs(2)
    seed, out = int(words[words.index("--seed") + 1]), words[-1]
    with pytest.raises(KeyboardInterrupt):
        modelzoo.Trainer(config, device="cpu", seed=seed, out=out, callbacks=[Interrupt()]).fit()
    return cli.INTERRUPTED


def test_an_interrupted_recipe_goes_on_where_it_stood(place, monkeypatch, capsys):
    """What is finished stays, what was begun is resumed, and only then are results kept."""
    pytest.importorskip("sklearn")
    recipe = Recipe("lenet5/digits-2-epochs", "--model lenet5 --dataset digits --epochs 2", (0, 1),
                    has_weights=False)  # fmt: skip
    monkeypatch.setattr(reproduce, "recipes", lambda: [recipe])
    monkeypatch.setattr(update_docs, "update", lambda: None)
    asked: list[list[str]] = []
    ways: Iterator = iter([cli.main, interrupted, cli.main])
    monkeypatch.setattr(
        reproduce, "run_command", lambda words: asked.append(words) or next(ways)(words)
    )
    assert reproduce.main(["lenet5/digits-2-epochs"]) == cli.INTERRUPTED
    first = (recipe.folder(0) / "metrics.json").read_bytes()
    assert len(pd.read_csv(recipe.folder(1) / "history.csv")) == 1
    assert "seed 1 begun: 1 of 2 epochs" in states(recipe)
    assert not list(kept_results.RESULTS.glob("*/*"))
    assert reproduce.main(["lenet5/digits-2-epochs"]) == 0
    assert asked[-1] == ["train", "--resume", str(recipe.folder(1))] and len(asked) == 3
    assert (recipe.folder(0) / "metrics.json").read_bytes() == first
    kept = [each.metrics for each in kept_results.results()]
    assert [(each["seed"], each["epochs"], each["arithmetic"]) for each in kept] == [
        (0, 2, ARITHMETIC), (1, 2, ARITHMETIC)
    ]  # fmt: skip
    assert states(recipe) == ["made by this version"] and recipe.to_train() == []
    capsys.readouterr()


def test_an_unknown_name_is_one_message(capsys):
    for name, words in {"lenet5/mnst": "did you mean 'lenet5/mnist'?", "x": "(see --list)"}.items():
        assert reproduce.main([name]) == 2
        out, err = capsys.readouterr()
        assert out == "" and len(err.splitlines()) == 1 and name in err and words in err


def test_an_entry_takes_its_place_in_every_configuration(tmp_path):
    """The other entries, the rest of the file and its comments stay."""
    for name in list_models():
        path, entries = find_config(name), load_config(name).weights
        text = path.read_text("utf-8")
        if "\nweights:" not in text:
            continue
        for entry in entries:
            written = tmp_path / f"{name}.yaml"
            written.write_text(with_entry(text, [each.name for each in entries], entry))
            again = parse_weights(read_yaml(written).values["weights"], lambda key: key)
            assert again == entries
            assert written.read_text().startswith(text[: text.index("\nweights:")])
