"""Tables of plain text that fit the terminal, or 80 columns where there is none."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from modelzoo.support.terminal import broken, columns_of, on_one_line, width_of

WIDTH = 80  # columns of a table in a pipe or a file
INDENT = "    "  # of a cell that is below its row
ROOMY = 30  # columns in which a long text may have more than two lines


def table_width() -> int:
    """Return the columns that a table on stdout may have."""
    return width_of(sys.stdout) or WIDTH


def table_lines(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    *,
    flexible: int = -1,
) -> list[str]:
    """Lay out a table in at most `width` columns, as far as words and the other columns allow.

    Where it does not fit, the flexible column is broken at spaces, beside the other cells of its
    row or, where that would leave it too narrow, in lines of its own below them.

    Args:
        heads: the name of each column, ">" before it for one that is aligned to the right; none
            for a table without a head.
        rows: a cell for each column.
        width: in columns; None for that of stdout.
        flexible: the position of the column that gives way, one of text.

    Returns:
        The lines, without spaces at their ends.
    """
    width = table_width() if width is None else width
    sides = [head[:1] == ">" for head in heads] or [False] * len(rows[0])
    cells = [[on_one_line(cell) for cell in row] for row in rows]
    cells = [[head.removeprefix(">") for head in heads], *cells] if heads else cells
    flexible %= len(sides)
    widths = [max(map(columns_of, column)) for column in zip(*cells, strict=True)]
    gaps = len(widths) - 1
    gap = " " if sum(widths) + 2 * gaps > width >= sum(widths) + gaps else "  "
    room = width - (sum(widths) - widths[flexible] + len(gap) * gaps)
    parts = [broken(row[flexible], room) for row in cells]
    beside = all(
        (len(each) <= 2 or room >= ROOMY) and max(map(columns_of, each)) <= room for each in parts
    )
    if not beside:
        parts = [broken(row[flexible], width - len(INDENT)) for row in cells]
    widths[flexible] = max(columns_of(line) for each in parts for line in each)
    offset = sum(widths[:flexible]) + len(gap) * flexible
    lines = []
    for row, part in zip(cells, parts, strict=True):
        row[flexible] = part[0]
        padded = [_padded(*each) for each in zip(row, widths, sides, strict=True)]
        if not beside:
            del padded[flexible]
        lines.append(gap.join(padded).rstrip())
        lines += (
            [" " * offset + each for each in part[1:]]
            if beside
            else [INDENT + each for each in part]
        )
    return lines


def _padded(cell: str, width: int, to_the_right: bool) -> str:
    space = " " * (width - columns_of(cell))
    return space + cell if to_the_right else cell + space
