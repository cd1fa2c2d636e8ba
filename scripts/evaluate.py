"""`python -m evaluate`: the same as `modelzoo evaluate`."""

import sys

from modelzoo.cli import run_program

if __name__ == "__main__":
    run_program(["evaluate", *sys.argv[1:]])
