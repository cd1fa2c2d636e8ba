"""The classic convolutional networks for Keras 3, from YAML to a checked number.

Importing this package starts no framework: each name is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from modelzoo.support.version import __version__

if TYPE_CHECKING:  # so that a type checker, and an editor, know what `__getattr__` gives
    from modelzoo.analysis.explain import features as features
    from modelzoo.analysis.explain import saliency as saliency
    from modelzoo.api import build as build
    from modelzoo.api import evaluate as evaluate
    from modelzoo.api import load as load
    from modelzoo.api import predict as predict
    from modelzoo.api import preprocess as preprocess
    from modelzoo.config import Config as Config
    from modelzoo.config import list_models as list_models
    from modelzoo.config import load_config as load_config
    from modelzoo.convert.exporting import export as export
    from modelzoo.page.make import demo as demo
    from modelzoo.support.errors import InputError as InputError
    from modelzoo.support.errors import RunError as RunError
    from modelzoo.training.trainer import Trainer as Trainer
    from modelzoo.training.trainer import resume as resume

_PUBLIC = {
    "modelzoo.api": ("build", "evaluate", "load", "predict", "preprocess"),
    "modelzoo.config": ("Config", "list_models", "load_config"),
    "modelzoo.support.errors": ("InputError", "RunError"),
    "modelzoo.analysis.explain": ("features", "saliency"),
    "modelzoo.convert.exporting": ("export",),
    "modelzoo.page.make": ("demo",),
    "modelzoo.training.trainer": ("Trainer", "resume"),
}
_HOMES = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'modelzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
