"""`python -m predict`: the same as `modelzoo predict`."""

import sys

from modelzoo.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
