"""Data sets that Keras fetches, without hanging, without a socket when offline, and checked."""

import contextlib
import importlib
import os
import socket
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Never

from modelzoo.data.npz import CheckedArrays, check_arrays
from modelzoo.environment import is_offline
from modelzoo.errors import InputError, reason_of

KERAS_SETS = ("mnist", "fashion_mnist", "cifar10", "cifar100")
FALLBACK = Path("/tmp/.keras")  # noqa: S108, Keras' choice
FETCH_TIMEOUT = 15.0  # seconds without an answer
# What Keras' readers raise on a file that is there but broken.
DAMAGE = (EOFError, KeyError, UnpicklingError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


class DatasetUnavailable(InputError):  # noqa: N818, the name says what is the matter
    """A data set is neither on this machine nor to be had from the network."""


def load_from_keras(name: str, class_count: int) -> CheckedArrays:
    """Load one of `KERAS_SETS` from Keras' cache or from the network.

    Raises:
        DatasetUnavailable: it is not in Keras' cache and can't be fetched.
        InputError: Keras' copy is damaged.
    """
    # Keras tells of its downloads on stdout, where a program may be reading JSON.
    with contextlib.redirect_stdout(sys.stderr):
        load_data = importlib.import_module(f"keras.datasets.{name}").load_data
        _refuse_foreign_folder(name)
        try:
            with _bounded_network():
                (x_train, y_train), (x_test, y_test) = load_data()
        except Exception as error:  # Keras raises a bare Exception when it can't fetch
            raise _explained(name, error) from error
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    if x_train.shape[1] == 3:  # CIFAR, where keras.json says channels_first
        arrays |= {key: arrays[key].transpose(0, 2, 3, 1) for key in ("x_train", "x_test")}
    return check_arrays(arrays, f"Keras' copy of {name}", class_count)


def _refuse_foreign_folder(name: str) -> None:
    """Refuse the folder that Keras turns to where its own can't be written to, if others made it.

    Keras believes what it finds in its folder; this one anybody can lay out for others.
    """
    if os.access(Path(_keras_home()).expanduser(), os.W_OK):
        return
    with contextlib.suppress(OSError, AttributeError):  # not there yet; Windows
        if FALLBACK.lstat().st_uid != os.getuid():
            raise DatasetUnavailable(
                f"{name} can't be loaded: {_keras_home()} can't be written to, and {FALLBACK}, "
                "which Keras would use, belongs to another user; KERAS_HOME names a folder"
            )


@contextlib.contextmanager
def _bounded_network() -> Iterator[None]:
    """Within this, urllib gives up when nothing answers, and does not even try when offline."""
    timeout = socket.getdefaulttimeout()
    opener = getattr(urllib.request, "_opener", None)  # there is no public way to ask
    socket.setdefaulttimeout(FETCH_TIMEOUT)
    if is_offline():
        urllib.request.install_opener(_ClosedNetwork())
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
        urllib.request.install_opener(opener)


class _ClosedNetwork(urllib.request.OpenerDirector):
    def open(self, *args: Any, **kwargs: Any) -> Never:
        raise urllib.error.URLError("MODELZOO_OFFLINE forbids the network")


def _explained(name: str, error: Exception) -> InputError:
    reason = reason_of(error)
    if isinstance(error, DAMAGE) or (isinstance(error, ValueError) and "hash" not in reason):
        return InputError(
            f"{name}: Keras' own copy of it is damaged ({reason})\n"
            f"Delete {name.replace('_', '-')} from {_keras_home()}/datasets and run this again."
        )
    return DatasetUnavailable(f"{name} can't be fetched: {reason}")


def _keras_home() -> str:
    return os.environ.get("KERAS_HOME") or "~/.keras"
