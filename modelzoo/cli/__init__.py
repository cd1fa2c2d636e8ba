"""The `modelzoo` command: the parser, what each command runs, and how results are printed."""

from modelzoo.cli.main import main as main
from modelzoo.cli.main import run_program as run_program
