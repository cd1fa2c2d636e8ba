"""The two ways in which a command can fail, apart from an interruption."""

import difflib
from collections.abc import Iterable

LONGEST_LINE = 600  # characters of a message


class InputError(ValueError):
    """What the caller gave is wrong: a name, a key, a value, a file. Exit code 2.

    The message says what was wrong, where, and what to do, in at most five lines. A line that
    somebody's text made long is cut.

    Examples:
        >>> try:
        ...     modelzoo.load("lenet")
        ... except modelzoo.InputError as error:
        ...     print(error)
        unknown model 'lenet'; did you mean 'lenet5'?
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(_shortened, message.split("\n"))))


class RunError(RuntimeError):
    """The input was fine, but the work failed, as when a loss becomes NaN. Exit code 1.

    Examples:
        >>> settings = ["compile.optimizer.config.learning_rate=1e38", "data.training_images=200"]
        >>> config = modelzoo.load_config("lenet5", dataset="mnist5k", overrides=settings)
        >>> try:
        ...     run = modelzoo.Trainer(config, device="cpu", out="ruined").fit()
        ... except modelzoo.RunError as error:
        ...     print(error)
        the ... became ... Lower the learning rate, ...
    """


def _shortened(line: str) -> str:
    """Return a line without its middle if it is longer than people read."""
    if len(line) <= LONGEST_LINE:
        return line
    half = LONGEST_LINE // 2
    return f"{line[:half]}[... {len(line) - 2 * half:,} characters ...]{line[-half:]}"


def reason_of(error: BaseException) -> str:
    """Return in one line, of at most 300 characters, what an exception of a library says."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name or a path that leads nowhere, with the nearest right name."""
    known = list(known)
    if not (set(name) & {"/", "\\"} or name.startswith((".", "~"))):
        return InputError(f"unknown {kind} {name!r}{suggest(name, known)}")
    head = name.replace("\\", "/").partition("/")[0]
    near = difflib.get_close_matches(head, known, n=1, cutoff=0.6)
    hint = f"; did you mean the {kind} {near[0]!r}?" if near else ""
    return InputError(f"{name}: no such file or folder{hint}")


def suggest(wrong: str, right: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for a near miss, else the whole choice if it is a short one."""
    names = sorted(right)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(names)}" if len(names) <= 30 else ""
