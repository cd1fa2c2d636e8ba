# @title Set-up { display-mode: "form" }
# Installs modelzoo where it is missing: from a clone, an uploaded wheel, or ADDRESS.
# Defines check(answer, expected), by which the exercises say what is wrong with an answer.
# The same cell opens every notebook: scripts/update_notebooks.py copies scripts/first_cell.py.
import importlib
import platform
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

ADDRESS = ""  # of the repository, "https://…"; copied from [project.urls] in pyproject.toml
NAME = "modelzoo-classics"  # the package index has another project called modelzoo


class SetupError(Exception):
    def _render_traceback_(self):  # IPython shows this sentence in place of a traceback
        return [str(self)]


def find_source(here):
    projects = [here / "pyproject.toml", here.parent / "pyproject.toml"]
    for file in (*projects, *sorted(here.glob("*/pyproject.toml"))):
        if file.is_file() and f'name = "{NAME}"' in file.read_text("utf-8"):
            return str(file.parent)
    wheels = sorted(here.glob("modelzoo_classics-*.whl"), key=lambda file: file.stat().st_mtime)
    if wheels or ADDRESS:
        return str(wheels[-1]) if wheels else f"git+{ADDRESS}"
    raise SetupError(
        f"modelzoo is not installed, and there is no clone and no wheel of it in {here}: upload "
        "modelzoo_classics-….whl there, or set ADDRESS in this cell, and run the cell again."
    )


if not any(distributions(name=NAME)):
    if any(distributions(name="modelzoo")):
        raise SetupError(
            "The package `modelzoo` that is installed here is another project, or this one before "
            "it was renamed: run `%pip uninstall --yes modelzoo`, restart, and run this cell again."
        )
    source = find_source(Path.cwd())
    print("Installing", source, "…")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", source]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"pip could not install {source}:\n{done.stderr}")
    importlib.invalidate_caches()

import modelzoo

if not hasattr(modelzoo, "load_config"):
    raise SetupError(f"{modelzoo} is not {NAME}: rename or uninstall it, and restart the kernel.")

device = modelzoo.start_framework()  # TensorFlow, on a GPU if there is one
import keras


def check(answer, expected, hints=()):
    import numpy as np

    right = np.asarray(expected)
    tolerance = 0 if right.dtype.kind in "iu" else 1e-3
    parts = np.array(answer, dtype=object).ravel()
    if any(part is ... or part is None for part in parts):
        return print("Not answered yet: put your answer in the place of the dots.")
    try:
        found = np.asarray(answer, float)
    except (TypeError, ValueError):
        return print(f"Not yet: {type(answer).__name__} is given, and numbers are wanted.")
    if found.shape != right.shape:
        return print(f"Not yet: the shape is {found.shape}, and should be {right.shape}.")
    is_close = np.isclose(found, right, rtol=tolerance, atol=tolerance / 1000)
    if is_close.all():
        return print("Right.")
    for wrong, reason in hints:
        if np.allclose(found, np.asarray(wrong, float), rtol=tolerance, atol=tolerance / 1000):
            return print(f"Not yet: {reason}.")
    place = tuple(int(index) for index in np.argwhere(~is_close)[0])
    size = "large" if found[place] > right[place] else "small"
    where = f" at {list(place)}" if place else ""
    return print(f"Not yet: {found[place]:g}{where} is too {size}.")


print(f"modelzoo {modelzoo.__version__}, Python {platform.python_version()}")
print(f"Keras {keras.__version__} on {keras.backend.backend()}, {device.description}")
