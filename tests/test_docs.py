"""What is written about results is what the files of the runs say."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

import kept_results
import update_docs
from benchmarks import small
from modelzoo.config import list_models, load_config
from modelzoo.support.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_model_cards_and_the_table_are_up_to_date():
    stale = [path for path, text in update_docs.documents() if path.read_text("utf-8") != text]
    assert stale == []


def test_the_page_on_small_networks_has_the_figures_measured():
    results = json.loads(small.OUT.read_text("utf-8"))
    table = small.table(results)
    assert f"{small.BEGIN}\n{table}{small.END}" in small.PAGE.read_text("utf-8")
    assert "| `lenet5/mnist` | 10,000, `mnist` |" in table
    for label, row in results["networks"].items():
        assert f"`{label}`" in table
        assert "accuracy" not in row or row["float_accuracy"] - row["accuracy"] <= 0.002, label


def test_every_drawing_that_a_card_shows_is_there():
    shown = {
        update_docs.curve_name(group[0]) for group in kept_results.grouped(kept_results.results())
    }
    assert {path.name for path in (update_docs.CARDS / "curves").iterdir()} == shown
    drawn = {path.stem for path in (update_docs.CARDS / "drawings").iterdir()}
    assert drawn == set(update_docs.cards()) and update_docs.TIMELINE.is_file()


def test_published_scores_are_those_of_a_kept_run():
    kept = [json.loads(p.read_text()) for p in (ROOT / "results").glob("*/*/metrics.json")]
    for name in list_models():
        for entry in load_config(name).weights:
            if "package" in entry.sources:
                found = [m["test_accuracy"] for m in kept if m["dataset"] == entry.scores.dataset]
                near = [each for each in found if abs(each - entry.scores.accuracy) <= 0.002]
                assert near, f"{name}/{entry.name}"


def test_a_configuration_claims_what_its_kept_runs_gave():
    checked = 0
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        head = "".join(path.read_text("utf-8").splitlines(keepends=True)[:3])
        title = load_config(path.stem).about.title
        runs = {
            (each.metrics["seed"], f"{each.metrics['test_accuracy']:.4f}")
            for each in kept_results.results()
            if each.config == path.stem
        }
        assert set(re.findall(r"0\.\d{4}", head)) <= {accuracy for _, accuracy in runs}, path.name
        claims = re.findall(r"accuracy ([\d., ]+)(?: on MNIST)? \(seeds? ([\d, ]*\d)", head)
        for accuracies, seeds in claims:
            pairs = zip(map(int, seeds.split(", ")), accuracies.split(", "), strict=True)
            assert set(pairs) <= runs, path.name
            checked += 1
        assert not re.search("minute|second", head + title), path.name
        for epochs in re.findall(r"in (\d+) epochs", head + title):
            assert int(epochs) == load_config(path.stem).fit.epochs, path.name
    assert checked >= 7


def test_a_recipe_of_published_weights_is_that_of_a_kept_run():
    made = {each.recipe for each in kept_results.results()}
    for name in list_models():
        for entry in load_config(name).weights:
            assert "package" not in entry.sources or entry.recipe in made, f"{name}/{entry.name}"


def test_the_entry_on_the_page_on_weights_is_the_shipped_one():
    text = (ROOT / "docs" / "weights.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(weights:.*?)```", text, re.DOTALL)
    shown = yaml.safe_load(block)["weights"][0]
    entry = next(each for each in load_config("lenet5").weights if each.name == shown["name"])
    scores = shown["scores"]
    assert (shown["bytes"], shown["parameters"]) == (entry.bytes, entry.parameters)
    assert (scores["accuracy"], scores["loss"]) == (entry.scores.accuracy, entry.scores.loss)


def test_an_attack_of_strength_0_gives_the_published_accuracy():
    """In the table of all test images, which the shipped file was attacked for."""
    text = (ROOT / "docs" / "robustness.md").read_text("utf-8")
    rows = re.findall(r"^\| (?:FGSM|PGD) \| ([\d.]+) \|", text, re.MULTILINE)
    assert rows == [f"{load_config('lenet5').weights[0].scores.accuracy:.4f}"] * 2


def test_a_run_of_another_recipe_is_not_kept(tmp_path, monkeypatch):
    """Its number would stand beside a command that does not give it."""
    source = next((ROOT / "results" / "lenet5").iterdir())
    monkeypatch.setattr(kept_results, "RESULTS", tmp_path / "results")
    run = tmp_path / "run"
    shutil.copytree(source, run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(f"# written to {run}\n{config}")
    kept = kept_results.add(run)
    assert kept.is_relative_to(tmp_path / "results")
    assert str(run) not in (kept / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("learning_rate: 1.0", "learning_rate: 0.5"))
    with pytest.raises(InputError, match="its compile differs from lenet5's"):
        kept_results.add(run)
    (run / "metrics.json").unlink()
    with pytest.raises(InputError, match="no finished run"):
        kept_results.add(run)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"dataset": "../../../evil"}, "does not say which data set"),
        ({"dataset": "a/b"}, "does not say which data set"),
        ({"dataset": 5}, "does not say which data set"),
        ({"epochs": "../1"}, "does not say which data set"),
        ({"model": "../evil"}, "not a packaged configuration"),
    ],
)
def test_a_run_of_somebody_else_does_not_choose_the_folder(metrics, message, tmp_path, monkeypatch):
    """What metrics.json says becomes a path."""
    monkeypatch.setattr(kept_results, "RESULTS", tmp_path / "results")
    run = tmp_path / "run"
    shutil.copytree(next((ROOT / "results" / "lenet5").iterdir()), run)
    found = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(found | metrics))
    with pytest.raises(InputError, match=message):
        kept_results.add(run)
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_cell_of_a_model_card_holds_text():
    """A run says itself which machine it ran on."""
    evil = "CPU | <script>alert(1)</script> ![x](https://evil.example)\n# head `code`"
    assert not set(update_docs._cell(evil)) & set("|<>![]`#\n")
    assert update_docs._cell("CPU: AMD EPYC, 2 cores") == "CPU: AMD EPYC, 2 cores"


def test_every_promise_of_the_security_policy_names_its_tests():
    """A test that is renamed or deleted takes its promise with it."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", text)
    assert len(named) > 40
    for file, test in named:
        paths = (ROOT / folder / file for folder in ("tests", "hardening"))
        texts = [path.read_text("utf-8") for path in paths if path.exists()]
        assert any(f"\ndef {test}(" in each for each in texts), f"{file}::{test}"
    promises = text.partition("## What is promised")[2].partition("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("- ")]
    assert rows and all("::" in row for row in promises.split("\n- ")[1:])


def test_links_between_pages_lead_somewhere():
    for page in [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
