"""Check that a built wheel and a source archive hold what they should, and nothing else.

python .ci/check_dist.py FOLDER, where the folder holds one of each, in a clone by git.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_BYTES = 20_000_000  # of weights, all networks together


def difference(found: set[str], wanted: set[str]) -> str:
    """Say what is too much and what is missing; nothing where all is right."""
    lacks = [f"lacks {name}" for name in sorted(wanted - found)]
    extra = [f"should not hold {name}" for name in sorted(found - wanted)]
    return ", ".join([*lacks[:10], *extra[:10]])


def check_wheel(path: Path, kept: set[str]) -> str:
    """Compare with the package's files: modules, what they read, and the three scripts."""
    wanted = {name for name in kept if name.startswith("modelzoo/")}
    wanted |= {f"modelzoo/{name}" for name in kept if name.startswith("configs/")}
    wanted |= {"train.py", "evaluate.py", "predict.py"}
    with zipfile.ZipFile(path) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
        infos = wheel.infolist()
    size = sum(each.file_size for each in infos if "/weights/files/" in each.filename)
    if size > MOST_BYTES:
        return f"holds {size:,} bytes of weights, more than {MOST_BYTES:,}"
    return difference(found, wanted)


def check_archive(path: Path, kept: set[str]) -> str:
    """Compare with the clone: from the archive, the tests run as from there."""
    made = {"PKG-INFO", "setup.cfg"}
    with tarfile.open(path) as archive:
        names = {each.name.partition("/")[2] for each in archive if each.isfile()}
    return difference({name for name in names if ".egg-info/" not in name}, kept | made)


def main() -> None:
    """Check both, and end with what is wrong."""
    folder = Path(sys.argv[1])
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    kept = set(subprocess.check_output(command, text=True).rstrip("\0").split("\0"))  # noqa: S603
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    for path, problem in [
        (wheel, check_wheel(wheel, kept)),
        (archive, check_archive(archive, kept)),
    ]:
        if problem:
            sys.exit(f"{path.name} {problem}")


if __name__ == "__main__":
    main()
