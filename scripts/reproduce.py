"""Make the published weights and results again: those missing, or made by an earlier version.

python scripts/reproduce.py --list                 each with its recipe, cost and state
python scripts/reproduce.py                        train what is to be made, the cheapest first
python scripts/reproduce.py lenet5/mnist mlp/mnist only these

results/recipes.yaml has the recipes of weights; other results in results/ name theirs. Each seed is
trained in a folder below runs/reproduce: Ctrl-C keeps it, and the same command goes on. Once all
seeds of a recipe are there, their results are kept, the weights of the one that is best on
validation images are published, and cards and tables are written.
"""

import shlex
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec

import kept_results
from kept_results import Result, add, best_of, check_packaged, command_of, grouped, results
from modelzoo.cli.arguments import Parser, make_parser
from modelzoo.cli.options import chosen_config
from modelzoo.cli.printing import print_notice, table_lines
from modelzoo.config import Config, load_config
from modelzoo.config.layers import read_yaml
from modelzoo.config.published import PublishedWeights
from modelzoo.config.reading import convert
from modelzoo.data.datasets import FETCHED_FOLDER, OFFLINE, load_dataset, place_of, published_files
from modelzoo.data.known_sets import KNOWN_SETS
from modelzoo.data.source import DatasetUnavailable
from modelzoo.support.environment import cache_folder, ending_signals
from modelzoo.support.errors import InputError, RunError, suggest
from modelzoo.support.terminal import say
from modelzoo.support.version import ARITHMETIC
from modelzoo.training.run_folder import RunFolder
from publish_weights import publish, put_entry

RUNS = kept_results.RESULTS.parent / "runs" / "reproduce"
PARSER = make_parser()


class Given(msgspec.Struct, forbid_unknown_fields=True):
    """What results/recipes.yaml says of weights: see its head."""

    train: str
    seeds: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] = (0, 1, 2)
    max_bytes: int | None = None


@dataclass
class Recipe:
    """What makes some weights, or results without weights."""

    name: str  # NETWORK/WEIGHTS; of results their folder in results/, without the seed
    train: str  # options of `python -m train`
    seeds: Sequence[int]
    max_bytes: int | None = None
    has_weights: bool = True
    kept: Sequence[Result] = ()  # results of its seeds

    @cached_property
    def config(self) -> Config:
        """The configuration that is trained."""
        return chosen_config(PARSER.parse_args(["train", *shlex.split(self.train)]))[0]

    @cached_property
    def command(self) -> str:
        """What repeats it, in the words of the tables, without a seed."""
        return command_of(self.config.name, self.config.sections)

    def take(self, found: Sequence[Result]) -> None:
        """Find out which results are its own."""
        own = [each for each in found if each.command == self.command]
        self.kept = [each for each in own if each.metrics["seed"] in self.seeds]

    @property
    def entry(self) -> PublishedWeights | None:
        """The published weights that it is to make."""
        model, _, name = self.name.partition("/")
        entries = load_config(model).weights if self.has_weights else []
        return next((each for each in entries if each.name == name), None)

    @property
    def is_published(self) -> bool:
        """Whether the weights are those of the best of its results, as far as their entry tells."""
        kept, entry = self.kept, self.entry
        return bool(kept and entry and entry.recipe == best_of(kept).recipe)

    def folder(self, seed: int) -> Path:
        """Return where a seed is trained: in another place when the arithmetic changes."""
        config = self.config
        run = f"{config.data.dataset}-{config.fit.epochs}-epochs-seed-{seed}"
        return RUNS / f"arithmetic-{ARITHMETIC}" / config.name / run

    def to_train(self) -> list[int]:
        """Return the seeds without a current result, or the one whose weights are missing."""
        current = [each.metrics["seed"] for each in self.kept if each.is_current]
        wanted = [seed for seed in self.seeds if seed not in current]
        if wanted or not self.has_weights or self.is_published:
            return wanted
        return [best_of(self.kept).metrics["seed"]]

    @property
    def seconds(self) -> float:
        """What training all seeds takes, as far as results tell: those unknown as the others."""
        known = [each.metrics["seconds"] for each in self.kept]
        return statistics.mean(known) * len(self.seeds) if known else float("inf")


def recipes() -> list[Recipe]:
    """Return those of results/recipes.yaml and those of the other results, the cheapest first."""
    layer = read_yaml(kept_results.RESULTS / "recipes.yaml")
    given = convert(
        layer.values, dict[str, Given], lambda key: layer.place(key.partition(".")[2]), "recipes"
    )
    found = [Recipe(name, each.train, each.seeds, each.max_bytes) for name, each in given.items()]
    commands, kept = [each.command for each in found], results()
    for group in grouped(kept):
        first, seeds = group[0], [each.metrics["seed"] for each in group]
        if first.command not in commands:
            name = f"{first.config}/{first.folder.name.rpartition('-seed-')[0]}"
            train = first.command.removeprefix("python -m train ")
            found.append(Recipe(name, train, seeds, has_weights=False))
    for recipe in found:
        recipe.take(kept)
    return sorted(found, key=lambda each: each.seconds)


def listed(recipe: Recipe) -> tuple[str, ...]:
    """Return a row of --list: name, minutes, validation and test accuracy, and the rest."""
    kept, entry, config = recipe.kept, recipe.entry, recipe.config
    best = best_of(kept) if kept else None
    validation = best.metrics["val_accuracy"] if best else None
    test = entry.scores.accuracy if entry else best.metrics["test_accuracy"] if best else None
    machines = dict.fromkeys(f"{each.metrics['device']}" for each in kept)
    words = [f"{recipe.command}, {_seeds(recipe.seeds)}", *machines, *states(recipe)]
    if not is_here(config.data.dataset):
        words.append(f"{config.data.dataset} is not on this machine")
    figures = ["-" if each is None else f"{each:.4f}" for each in (validation, test)]
    minutes = f"{recipe.seconds / 60:.1f}" if kept else "-"
    return recipe.name, minutes, *figures, "; ".join(words)


def states(recipe: Recipe) -> list[str]:
    """Return in words how far a recipe's results and weights are what today's code makes."""
    kept, said = recipe.kept, []
    old = [each.metrics["seed"] for each in kept if not each.is_current]
    missing = set(recipe.seeds) - {each.metrics["seed"] for each in kept}
    if old:
        said.append(f"{_seeds(old)} made by an earlier version")
    if missing:
        said.append(f"{_seeds(sorted(missing))} missing")
    if recipe.has_weights and not recipe.is_published:
        said.append("weights of another run are published" if recipe.entry else "not published")
    if not said:
        return ["made by this version"]
    for seed in recipe.to_train():
        run = RunFolder(recipe.folder(seed))
        if run.is_finished:
            said.append(f"seed {seed} trained here, not published")
        elif run.is_begun:
            said.append(f"seed {seed} begun: {run.load_state()[1].told(recipe.config.fit.epochs)}")
    return said


def is_here(dataset: str) -> bool:
    """Whether a data set needs no network."""
    known = KNOWN_SETS.get(dataset)
    if known and known.derive:
        return is_here(known.made_of)
    fetched = (known and known.files) or dataset
    folder, files = cache_folder() / FETCHED_FOLDER / fetched, published_files(fetched)
    cached = bool(files) and all((folder / name).is_file() for name, _, _ in files)
    return dataset in OFFLINE or place_of(dataset) is not None or cached


def _seeds(numbers: Sequence[int]) -> str:
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def train(recipe: Recipe, seed: int, folder: Path) -> int:
    """Train a seed of a recipe unless it is there, from where it stands; return the exit code."""
    run = RunFolder(folder)
    words = [*shlex.split(recipe.train), "--seed", str(seed), "--out", str(folder)]
    if run.is_begun:
        check_packaged(load_config(folder), recipe.config.name, str(folder))
        words = ["--resume", str(folder)]
    return 0 if run.is_finished else run_command(["train", *words])


def run_command(words: Sequence[str]) -> int:
    """Run `modelzoo` in a process of its own: on its threads the last digits depend."""
    process = subprocess.Popen([sys.executable, "-m", "modelzoo", *words])  # noqa: S603

    def end(number: int, _: object) -> None:  # Ctrl-C reaches the training, too, which saves itself
        if number != signal.SIGINT:
            process.terminate()

    before = {each: signal.signal(each, end) for each in ending_signals()}
    try:
        return process.wait()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def reproduce(recipe: Recipe) -> int:
    """Train what a recipe lacks, keep its results, publish its weights; return the exit code."""
    import update_docs  # brings pandas and Altair, which --list does without

    check_packaged(recipe.config, recipe.config.name, recipe.name)
    load_dataset(recipe.config.data.dataset)  # refused here, where another one may not stand in
    while seeds := recipe.to_train():
        folders = {seed: recipe.folder(seed) for seed in seeds}
        for number, (seed, folder) in enumerate(folders.items(), 1):
            print_notice(f"{recipe.name}: seed {seed}, {number} of {len(seeds)} to be trained")
            if code := train(recipe, seed, folder):
                return code
        for folder in folders.values():
            add(folder)
        recipe.take(results())
        best = best_of(recipe.kept)
        seed = best.metrics["seed"]
        if recipe.has_weights and seed in folders:
            model, _, name = recipe.name.partition("/")
            limit = recipe.max_bytes
            entry = publish(folders[seed], model, name, max_bytes=limit, notify=print_notice)
            put_entry(model, entry)
            print_notice(f"{recipe.name}: seed {seed} is published: {entry.scores}")
        update_docs.update()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code: 0, 1 (failed), 2 (bad input), 130 (interrupted)."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="as --list has them (all)")
    parser.add_argument("--list", action="store_true", help="print them, and train nothing")
    options = parser.parse_args(arguments)
    try:
        found = {each.name: each for each in recipes()}
        for name in options.names:
            if name not in found:
                near = suggest(name, found).partition("; there are")[0]
                raise InputError(f"{name!r:.80}: no recipe has this name{near} (see --list)")
        chosen = [each for name, each in found.items() if name in (options.names or found)]
        if options.list:
            heads = ("NAME", ">MINUTES", ">VALIDATION", ">TEST", "RECIPE, MACHINE, STATE")
            say("\n".join(table_lines(heads, [listed(each) for each in chosen])))
            return 0
        code = 0
        for recipe in chosen:
            try:
                ended = reproduce(recipe)
            except DatasetUnavailable as error:
                if options.names:
                    raise
                print_notice(f"{recipe.name}: left out: {str(error).splitlines()[0]}")
                ended, code = 0, 1
            if ended:
                print_notice(f"{recipe.name}: ended early; the same command goes on")
                return ended
        return code
    except (InputError, RunError) as error:
        say(error, file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


if __name__ == "__main__":
    raise SystemExit(main())
