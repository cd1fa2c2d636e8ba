"""The codes that the output units of LeNet-5 compare F6 with: a little image for each class."""

CODE_HEIGHT, CODE_WIDTH = 12, 7  # 84 units in F6

# Drawn for this project. The paper shows its own bitmaps in a figure; these are not a copy of them.
DIGITS = """
.......  .......  .......  .......  .......
..###..  ...##..  .#####.  .#####.  ....##.
.##.##.  ..###..  ##...##  ##...##  ...###.
##...##  .####..  .....##  .....##  ..####.
##...##  ...##..  .....##  .....##  .##.##.
##...##  ...##..  ....##.  ..####.  ##..##.
##...##  ...##..  ...##..  .....##  ##..##.
##...##  ...##..  ..##...  .....##  #######
##...##  ...##..  .##....  .....##  ....##.
.##.##.  ...##..  ##.....  ##...##  ....##.
..###..  .######  #######  .#####.  ....##.
.......  .......  .......  .......  .......

.......  .......  .......  .......  .......
#######  ...###.  #######  .#####.  .#####.
##.....  ..##...  .....##  ##...##  ##...##
##.....  .##....  .....##  ##...##  ##...##
##.....  ##.....  ....##.  ##...##  ##...##
######.  ##.###.  ....##.  .#####.  .######
.....##  ###..##  ...##..  ##...##  .....##
.....##  ##...##  ...##..  ##...##  .....##
.....##  ##...##  ..##...  ##...##  ....##.
##...##  ##...##  ..##...  ##...##  ...##..
.#####.  .#####.  ..##...  .#####.  .###...
.......  .......  .......  .......  .......
"""


def digit_codes() -> list[list[int]]:
    """Return +1 for ink and -1 for ground: ten rows of 84, each a 12x7 bitmap row by row."""
    half = DIGITS.strip().split("\n\n")
    rows = [line.split() for part in half for line in part.split("\n")]
    columns = [
        "".join(rows[top + line][digit] for line in range(CODE_HEIGHT))
        for top in (0, CODE_HEIGHT)
        for digit in range(5)
    ]
    return [[1 if mark == "#" else -1 for mark in bitmap] for bitmap in columns]


def random_codes(count: int, seed: int = 0) -> list[list[int]]:
    """Return codes of +1 and -1 with equal chances, the same for a seed on every machine."""
    import numpy as np  # takes longer to import than all of the configurations

    signs = np.random.RandomState(seed).randint(0, 2, (count, CODE_HEIGHT * CODE_WIDTH))
    return (2 * signs - 1).tolist()
