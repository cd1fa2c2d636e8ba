"""The data sets as a script reads them: four uint8 arrays, as from `keras.datasets`."""

import os
from pathlib import Path

import numpy as np

Split = tuple[np.ndarray, np.ndarray]


def load(name: str) -> tuple[Split, Split]:
    """Return ((x_train, y_train), (x_test, y_test)) of $MODELZOO_DATA/<name>.npz."""
    with np.load(Path(os.environ["MODELZOO_DATA"]) / f"{name}.npz") as data:
        return (data["x_train"], data["y_train"]), (data["x_test"], data["y_test"])
