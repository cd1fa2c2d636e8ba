"""Write a network's weights as Keras does, whole or not at all."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from modelzoo.support.files import replacing

if TYPE_CHECKING:
    import keras

PER_VARIABLE = 8_192  # bytes that HDF5 needs for a variable's name and place, at most


def save_weights(network: keras.Model, path: Path) -> None:
    """Write a `.weights.h5` of Keras 3."""
    variables = list(network.variables)
    optimizer = getattr(network, "optimizer", None)
    if optimizer is not None:  # Keras writes its memory too
        variables += optimizer.variables
    sizes = [math.prod(variable.shape) for variable in variables]
    with replacing(path) as temporary:
        _check_space(temporary, 4 * sum(sizes) + PER_VARIABLE * len(sizes))
        network.save_weights(temporary)


def _check_space(path: Path, size: int) -> None:
    """Raise OSError unless a file of `size` bytes can be written, where that can be known.

    h5py leaves a broken file open when a disk is full: it prints tracebacks when the process ends,
    and may crash it then.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:  # others: the file system cannot say
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
