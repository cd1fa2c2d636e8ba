"""Write what the documentation says of measured results: model cards and tables.

python scripts/update_docs.py                    write model cards and tables
python scripts/update_docs.py --check            write nothing; exit code 1 if one is out of date
python scripts/update_docs.py --add runs/RUN...  keep the results of finished runs first

Everything is taken from configs/*.yaml and results/<configuration>/<run>/, which hold what a run
wrote itself: metrics.json, history.csv and config.yaml.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import yaml

import timeline
from kept_results import Result, add, grouped, results
from modelzoo import charts
from modelzoo.api import summary
from modelzoo.cli.printing import as_padding, as_strides
from modelzoo.config import Config, list_models, load_config
from modelzoo.data.known_sets import KNOWN_SETS
from modelzoo.support.errors import InputError
from modelzoo.support.files import write_text
from modelzoo.support.terminal import say
from modelzoo.training.device import start_framework

ROOT = Path(__file__).resolve().parents[1]
CARDS, README = ROOT / "docs" / "models", ROOT / "README.md"
SETS = ROOT / "docs" / "data.md"
LONG_TABLE, TIMELINE = ROOT / "docs" / "results.md", ROOT / "docs" / "pictures" / "timeline.svg"
BEGIN, END = "<!-- results: written by scripts/update_docs.py -->", "<!-- end of results -->"
EARLIER = (
    "\\* Made by an earlier version, which drew other random numbers or added in another order: "
    "run again, the last digits may differ."
)


def main() -> int:
    """Run the command; return the exit code: 0, 1 (out of date), 2 (bad input)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", nargs="+", type=Path, default=[], metavar="RUN")
    parser.add_argument("--as", dest="config", help="packaged name of the runs' configuration")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    try:
        for run in options.add:
            print(add(run, options.config))
        stale = update(check=options.check)
    except InputError as error:
        say(error, file=sys.stderr)
        return 2
    return 1 if options.check and stale else 0


def update(check: bool = False) -> list[Path]:
    """Write what is out of date, or only say so; return it."""
    start_framework("tensorflow", "cpu")
    stale = {path: text for path, text in documents() if not _holds(path, text)}
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)}: {'is out of date' if check else 'written'}")
        if not check:
            write_text(path, text)
    if not check:
        draw()
    return list(stale)


def documents() -> Iterator[tuple[Path, str]]:
    """Give the path and the text of each document."""
    found = results()
    for name in cards():
        family = {each for each in list_models() if name in (each, base_of(each))}
        yield CARDS / f"{name}.md", card(name, [r for r in found if r.config in family])
    pages = (README, readme_table(found)), (LONG_TABLE, long_table(found)), (SETS, sets_table())
    for page, table in pages:
        before, _, rest = page.read_text("utf-8").partition(BEGIN)
        yield page, f"{before}{BEGIN}\n{table}{END}{rest.partition(END)[2]}"
    yield ROOT / "docs" / "timeline.md", timeline.page(cards(), measured(found))


def cards() -> list[str]:
    """Return the networks that have a card, the oldest first."""
    found = {name: load_config(name).about for name in list_models() if base_of(name) is None}
    return sorted(found, key=lambda name: (found[name].year or 0, found[name].parameters or 0))


def base_of(name: str) -> str | None:
    """Return the configuration that a recipe is based on."""
    base = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text("utf-8")).get("base")
    return base


def readme_table(found: Sequence[Result]) -> str:
    """Return a row for each network: its published score, or that of its longest training."""
    lines = ["| Network | Year | Parameters | Test accuracy | On |", "|---|---|---|---|---|"]
    for name, here in measured(found).items():
        about, weights = load_config(name).about, load_config(name).weights
        accuracy, dataset = "not trained here", f"`{load_config(name).data.dataset}`"
        if here:
            by = ", by torchvision" if weights and "package" not in weights[0].sources else ""
            accuracy, dataset = f"{here.accuracy:.4f}{by}", f"`{here.dataset}`"
        lines.append(
            f"| [{name}](docs/models/{name}.md) | {about.year} | {about.parameters:,} | "
            f"{accuracy} | {dataset} |"
        )
    return "\n".join(lines) + "\n"


def measured(found: Sequence[Result]) -> dict[str, timeline.Measured | None]:
    """Return what each network with a card reaches: its weights, or its longest training."""
    reached: dict[str, timeline.Measured | None] = {}
    for name in cards():
        weights = load_config(name).weights
        runs = [each.metrics for each in found if each.config == name]
        last = max(runs, key=lambda metrics: metrics["epochs"], default=None)
        if weights:
            scores = weights[0].scores
            reached[name] = timeline.Measured(scores.accuracy, scores.dataset)
        else:
            reached[name] = last and timeline.Measured(last["test_accuracy"], last["dataset"])
    return reached


def long_table(found: Sequence[Result]) -> str:
    """Return a row for each configuration, data set and number of epochs."""
    lines = ["| Network and recipe | Data set | Epochs | Test accuracy | Command |"]
    lines.append("|---|---|---|---|---|")
    for group in grouped(found):
        first = group[0]
        dataset, epochs = first.metrics["dataset"], first.metrics["epochs"]
        command = f"`{first.command}`"
        if "--set" in command:  # too long for a table
            command = f"in the [model card](models/{base_of(first.config) or first.config}.md)"
        star = "" if all(each.is_current for each in group) else " \\*"
        lines.append(
            f"| {first.config} | `{dataset}` | {epochs} | {accuracies(group)}{star} | {command} |"
        )
    if not all(each.is_current for each in found):
        lines += ["", EARLIER]
    return "\n".join(lines) + "\n"


def sets_table() -> str:
    """Return a row for each data set that is fetched."""
    lines = ["| Data set | Images | Fetched from | Licence |", "|---|---|---|---|"]
    for name, known in KNOWN_SETS.items():
        if known.images:
            images = "{:,} + {:,}".format(*known.images)
            lines.append(f"| `{name}` | {images} | `{known.addresses[0]}` | {known.licence} |")
    return "\n".join(lines) + "\n"


def accuracies(group: Sequence[Result]) -> str:
    """Return the test accuracies of some seeds, with mean and spread of three or more."""
    values = [each.metrics["test_accuracy"] for each in group]
    seeds = ", ".join(str(each.metrics["seed"]) for each in group)
    text = (
        f"{', '.join(f'{value:.4f}' for value in values)} (seed{'s' * (len(values) > 1)} {seeds})"
    )
    if len(values) < 3:
        return text
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}: {text}"


def card(name: str, found: Sequence[Result]) -> str:
    """Return the model card of a network."""
    config = load_config(name)
    about, model = config.about, config.model
    layers = summary(name)
    total, trainable = (
        sum(layer[key] for layer in layers) for key in ("parameters", "trainable_parameters")
    )
    rows = [
        f"| {layer['name']} | {layer['type']} | {_sizes(layer['output_shape'])} | "
        f"{_sizes(layer['kernel_size'] or ())} | {as_strides(layer['strides'] or ())} | "
        f"{as_padding(layer['padding'])} | {layer['activation'] or ''} | "
        f"{layer['parameters']:,} | {layer['connections']:,} |"
        for layer in layers
    ]
    lines = [
        f"# {name}",
        "",
        f"{about.title}. {about.source}.",
        "",
        "Written by `python scripts/update_docs.py` from the configuration and from `results/`.",
        "",
        f"- Input: {_sizes(model.input_shape)}; classes: {model.num_classes}",
        f"- Parameters: {total:,}, of which {trainable:,} are trained",
        f"- Configuration: [configs/{name}.yaml](../../configs/{name}.yaml)",
        "",
        f"![{name} as a row of blocks, from input to output](drawings/{name}.svg)",
        "",
        "## Layers",
        "",
        "| Layer | Type | Output | Window | Stride | Padding | Activation | Parameters "
        "| Connections |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    if about.paper:
        lines += ["## The paper's figures", "", *_figures(config), ""]
    if deviations := about.deviations:
        lines += ["## Deviations from the paper", "", "| Paper | Ours |", "|---|---|"]
        sides = (each.replace("|", "\\|").split("; ours: ", 1) for each in deviations)
        lines += [*(f"| {paper.removeprefix('paper: ')} | {ours} |" for paper, ours in sides), ""]
    if config.weights:
        lines += ["## Weights", "", *_weights(config)]
    if found:
        lines += ["## Trainings", "", *_trainings(found)]
    return "\n".join(lines)


def _figures(config: Config) -> list[str]:
    """Return a table of what the paper states, what we have, and the difference."""
    about = config.about
    paper, lines = about.paper or {}, ["| | Paper | Ours | Difference |", "|---|---|---|---|"]
    if "parameters" in paper:
        ours = about.parameters
        lines.append(
            f"| Parameters | {paper['parameters']:,} | {ours:,} | {ours - paper['parameters']:+,} |"
        )
    if "test_error" in paper:
        error = f"| Test error | {paper['test_error']:.2f} % ({paper['measured_on']}) |"
        scores = config.weights[0].scores if config.weights else None
        if scores is None:
            return [*lines, f"{error} not measured | |"]
        ours = 100 * (1 - scores.accuracy)
        difference = ours - paper["test_error"]
        lines.append(f"{error} {ours:.2f} % ({scores.dataset}) | {difference:+.2f} points |")
    return lines


def _weights(config: Config) -> list[str]:
    lines = []
    for entry in config.weights:
        label = f"{config.name}/{entry.name}"
        lines += [
            f"### {label}",
            "",
            f"- Published: {entry.scores}",
            f"- {entry.recipe}",
            *([f"- {entry.note}"] if entry.note else []),
            f"- {f'{entry.bytes:,} bytes' if entry.bytes else 'size and hash were never published'}"
            + (f", SHA-256 `{entry.sha256}`" if entry.sha256 else ""),
            f"- Licence: {entry.licence}",
        ]
        if entry.sha256:
            command = f"python -m evaluate --model {config.name} --weights {entry.name} --check"
            lines.append(f"- Measure it again: `{command}`")
        lines.append("")
    return lines


def _trainings(found: Sequence[Result]) -> list[str]:
    lines = [
        "The best epoch on validation images is kept, or the last one where none are held out; the",
        "test set is scored once. Minutes are wall time, on a machine that had other work, too.",
        "",
        "| Recipe | Data set | Epochs | Seed | Best | Validation | Test | Minutes | Machine |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        m = each.metrics
        validation = "none" if m["val_accuracy"] is None else f"{m['val_accuracy']:.4f}"
        lines.append(
            f"| {each.config} | {m['dataset']} | {m['epochs']} | {m['seed']} | {m['best_epoch']} | "
            f"{validation} | {m['test_accuracy']:.4f} | {m['seconds'] / 60:.1f} | "
            f"{_cell(m['device'])}, {_cell(m['backend'])} |"
        )
    lines.append("")
    for group in grouped(found):
        first = group[0]
        lines += [
            f"### {first.config}, {first.metrics['dataset']}, {first.metrics['epochs']} epochs",
            "",
            f"Test accuracy {accuracies(group)}.",
            "",
            f"`{first.command} --seed {first.metrics['seed']}`",
            "",
            f"![Loss and accuracy by epoch](curves/{curve_name(first)})",
            "",
        ]
    return lines


def _cell(text: object) -> str:
    """Return text that stays text in a table's cell; a run's files may come from anybody."""
    return re.sub(r"[^\w .,:;()/@+-]", "_", str(text))


def curve_name(result: Result) -> str:
    """Return the file of the curves of a result."""
    return f"{result.config}-{result.folder.name}.svg"


def draw() -> None:
    """Draw the networks, their timeline, and the curves of the first seed of each group."""
    for name in cards():
        chart = charts.architecture(summary(name), name)
        charts.save(chart, CARDS / "drawings" / f"{name}.svg")
    charts.save(timeline.chart(cards(), measured(results())), TIMELINE)
    for group in grouped(results()):
        history = pd.read_csv(group[0].folder / "history.csv")
        charts.save(charts.training_curves(history), CARDS / "curves" / curve_name(group[0]))


def _sizes(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    raise SystemExit(main())
