"""The `modelzoo` command: the parser, what each command runs, and how results are printed."""

from modelzoo.cli.program import main as main
from modelzoo.cli.program import run_program as run_program
