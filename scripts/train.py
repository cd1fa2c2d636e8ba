"""`python -m train`: the same as `modelzoo train`."""

import sys

from modelzoo.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
