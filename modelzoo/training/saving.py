"""What a training keeps on the disk: its state, after an epoch or within, and its best weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from modelzoo.support.errors import InputError, RunError
from modelzoo.support.hashes import sha256_of
from modelzoo.training.distribution import learning_rate_of
from modelzoo.training.run_folder import RunFolder
from modelzoo.training.state import Progress
from modelzoo.weights.writer import save_weights

if TYPE_CHECKING:
    from modelzoo.training.session import Session


class Saving:
    """The folder of a run, where the run stands, and the arrays that go back and forth.

    Args:
        session: whose network and optimizer are saved.
        folder: of a new run, or of one that was begun: `restore` puts back what that saved.

    Attributes:
        progress: where the run stands.
        done: what is saved of it, in words.
        running: the metrics of the epoch that was begun, an array each.
    """

    def __init__(self, session: Session, folder: RunFolder) -> None:
        self.session, self.folder = session, folder
        self.progress, self.done = Progress(), "nothing"
        self.running: list[np.ndarray] = []

    def begin(self) -> None:
        """Write the configuration, and the state before the first epoch."""
        self.folder.write_config(self.session.config)
        self.save()

    def restore(self) -> None:
        """Put back what an interrupted run has saved, and let it go on from there.

        Raises:
            InputError: it is damaged, or belongs to another network or other data.
        """
        folder = self.folder
        self.load()
        progress = self.progress
        self.done = progress.told(self.session.config.fit.epochs)
        if progress.is_at_best:  # it may have been killed before it had written them
            self._keep_best()
        elif progress.epochs_done and not folder.warning:
            # else a later epoch, which is trained again, may have other ones
            folder.check_best_weights(progress)
        folder.write_config(self.session.config)
        folder.reopen()
        folder.write_history(progress.history)

    def load(self) -> None:
        """Read the state, and put its arrays into the network and the optimizer."""
        known = self.progress.best_sha256  # the state of the best epoch was written before its file
        arrays, self.progress = self.folder.load_state()
        progress, session, state = self.progress, self.session, self.folder.state
        progress.best_sha256 = progress.best_sha256 or known
        within = progress.batches_done > 0
        variables = session.variables(within_epoch=within)
        if [tuple(variable.shape) for variable in variables] != [each.shape for each in arrays]:
            raise InputError(f"{state}: belongs to another network than config.yaml")
        if within and progress.batches != session.pipeline.steps_per_epoch:
            raise InputError(
                f"{state}: was saved within an epoch of {progress.batches} batches, which now has "
                f"{session.pipeline.steps_per_epoch}: the data set or data.batch_size is another "
                "one"
            )
        if within and session.distribution.replicas > 1:
            raise InputError(
                f"{state}: was saved within an epoch, which one process has to end: resume it with "
                "--distribute none"
            )
        with session.distribution.scope():
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
        self.running = arrays[len(session.variables(within_epoch=False)) :]

    def save(self) -> None:
        """Write state.npz."""
        variables = self.session.variables(within_epoch=self.progress.batches_done > 0)
        self.folder.save_state(map(_to_numpy, variables), self.progress)
        self.done = self.progress.told(self.session.config.fit.epochs)

    def end_epoch(self, row: dict[str, float]) -> None:
        """Save the state, then the best weights: after a kill in between, the state has them."""
        session, progress, epoch = self.session, self.progress, int(row["epoch"])
        if not all(
            np.isfinite(_to_numpy(each)).all() for each in session.network.trainable_variables
        ):
            # The loss of the last batch was computed before.
            raise self.ruined(f"the weights became NaN or infinite in epoch {epoch}")
        value = row.get("val_accuracy", row.get("accuracy"))
        no_validation = "val_accuracy" not in row
        if progress.best_value is None or no_validation or (value or 0.0) > progress.best_value:
            progress.best_value, progress.best_epoch, progress.best_sha256 = value, epoch, ""
        progress.history.append(row)
        progress.epochs_done, progress.stopped = epoch, bool(session.fitted.stop_training)
        progress.batches_done, progress.batches, progress.seconds = 0, 0, 0.0
        self.save()
        if progress.is_at_best:
            self._keep_best()
        self.folder.write_history(progress.history)

    def ruined(self, what: str) -> RunError:
        """Return the error that ends a run whose numbers are none any more."""
        return RunError(
            f"{what} (learning rate {learning_rate_of(self.session.fitted):g}). Lower the learning "
            "rate, or look for pictures or labels that are not what they seem"
        )

    def _keep_best(self) -> None:
        """Write best.weights.h5 from the network as it is."""
        if self.session.distribution.is_chief:
            save_weights(self.session.network, self.folder.best_weights)
            self.progress.best_sha256 = sha256_of(self.folder.best_weights)


def _to_numpy(variable: Any) -> np.ndarray:
    if keras.backend.backend() == "tensorflow":  # where Keras would copy twice
        array: np.ndarray = variable.value.numpy()
        return array
    return np.asarray(keras.ops.convert_to_numpy(variable))
