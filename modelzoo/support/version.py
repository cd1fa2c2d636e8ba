"""The versions, alone in a module, so that a build can read it without importing the package."""

__version__ = "0.1.0"
# The next number whenever a change of the code alters the digits of a training. metrics.json holds
# it; `scripts/reproduce.py --list` names the results of an earlier number, or of none.
ARITHMETIC = 1
