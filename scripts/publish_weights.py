"""Make a finished run the published weights of a packaged network: write the file, print the entry.

python scripts/publish_weights.py runs/RUN alexnet/cifar10 --max-bytes 8000000

What is printed belongs into the `weights:` list of configs/<network>.yaml.
"""

import argparse
import sys
from pathlib import Path

from modelzoo.errors import InputError, RunError
from modelzoo.printing import print_notice
from modelzoo.terminal import say
from modelzoo.weights.publish import entry_text, publish


def main() -> int:
    """Publish one run; return the exit code: 0, 1 (limits not kept), 2 (bad input)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("weights", help="NETWORK/NAME, such as alexnet/cifar10")
    parser.add_argument("--max-bytes", type=int, help="compress to this size")
    options = parser.parse_args()
    model, _, name = options.weights.partition("/")
    try:
        entry = publish(options.run, model, name, max_bytes=options.max_bytes, notify=print_notice)
    except (InputError, RunError) as error:
        say(error, file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(entry_text(entry), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
