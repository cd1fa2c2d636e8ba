"""What a shell offers when Tab is pressed, by argcomplete. Starts no framework."""

import argparse
import os
from collections.abc import Iterable
from typing import Any


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end, if it asks what could be typed next; else do nothing."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


def completed(action: argparse.Action) -> None:
    """Let a shell complete names of networks and data sets, where an option takes them."""
    completers = {"model": networks, "names": networks, "dataset": datasets}
    if completer := completers.get(action.dest):
        action.completer = completer  # type: ignore[attr-defined]


def networks(prefix: str, **_: Any) -> Iterable[str]:
    """Return names of networks; behind a slash, those of its weights; or else files."""
    from argcomplete.completers import FilesCompleter

    from modelzoo.config import list_models, load_config

    names, (head, slash, _tail) = list_models(), prefix.partition("/")
    if slash and head in names:
        return [f"{head}/{entry.name}" for entry in load_config(head).weights]
    return [*names, *FilesCompleter()(prefix)]


def datasets(prefix: str, **_: Any) -> Iterable[str]:
    """Return names of data sets."""
    from modelzoo.data.datasets import dataset_names

    return dataset_names()
