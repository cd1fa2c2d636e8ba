"""What the options that many commands share stand for. Starts no framework."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelzoo.errors import InputError

if TYPE_CHECKING:
    from modelzoo.config import Config
    from modelzoo.weights.registry import PublishedWeights


def chosen_config(options: argparse.Namespace, shortcuts: Sequence[str]) -> Config:
    """Read the configuration that --model, --config, --dataset, --set and shortcuts describe."""
    from modelzoo.config import load_config

    config = load_config(
        options.model, config_file=options.config, dataset=options.dataset, overrides=options.set
    )
    for name in shortcuts:
        value = getattr(options, name)
        if value is not None:
            section = "fit" if name == "epochs" else "trainer"
            if name in ("epochs", "seed"):
                value = whole_number(f"--{name}", value)
            config = config.with_values({section: {name: value}}, f"--{name}")
    return config


def chosen_weights(
    options: argparse.Namespace,
) -> tuple[Config, PublishedWeights | None, Path]:
    """Return the configuration, the published weights that are meant, if any, and their file."""
    from modelzoo.weights.find import find_weights
    from modelzoo.weights.published import as_published, published_weights

    config = chosen_config(options, ("backend",))
    published = published_weights(config, options.model, options.weights)
    # Unless told otherwise, weights are scored on their own data, which names their classes, too.
    if published and options.dataset is None and not config.is_set("data.dataset"):
        config = as_published(config, published)
    path = find_weights(
        config,
        options.model,
        options.weights,
        sha256=options.sha256,
        allow_unverified=options.allow_unverified,
    )
    return config, published, path


def whole_number(option: str, text: str) -> int:
    """Return the number in an option's text, or raise an InputError that names the option."""
    if not text.removeprefix("-").isdecimal() or len(text) > 20:
        raise InputError(f"{option} {text:.80}: should be a whole number")
    return int(text)


def share(option: str, text: str) -> float:
    """Return the number from 0 to 1 in an option's text, or raise an InputError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise InputError(f"{option} {text:.80}: should be a number from 0 to 1")
    return value
