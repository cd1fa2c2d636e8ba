"""`python -m evaluate`: the same as `modelzoo evaluate`."""

import sys

from modelzoo.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
