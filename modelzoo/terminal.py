"""All that is printed for people goes through here, so that no text can command the terminal.

Names of classes, files and layers, texts in a YAML and answers of servers come from others. What a
terminal would act on (escape sequences, control characters, changes of the writing direction) is
shown as text: ESC as `\\x1b`.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def plain(text: str) -> str:
    """Return text in which everything but line ends is printable; the rest as Python writes it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def on_one_line(text: str) -> str:
    """Return plain text without line ends, as a comment in a YAML must be."""
    return plain(text).replace("\n", "\\n")


def say(text: object, *, file: IO[str] | None = None, flush: bool = False) -> None:
    """Print a line, or several, on stdout or on `file`."""
    print(plain(str(text)), file=file, flush=flush)


def make_console(**options: Any) -> Console:
    """Return a console of Rich, with these options, in which every string is plain text.

    Nothing in square brackets is markup, and nothing is coloured for looking like a number.
    """
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(plain(text), **options)

    return PlainConsole(**{"markup": False, "highlight": False, "emoji": False, **options})
