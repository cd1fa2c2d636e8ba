"""The classic convolutional networks for Keras 3, from YAML to a checked number.

Importing this package starts no framework: each name is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from modelzoo.support.version import __version__

if TYPE_CHECKING:  # so that a type checker, and an editor, know what `__getattr__` gives
    from modelzoo import charts as charts
    from modelzoo.analysis.measuring import attack as attack
    from modelzoo.analysis.measuring import robustness as robustness
    from modelzoo.analysis.seeing import features as features
    from modelzoo.analysis.seeing import saliency as saliency
    from modelzoo.api import build as build
    from modelzoo.api import evaluate as evaluate
    from modelzoo.api import list_weights as list_weights
    from modelzoo.api import load as load
    from modelzoo.api import preprocess as preprocess
    from modelzoo.api import summary as summary
    from modelzoo.config import Config as Config
    from modelzoo.config import list_models as list_models
    from modelzoo.config import load_config as load_config
    from modelzoo.config import register as register
    from modelzoo.convert.exporting import export as export
    from modelzoo.convert.importing.import_file import import_file as import_file
    from modelzoo.data.datasets import load_dataset as load_dataset
    from modelzoo.data.filters import filters as filters
    from modelzoo.networks import reference as reference
    from modelzoo.page.make import demo as demo
    from modelzoo.page.show import show as show
    from modelzoo.support.errors import InputError as InputError
    from modelzoo.support.errors import RunError as RunError
    from modelzoo.training.device import start_framework as start_framework
    from modelzoo.training.prediction import predict as predict
    from modelzoo.training.trainer import Trainer as Trainer
    from modelzoo.training.trainer import resume as resume

_PUBLIC = {
    "modelzoo": ("charts",),
    "modelzoo.analysis.measuring": ("attack", "robustness"),
    "modelzoo.analysis.seeing": ("features", "saliency"),
    "modelzoo.api": ("build", "evaluate", "list_weights", "load", "preprocess", "summary"),
    "modelzoo.config": ("Config", "list_models", "load_config", "register"),
    "modelzoo.convert.exporting": ("export",),
    "modelzoo.convert.importing.import_file": ("import_file",),
    "modelzoo.data.datasets": ("load_dataset",),
    "modelzoo.data.filters": ("filters",),
    "modelzoo.networks": ("reference",),
    "modelzoo.page.make": ("demo",),
    "modelzoo.page.show": ("show",),
    "modelzoo.support.errors": ("InputError", "RunError"),
    "modelzoo.training.device": ("start_framework",),
    "modelzoo.training.prediction": ("predict",),
    "modelzoo.training.trainer": ("Trainer", "resume"),
}  # fmt: skip
_MODULES = ("charts", "reference")
_HOMES = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'modelzoo' has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"{_HOMES[name]}.{name}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
