"""The two ways in which a command can fail, apart from an interruption."""


class InputError(ValueError):
    """What the caller gave is wrong: a name, a key, a value, a file. Exit code 2.

    The message says what was wrong, where, and what to do, in at most five lines.
    """


class RunError(RuntimeError):
    """The input was fine, but the work failed, as when a loss becomes NaN. Exit code 1."""
