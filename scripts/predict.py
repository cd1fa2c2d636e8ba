"""`python -m predict`: the same as `modelzoo predict`."""

import sys

from modelzoo.cli import run_program

if __name__ == "__main__":
    run_program(["predict", *sys.argv[1:]])
