"""Record what one version of the package writes, and compare two such records.

    python -m hardening.compare_versions record OLD --checkout ../modelzoo-0.1.0
    python -m hardening.compare_versions record NEW --interrupted OLD
    python -m hardening.compare_versions compare OLD NEW

`record` runs the fixed list of cases.py, each case in a folder of its own, and
keeps what the commands print and write as it is. MODELZOO_DATA has to hold mnist.npz and
cifar10_jpeg75.npz, and fashion_mnist.npz for the weights that were trained on it; cases whose
command, data or files are absent are skipped with a line. `--interrupted OLD` resumes the trainings
that were interrupted while OLD was recorded.

`compare` reads both records, leaves out times, paths and versions, and prints each difference:
file, key, old value, new value, and of arrays the largest difference. Differences that
intended.yaml lists are intended and are counted only; exit code 1 if there are
others.
"""

import argparse
import sys
from pathlib import Path

from hardening.compare_versions.comparing import compare
from hardening.compare_versions.recording import record

INTENDED = Path(__file__).with_name("intended.yaml")


def main(arguments: list[str] | None = None) -> int:
    """Record or compare, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="run the cases, and keep what they write")
    recording.add_argument("folder", type=Path, metavar="DIR")
    recording.add_argument("--python", default=sys.executable, help="the interpreter to run")
    recording.add_argument(
        "--checkout", type=Path, help="of the version to run (the installed one)"
    )
    shared = Path(__file__).parents[3] / "shared"
    recording.add_argument("--old-files", type=Path, default=shared, help="legacy_h5/, cases/")
    recording.add_argument("--interrupted", type=Path, metavar="OLD", help="resume its trainings")
    recording.add_argument("--quick", action="store_true", help="the cases of some three minutes")
    recording.add_argument("--keep", action="store_true", help="leave out cases that are recorded")
    recording.add_argument("--only", default="*", metavar="PATTERN", help="names of cases")
    recording.set_defaults(run=record)
    comparing = commands.add_parser("compare", help="print differences of two records")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    comparing.add_argument("--allowed", type=Path, default=INTENDED, help="intended differences")
    comparing.set_defaults(run=compare)
    options = parser.parse_args(arguments)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
