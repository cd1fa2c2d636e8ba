"""What `modelzoo export` does."""

import argparse
import dataclasses
import json

from modelzoo.terminal import say


def export(options: argparse.Namespace) -> None:
    """Export as the options say, and print what came of it."""
    from modelzoo.exporting.check import TOLERANCE
    from modelzoo.exporting.export import export

    done = export(
        options.model,
        options.weights,
        format=options.format,
        out=options.out,
        scaled=options.scaled,
        sha256=options.sha256,
        allow_unverified=options.allow_unverified,
    )
    if options.json:
        print(json.dumps(dataclasses.asdict(done) | {"path": str(done.path)}))
        return
    say(f"{done.path} ({done.bytes:,} bytes)")
    say(f"  input:   {done.facts['input']}")
    say(f"  output:  {done.facts['output']}")
    say(
        f"  checked: {done.pictures}; largest difference {done.difference:.2g} "
        f"(allowed: {TOLERANCE}), same class for {done.same_answers} of {done.images}"
    )
