"""The files of a run that is plotted, compared, evaluated or resumed."""

import csv
import io
import json
import random
import shutil
from pathlib import Path

from hardening.fuzzing import material
from hardening.fuzzing.configs import mutated_config
from hardening.fuzzing.mutation import TEXTS, anything, mutated_bytes, mutated_text, mutated_values
from hardening.fuzzing.worker import Place, command


class Runs:
    """Mutated metrics.json, history.csv and config.yaml."""

    def prepare(self, seeds: Path) -> None:
        """Train a run, and a study of two."""
        material.start()
        material.write_run(seeds / "run")
        study = "title: two\nbase: ./tiny.yaml\ndataset: tiny\nvariants: {one: {}, two: {}}\n"
        (seeds / "two.yaml").write_text(study.replace("./tiny.yaml", str(seeds / "run.yaml")))
        command("study", str(seeds / "two.yaml"), "--out", str(seeds / "study"))

    def run(self, chance: random.Random, place: Place) -> None:
        """Use one."""
        way = chance.randrange(20)
        run = place.inputs / "run"
        if way == 0:
            study = place.inputs / "study"
            shutil.copytree(place.seeds / "study", study)
            name = chance.choice(("metrics.json", "metrics.json", "history.csv", "config.yaml"))
            _mutate(study / "one" / name, chance)
            command("study", str(place.seeds / "two.yaml"), "--out", str(study), "--json")
            return
        shutil.copytree(place.seeds / "run", run)
        if way < 13:
            _mutate(run / "history.csv", chance)
            form = ["--format", chance.choice(["json"] * 12 + ["html", "svg", "png"])]
            runs = [str(run)] if chance.random() < 0.5 else [str(run), str(place.seeds / "run")]
            command("plot", *runs, *form, "--out", "charts")
            return
        material.forget()
        if way < 16:
            _mutate(run / "config.yaml", chance)
            command("evaluate", "--model", str(run), "--device", "cpu")
            return
        for name in chance.sample(("metrics.json", "history.csv", "config.yaml"), 2):
            _mutate(run / name, chance)
        if chance.random() < 0.3:
            (run / "metrics.json").unlink()
        epochs = chance.choice(("1", "1", "2"))  # which a mutation may have made many
        command("train", "--resume", str(run), "--device", "cpu", "--epochs", epochs)


def _mutate(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    if chance.random() < 0.2:
        path.write_bytes(mutated_bytes(content, chance))
    elif path.suffix == ".yaml":
        path.write_bytes(mutated_config(content.decode(), chance))
    elif path.suffix == ".csv":
        path.write_bytes(_mutated_table(content.decode(), chance))
    elif chance.random() < 0.3:
        path.write_bytes(mutated_text(content.decode(), chance))
    else:
        path.write_text(json.dumps(mutated_values(json.loads(content), chance)), encoding="utf-8")


def _mutated_table(text: str, chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        return mutated_text(text, chance)
    rows = list(csv.reader(io.StringIO(text)))
    for _ in range(chance.choice((1, 2, 3))):
        row = chance.choice(rows)
        action = chance.randrange(5)
        if action == 0:
            rows.append(list(row))
        elif action == 1 and len(rows) > 1:
            rows.remove(row)
        elif action == 2 and row:
            del row[chance.randrange(len(row))]
        elif row:
            other = chance.choice((str(anything(chance)), chance.choice(TEXTS[:45]), "0.5", "1"))
            row[chance.randrange(len(row))] = other
    target = io.StringIO()
    csv.writer(target).writerows(rows * chance.choice((1, 1, 1, 300)))
    return target.getvalue().encode("utf-8", "replace")
