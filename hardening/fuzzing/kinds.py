"""The kinds of input that are mutated, by the name that the command takes."""

import importlib
from typing import Any

KINDS = {  # the module and the class
    "configs": "configs.Configs",
    "trainings": "configs.Trainings",
    "commands": "commands.Commands",
    "h5": "weight_files.H5Files",
    "pth": "weight_files.StateDicts",
    "keras": "archive_files.KerasArchives",
    "safetensors": "archive_files.SafeTensors",
    "caffe": "archive_files.CaffeArrays",
    "images": "pictures.Pictures",
    "npz": "arrays.Arrays",
    "idx": "data_files.IdxFiles",
    "tables": "data_files.Tables",
    "cifar": "data_files.CifarFiles",
    "mat": "data_files.MatFiles",
    "folders": "data_files.ImageFolders",
    "registry": "registry.Registry",
    "runs": "runs.Runs",
}


def find(name: str) -> Any:  # a worker.Kind
    """Return a kind by its name or MODULE.CLASS, its module imported only now."""
    module, _, cls = KINDS.get(name, name).partition(".")
    return getattr(importlib.import_module(f"hardening.fuzzing.{module}"), cls)()
