"""`python -m modelzoo`, the same as the `modelzoo` command."""

from modelzoo.cli import run_program

run_program()
