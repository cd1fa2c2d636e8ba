"""The `modelzoo` command: parse, call, print. Commands that need no framework import none."""

import atexit
import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import NoReturn

from modelzoo.cli.arguments import make_parser
from modelzoo.cli.completion import complete
from modelzoo.support import environment
from modelzoo.support.errors import InputError, RunError
from modelzoo.support.terminal import say

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 (failed), 2 (bad input), 130 (interrupted)."""
    parser = make_parser()
    complete(parser)
    try:
        options = parser.parse_args(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    # A polite kill saves as Ctrl-C does.
    before = {each: signal.getsignal(each) for each in environment.ending_signals()[1:]}
    for each in before:
        signal.signal(each, signal.default_int_handler)
    try:
        with contextlib.ExitStack() as quietly:
            if options.quiet:
                nowhere = quietly.enter_context(Path(os.devnull).open("w"))
                quietly.enter_context(contextlib.redirect_stderr(nowhere))
            resolve_name(options.run)(options)
        sys.stdout.flush()
    except (InputError, RunError) as error:
        return _fail(options.command, error, 2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # Our files say this for themselves: what is left is stdout, into a file.
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            reason = f"standard output: cannot be written: {error.strerror}"
            return _fail(options.command, reason, 1)
        if os.environ.get("MODELZOO_DEBUG"):
            raise
        reason = f"{type(error).__name__}: {error}"
        hint = "This is a bug; MODELZOO_DEBUG=1 shows where."
        return _fail(options.command, f"{reason[:500]}\n{hint}", 1)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    return 0


def run_program(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command, and end the process with its exit code.

    TensorFlow takes a second to be taken apart piece by piece, for nothing: once what has to be
    done at the end of a process is done, the system takes back the rest at once.
    """
    environment.owns_process = True
    # NumPy's own threads wait for each other longer than small products take; we share out images.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    code = 1  # of an exception, with MODELZOO_DEBUG

    def leave() -> NoReturn:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # its reader has gone
                stream.flush()
        os._exit(code)

    atexit.register(leave)  # the first to come is the last to go
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack a letter
            # Windows would write cp1252 into a file.
            encoding = "utf-8" if environment.IS_WINDOWS and not stream.isatty() else None
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
    try:
        code = main(arguments)
    except KeyboardInterrupt:  # a second one, while the first was answered
        code = INTERRUPTED
    for each in environment.ending_signals():  # what had to be saved is saved
        signal.signal(each, signal.SIG_IGN)
    sys.exit(code)


def _fail(command: str, reason: object, code: int) -> int:
    with contextlib.suppress(OSError):  # there is no stream left
        sys.stdout.flush()  # results come before what was wrong with them
        say(f"modelzoo {command}: {reason}", file=sys.stderr)
    return code
