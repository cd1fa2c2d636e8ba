"""What the options that many commands share stand for. Starts no framework."""

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelzoo.cli.printing import print_notice
from modelzoo.config import SCHEDULE, Config, load_config
from modelzoo.config.layers import nested
from modelzoo.support.errors import InputError
from modelzoo.support.files import as_typed
from modelzoo.training.resolve import Source, configure, resolve

TENSORBOARD = {"class_name": "TensorBoard", "config": {"log_dir": "tensorboard"}}
SHORTCUTS = {  # options that stand for a key, in the order of `modelzoo train --help`
    "epochs": "fit.epochs",
    "batch_size": "data.batch_size",
    "learning_rate": SCHEDULE,
    "seed": "trainer.seed",
    "skip_bad_images": "data.skip_bad_images",
    "precision": "trainer.precision",
    "backend": "trainer.backend",
    "distribute": "trainer.distribute",
}


def arguments_of(function: Callable[..., Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of a call that options stand for, by the names of its parameters."""
    given = dict(vars(options))
    backend = [f"trainer.backend={options.backend}"] if given.get("backend") else []
    given |= {"config_file": given.get("config"), "overrides": [*given.get("set", ()), *backend]}
    return {name: given[name] for name in inspect.signature(function).parameters if name in given}


def chosen_source(options: argparse.Namespace, **others: Any) -> Source:
    """Find the network and the weights that options, and other arguments of `resolve`, name."""
    return resolve(**arguments_of(resolve, options) | others)


def chosen_config(options: argparse.Namespace, **others: Any) -> tuple[Config, str | Path | None]:
    """Read the configuration that options and SHORTCUTS describe, and the weights named."""
    config, weights = configure(**arguments_of(configure, options) | others)
    for name, key in SHORTCUTS.items():
        value, option = getattr(options, name, None), f"--{name.replace('_', '-')}"
        if value is None:
            continue
        before = config.value(key)
        if isinstance(before, dict):
            print_notice(f"{option} {value}: replaces the schedule {before.get('class_name')}")
        if name == "epochs" and not getattr(options, "resume", None):
            config = config.with_epochs(value, option)
        else:
            config = config.with_values(nested(key, value), option)
    callbacks = config.fit.callbacks
    if getattr(options, "tensorboard", False) and TENSORBOARD not in callbacks:
        values = {"fit": {"callbacks": [*callbacks, TENSORBOARD]}}
        config = config.with_values(values, "--tensorboard")
    return config, weights


def changes_to_a_run(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `resume` shall change: a run goes on as it began but for length and devices."""
    from modelzoo.training.run_folder import RunFolder

    folder = RunFolder(options.resume)
    folder.check_is_begun()
    own, (asked, _) = load_config(folder.config), chosen_config(options, model=folder.config)
    start, sha256 = own.trainer.weights, own.trainer.weights_sha256
    names = {  # what an option may say of the run itself
        "model": (own.name, folder.path, folder.config),
        "weights": (start, str(start).removeprefix(f"{own.name}/")),
        "sha256": (sha256,),
        "out": (folder.path,),
    }
    said = [
        f"--{name} {given}: not what {folder.path} was trained with ({known[0]})"
        for name, known in names.items()
        if (given := getattr(options, name)) is not None
        and Path(given) not in [Path(str(each)) for each in known]
    ]
    may_change = ("fit.epochs", "trainer.distribute")
    key = next((each for each in own.differences(asked) if each not in may_change), None)
    if key is not None:
        values = f"{key} is {own.value(key)!r} in {folder.path}, not {asked.value(key)!r}"
        said.append(f"{asked.origin(key)}: {values}")
    if said:
        raise InputError(
            f"{said[0]}\nA resumed run goes on as it began; only --epochs, --device and "
            "--distribute may change. To train from its weights with other settings: "
            f"python -m train --model {own.name} --dataset {as_typed(own.data.dataset)} "
            f"--weights {as_typed(folder.path)}"
        )
    return {"epochs": asked.fit.epochs, "distribute": asked.trainer.distribute}
