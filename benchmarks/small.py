"""What networks in integers lose and weigh, and what microcontrollers need: docs/small.md.

python -m benchmarks.small            measure what is new, write results/small.json and the page
python -m benchmarks.small --check    measure nothing; exit code 1 if the page is out of date

The memory is that of TensorFlow Lite Micro, where its package `tflite-micro` is installed.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from benchmarks.compare.runner import ROOT
from benchmarks.results import write_results
from modelzoo.config import list_models, load_config
from modelzoo.support.errors import InputError, RunError
from modelzoo.support.files import write_text

OUT, PAGE = ROOT / "results" / "small.json", ROOT / "docs" / "small.md"
BEGIN, END = "<!-- written by python -m benchmarks.small -->", "<!-- end -->"


def main() -> int:
    """Run the command; return the exit code: 0, or 1 (out of date)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="measure and write nothing")
    options = parser.parse_args()
    if not options.check:
        before = json.loads(OUT.read_text("utf-8")) if OUT.is_file() else {}
        known = before["networks"] if before.get("versions") == versions() else {}
        write_results(OUT, {"versions": versions(), "networks": dict(measured(known))})
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    text = (
        f"{before}{BEGIN}\n{table(json.loads(OUT.read_text('utf-8')))}{END}{rest.partition(END)[2]}"
    )
    stale = text != PAGE.read_text("utf-8")
    if not options.check:
        write_text(PAGE, text)
    return int(options.check and stale)


def versions() -> dict[str, str]:
    """Return those of the packages that the figures depend on."""
    names = ("tensorflow", "ai-edge-litert", "tflite-micro")
    return {name: version(name) for name in names if find_spec(name.replace("-", "_"))}


def measured(known: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Export all weights of the package as integers; give their names and what came of it.

    What is known of the same file is kept.
    """
    import modelzoo

    for name in list_models():
        for entry in load_config(name).weights:
            if "package" not in entry.sources:
                continue
            label = f"{name}/{entry.name}"
            row = known.get(label, {})
            if row.get("sha256") == entry.sha256 and "not_measured" not in row:
                yield label, row
                continue
            print(label, file=sys.stderr)
            with tempfile.TemporaryDirectory() as folder:
                try:
                    done = modelzoo.export(label, format="litert", quantize="int8", out=folder)
                    row = of_a_file(done)
                except InputError as error:
                    row = {"not_measured": reason(error)}
                except RunError as error:
                    row = {"refused": reason(error).partition(": ")[2]}  # after the name
            yield label, {"sha256": entry.sha256} | row


def reason(error: Exception) -> str:
    """Return the first line of an error."""
    return str(error).splitlines()[0]


def of_a_file(done: Any) -> dict[str, Any]:
    """Return the row of a network."""
    made, content = done.quantized, done.path.read_bytes()
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    operations = {each["op_name"] for each in interpreter._get_ops_details()}
    return {
        "checked_on": done.pictures,
        "calibrated_on": made.calibrated_on,
        "float_bytes": made.float_bytes,
        "bytes": done.bytes,
        "float_accuracy": made.float_accuracy,
        "accuracy": made.accuracy,
        "same_class": done.same_answers / done.images,
        "operations": sorted(operations - {"DELEGATE"}),
        "memory": memory(content),
    }


def memory(content: bytes) -> int | None:
    """Return the bytes of memory that TensorFlow Lite Micro takes beside the file; None without it.

    On a processor with pointers of 64 bits; a microcontroller's are shorter.
    """
    if not find_spec("tflite_micro"):
        return None
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content)
    interpreter.invoke()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)  # where the library prints
        try:
            interpreter.print_allocations()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        held.seek(0)
        (total,) = re.findall(rb"allocation total (\d+) bytes", held.read())
    return int(total)


def table(results: dict[str, Any]) -> str:
    """Return the tables of the page."""
    lines = [
        "| Weights | Test images | Size, float32 | int8 | Accuracy, float32 | int8 | Lost |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = {k: row for k, row in results["networks"].items() if "accuracy" in row}
    for label, row in rows.items():
        lost = 100 * (row["float_accuracy"] - row["accuracy"])
        count, _, name = row["checked_on"].partition(" test images of ")
        lines.append(
            f"| `{label}` | {count}, `{name}` | {row['float_bytes']:,} | {row['bytes']:,} "
            f"| {row['float_accuracy']:.4f} | {row['accuracy']:.4f} | {lost:.2f} |"
        )
    told = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    (drawn,) = {
        row["calibrated_on"].replace(row["checked_on"].split(" of ")[1], "the same set")
        for row in rows.values()
    }
    lines += ["", f"Calibrated on {drawn}. Made with {told}.", ""]
    for key, title in (("refused", "Refused"), ("not_measured", "Not measured")):
        lines += [
            f"- {title}: `{label}`: {row[key]}."
            for label, row in results["networks"].items()
            if key in row
        ]
    lines += ["", "| Weights | Same class | Memory | Operations of the file |", "|---|---|---|---|"]
    for label, row in rows.items():
        needs = f"{row['memory']:,}" if row["memory"] else ""
        cells = (f"`{label}`", f"{row['same_class']:.2%}", needs, ", ".join(row["operations"]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
