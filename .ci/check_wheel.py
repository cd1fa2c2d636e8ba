"""Check that a built wheel holds every module, configuration and weight file, and the commands."""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
modules = {str(path.relative_to(ROOT)) for path in (ROOT / "modelzoo").rglob("*.py")}
configs = {f"modelzoo/{path.relative_to(ROOT)}" for path in (ROOT / "configs").glob("*.yaml")}
weights = {str(path.relative_to(ROOT)) for path in (ROOT / "modelzoo/weights/files").glob("*/*")}
wanted = (
    modules | configs | weights | {"train.py", "evaluate.py", "predict.py", "modelzoo/py.typed"}
)
missing = wanted - set(zipfile.ZipFile(sys.argv[1]).namelist())
sys.exit(f"the wheel lacks {', '.join(sorted(missing))}" if missing else 0)
