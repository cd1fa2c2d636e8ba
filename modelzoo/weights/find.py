"""Find the file of the weights that a command or a call names."""

from pathlib import Path

from modelzoo.config import Config
from modelzoo.config.published import TORCH_SUFFIXES, PublishedWeights, check_sha256, file_at
from modelzoo.support.errors import InputError
from modelzoo.support.files import is_there, state_of
from modelzoo.weights.store import fetch


def named_weights(config: Config, weights: str | Path | None) -> PublishedWeights | None:
    """Return the published weights of that name; None if it is that of a file or an address."""
    named = [entry for entry in config.weights if entry.name == weights]
    return named[0] if named else None


def find_weights(
    config: Config,
    weights: str | Path,
    *,
    sha256: str | None = None,
    allow_unverified: bool = False,
) -> Path:
    """Return the path of weights, a name, file, run's folder or address; fetch them if need be."""
    published = named_weights(config, weights)
    if published is not None:
        if sha256 is not None:
            raise InputError(
                f"{config.name}/{published.name}: its SHA-256 stands in the configuration; "
                "--sha256 is for a custom file"
            )
        file = published.file_of(config.name)
        return fetch(file, allow_unverified=allow_unverified).path
    from modelzoo.weights.hdf5 import check_signature  # brings NumPy

    if isinstance(weights, str) and ("://" in weights or weights.startswith(("gdrive:", "file:"))):
        path = fetch(file_at(weights, sha256), allow_unverified=allow_unverified).path
        sha256 = None  # it has been checked
    elif is_there(Path(weights) / "best.weights.h5"):
        path = Path(weights) / "best.weights.h5"
    else:
        path = Path(weights)
        if not is_there(path) and path.suffix not in (".h5", ".hdf5", *TORCH_SUFFIXES):
            raise no_weights(config, str(weights))
    check_signature(path)  # cheap, so asked before a framework starts
    if sha256 is not None and state_of(path, check_sha256(sha256)) != "good":
        raise InputError(f"{path}: is another file than the one with the SHA-256 {sha256}")
    return path


def no_weights(config: Config, name: str) -> InputError:
    """Return the error for weights that a network does not publish, with those that it does."""
    names = [entry.name for entry in config.weights]
    known = f"published: {', '.join(names)}" if names else "none are published for it yet"
    return InputError(f"{config.name} has no weights {name!r}; {known}")
