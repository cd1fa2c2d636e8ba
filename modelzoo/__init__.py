"""The classic convolutional networks for Keras 3, from YAML to a checked number.

Importing this package starts no framework: each name is imported when it is first used.
"""

import importlib
from typing import Any

from modelzoo.version import __version__

_PUBLIC = {
    "Config": "modelzoo.config",
    "InputError": "modelzoo.errors",
    "RunError": "modelzoo.errors",
    "Trainer": "modelzoo.training.trainer",
    "build": "modelzoo.zoo",
    "export": "modelzoo.exporting.export",
    "features": "modelzoo.explain",
    "list_models": "modelzoo.config",
    "load": "modelzoo.zoo",
    "load_config": "modelzoo.config",
    "preprocess": "modelzoo.zoo",
    "resume": "modelzoo.training.trainer",
    "saliency": "modelzoo.explain",
}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'modelzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
