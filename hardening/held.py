"""`python held.py EPOCH BATCH COMMAND...`: a command whose training waits after a batch.

It prints "held" there, and goes on when it is given a line. Whatever a test does to the training
meanwhile happens at that batch, on a fast machine and on a slow one.
"""

import functools
import sys
from typing import Any

from modelzoo import cli
from modelzoo.training import trainer


def hold(epoch: int, batch: int) -> None:
    """Make `keras.Model.fit` wait; call it when the framework has started."""
    import keras

    class Hold(keras.callbacks.Callback):
        def on_epoch_begin(self, now: int, logs: Any = None) -> None:
            self.epoch, self.is_over = now, now != epoch

        def on_train_batch_end(self, now: int, logs: Any = None) -> None:
            if now >= batch and not self.is_over:
                self.is_over = True
                print("held", flush=True)
                sys.stdin.readline()

    fit = keras.Model.fit

    @functools.wraps(fit)
    def held(self: Any, *args: Any, callbacks: list[Any], **options: Any) -> Any:
        return fit(self, *args, callbacks=[Hold(), *callbacks], **options)

    keras.Model.fit = held


if __name__ == "__main__":
    start = trainer.start_distribution  # the first that is called after the start of a framework

    def hold_and_start(*arguments: Any) -> Any:
        hold(int(sys.argv[1]), int(sys.argv[2]))
        return start(*arguments)

    trainer.start_distribution = hold_and_start
    cli.run_program(sys.argv[3:])
