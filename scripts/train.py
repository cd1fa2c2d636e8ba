"""`python -m train`: the same as `modelzoo train`."""

import sys

from modelzoo.cli import run_program

if __name__ == "__main__":
    run_program(["train", *sys.argv[1:]])
