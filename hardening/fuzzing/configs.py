"""YAML configurations: mutated as text and as values, loaded, built and trained."""

import random
from pathlib import Path

import yaml

from hardening.fuzzing import material
from hardening.fuzzing.mutation import mutated_text, mutated_values, with_other_number
from hardening.fuzzing.worker import Place, command

LARGE = ("alexnet_2012", "alexnet_2012_single", "alexnet_owt")  # a second each to build
# A training has these, whatever the mutation made of them: so that it ends.
SHORT = ("--epochs", "1", "--set", "data.training_images=12", "--set", "fit.class_weight=null")


class Configs:
    """Mutated configurations and studies, through `info` or `load_study`."""

    def prepare(self, seeds: Path) -> None:
        """Read ours."""
        material.write_data()
        material.start()
        self.texts = {p.stem: p.read_text(encoding="utf-8") for p in _networks()}
        self.studies = [
            path.read_text(encoding="utf-8")
            for path in sorted((material.CONFIGS / "studies").glob("*.yaml"))
        ]

    def run(self, chance: random.Random, place: Place) -> None:
        """Load and build one."""
        material.forget()
        path = place.inputs / "mutated.yaml"
        if chance.random() < 0.05:
            self._study(chance, path)
            return
        name = _one_of(self.texts, chance)
        path.write_bytes(mutated_config(self.texts[name], chance))
        way = chance.randrange(10)
        if way == 0:
            command("info", name, "--config", str(path), "--layers")
        elif way == 1:
            other = chance.choice(("mutated.yaml", "other.yaml", "./mutated", str(path), "sub/x"))
            (place.inputs / "other.yaml").write_text(f"base: {other}\nname: other\n")
            command("info", str(place.inputs / "other.yaml"), "--layers")
        elif way == 2:
            command("info", str(path), "--json")
        else:
            command("info", str(path), "--layers")

    def _study(self, chance: random.Random, path: Path) -> None:
        from modelzoo.training.prepare import build_network
        from modelzoo.training.study import load_study, variant_folders

        path.write_bytes(mutated_config(chance.choice(self.studies), chance))
        study = load_study(path)
        variant_folders(study, path.parent / "out")
        build_network(next(iter(study.variants.values())))


class Trainings:
    """Mutated configurations, each trained for an epoch of 12 images."""

    def prepare(self, seeds: Path) -> None:
        """Read ours but for the largest."""
        material.write_data()
        material.start()
        self.texts = {p.stem: p.read_text(encoding="utf-8") for p in _networks()}
        for name in LARGE:
            del self.texts[name]

    def run(self, chance: random.Random, place: Place) -> None:
        """Train one."""
        material.forget()
        name = chance.choice(sorted(self.texts))
        path = place.inputs / "mutated.yaml"
        values = yaml.safe_load(self.texts[name])
        values.pop("weights", None)
        for _ in range(chance.choice((1, 1, 2))):
            section = chance.choice([key for key in values if key not in ("about", "base", "name")])
            change = with_other_number if chance.random() < 0.6 else mutated_values
            values[section] = change(values[section], chance)
        path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        data = "tiny_rgb" if name.startswith("alexnet") else "tiny"
        given = ["--model", str(path), "--dataset", data, "--device", "cpu", "--out", "run"]
        command("train", *given, *SHORT)


def mutated_config(text: str, chance: random.Random) -> bytes:
    """Return a configuration changed as a text, as values, or in the numbers of its network."""
    way = chance.randrange(4)
    if way < 2:
        return mutated_text(text, chance)
    values = yaml.safe_load(text)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if way == 2:
            values = mutated_values(values, chance)
        else:
            known = [key for key in ("model", "model", "data") if key in values] or ["variants"]
            section = chance.choice(known)
            values[section] = with_other_number(values[section], chance)
    return yaml.safe_dump(values, allow_unicode=True).encode("utf-8", "surrogatepass")


def _networks() -> list[Path]:
    return sorted(material.CONFIGS.glob("*.yaml"))


def _one_of(texts: dict[str, str], chance: random.Random) -> str:
    names = sorted(texts)
    name = chance.choice(names)
    return chance.choice(names) if name in LARGE else name  # these half as often
