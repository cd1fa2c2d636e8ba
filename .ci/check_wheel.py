"""Check that a built wheel holds every module and every file that they read, and not too much."""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_BYTES = 20_000_000  # of weights, all networks together
modules = {str(path.relative_to(ROOT)) for path in (ROOT / "modelzoo").rglob("*.py")}
configs = {f"modelzoo/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.yaml")}
page = {
    str(path.relative_to(ROOT))
    for path in (ROOT / "modelzoo/demo").iterdir()
    if path.suffix in (".css", ".html", ".js")
}
weights = {str(path.relative_to(ROOT)) for path in (ROOT / "modelzoo/weights/files").glob("*/*")}
commands = {"train.py", "evaluate.py", "predict.py", "modelzoo/py.typed"}
wanted = modules | configs | page | weights | commands
wheel = zipfile.ZipFile(sys.argv[1])
if missing := wanted - set(wheel.namelist()):
    sys.exit(f"the wheel lacks {', '.join(sorted(missing))}")
size = sum(wheel.getinfo(name).file_size for name in weights)
if size > MOST_BYTES:
    sys.exit(f"the wheel holds {size:,} bytes of weights, more than {MOST_BYTES:,}")
