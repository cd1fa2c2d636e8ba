"""Compare what two versions of modelzoo answer and write: value for value, array for array.

    python -m hardening.compare_versions record before --path OLD_CHECKOUT
    python -m hardening.compare_versions record after
    python -m hardening.compare_versions compare before after

`record` runs each case in a process of its own, and keeps what it printed and wrote in FOLDER,
without what differs from run to run: seconds, dates, paths and versions. A command that a version
lacks is kept as its exit code. `compare` prints each difference and ends with 1 if one is not in
`INTENDED`. With `--old OLD_CHECKOUT`, `record` also resumes a training that the old version began.
Real data sets are taken from $MODELZOO_DATA; cases that need others than are there fail alike.
"""

import argparse
import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
COMMAND = ["-c", "from modelzoo.cli import run_program; run_program()"]
VOLATILE = re.compile(
    "seconds|^time|_time|^date|version|path|folder|^file|^out|machine|^config$|weights_file|"
    "image_per|images_per|device|memory|started|ended|host"
)
NETWORKS = (
    "alexnet", "alexnet_2012", "alexnet_2012_single", "alexnet_augmented", "alexnet_cifar10",
    "alexnet_fast", "alexnet_fast_65", "alexnet_owt", "lenet5", "lenet5_1998",
    "lenet5_1998_distorted", "lenet5_augmented", "lenet5_fashion_mnist", "lenet5_fast",
    "lenet5_fast_99", "lenet_1989", "mlp", "neocognitron", "neocognitron_mnist",
)  # fmt: skip
SMALL = ["--dataset", "mnist5k", "--epochs", "1", "--seed", "0", "--device", "cpu"]
FEW = ["--set", "data.training_images=500"]
CASES: dict[str, list[str]] = {
    "list": ["list", "--json"],
    "list weights": ["list", "--weights", "--json"],
    **{f"info {name}": ["info", name, "--json"] for name in NETWORKS},
    "predict": ["predict", "--model", "lenet5", "one.png", "blank.png", "noise.png", "--json"],
    "predict 1998": ["predict", "--model", "lenet5_1998", "one.png", "--top", "10", "--json"],
    "predict alexnet": ["predict", "--model", "alexnet_cifar10", "noise.png", "--json"],
    "features": ["features", "lenet5", "one.png", "--json", "--npz", "--format", "json"],
    "architecture": ["draw", "architecture", "alexnet", "--format", "json"],
    "kernels": ["draw", "kernels", "lenet5", "--weights", "mnist", "--format", "json"],
    "activations": ["draw", "activations", "--format", "json"],
    "convolution": ["draw", "convolution", "--format", "json"],
    "filters": ["filters", "noise.png", "--format", "json", "--json"],
    "attack": ["attack", "lenet5/mnist", "--dataset", "mnist5k", "--images", "50", "--strengths",
               "0,0.1", "--format", "json", "--json"],
    "robustness": ["robustness", "lenet5/mnist", "--dataset", "mnist5k", "--images", "50",
                   "--format", "json", "--json"],
    "export onnx": ["export", "lenet5", "--weights", "mnist", "--format", "onnx", "--json"],
    "train lenet5": ["train", "--model", "lenet5", "--dataset", "mnist", "--epochs", "2", "--seed",
                     "0", "--device", "cpu", "--out", "run", "--json"],
    **{
        f"train {name}": ["train", "--model", name, *SMALL, *FEW, "--out", "run", "--json"]
        for name in ("lenet5_augmented", "lenet5_1998_distorted", "lenet_1989",
                     "neocognitron_mnist", "mlp")
    },
    "train alexnet": ["train", "--model", "alexnet_cifar10", "--dataset", "cifar10_jpeg75",
                      "--epochs", "1", "--device", "cpu", *FEW, "--out", "run", "--json"],
    **{
        f"evaluate {name}": ["evaluate", "--model", model, "--weights", weights, "--json"]
        for name in ("lenet5/mnist", "lenet5/fashion_mnist", "lenet5_1998/mnist", "mlp/mnist",
                     "lenet_1989/mnist16", "alexnet/cifar10", "alexnet_cifar10/cifar10",
                     "neocognitron_mnist/mnist")
        for model, weights in [name.split("/")]
    },
    "check": ["evaluate", "--model", "lenet5", "--weights", "mnist", "--check", "--json"],
}  # fmt: skip
INTENDED = {
    r"info .*layers\.\d+\.(trainable_parameters|connections|kernel_size|strides|padding|"
    "activation)$": "new columns of `info --layers`",
}
RESUMED = "a training that the old version began"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record")
    record.add_argument("folder", type=Path)
    record.add_argument("--path", type=Path, default=ROOT, help="checkout to run (this one)")
    record.add_argument("--old", type=Path, help="checkout that begins a training to resume")
    record.add_argument("--only", default="", help="cases whose name matches")
    comparing = commands.add_parser("compare")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    options = parser.parse_args()
    if options.command == "record":
        record_all(options.folder, options.path, options.old, options.only)
    else:
        sys.exit(print_differences(options.old, options.new))


def record_all(folder: Path, checkout: Path, old: Path | None, only: str) -> None:
    """Run the cases with a checkout's code, and write what each gave into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, words) in enumerate(CASES.items(), start=1):
        if not re.search(only, name):
            continue
        place = folder / re.sub(r"\W+", "-", name)
        place.mkdir(exist_ok=True)
        draw_images(place)
        done = run(checkout, place, words)
        keep(place, {"exit": done.returncode, "stdout": as_values(done.stdout)})
        print(f"{number}/{len(CASES)} {name}: exit {done.returncode}", flush=True)
    if old is not None:
        place = folder / "resumed"
        place.mkdir(exist_ok=True)
        begin_and_stop(old, place)
        done = run(checkout, place, ["train", "--resume", "run", "--device", "cpu", "--json"])
        keep(place, {"exit": done.returncode, "stdout": as_values(done.stdout)})
        print(f"{RESUMED}: exit {done.returncode}", flush=True)


def run(checkout: Path, place: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one command with the code of a checkout."""
    command = command_of(words)
    return subprocess.run(
        command, cwd=place, env=environment(checkout), capture_output=True, text=True, check=False
    )


def command_of(words: list[str]) -> list[str]:
    return [sys.executable, *COMMAND, *words]


def environment(checkout: Path) -> dict[str, str]:
    """Return the environment in which a checkout's code is imported, and no chart goes to png."""
    path = os.pathsep.join(str(checkout.absolute() / part) for part in ("", "scripts"))
    return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "80"}


def begin_and_stop(old: Path, place: Path) -> None:
    """Let the old version train LeNet-5 for two epochs, and interrupt it in the second."""
    words = ["train", "--model", "lenet5", "--dataset", "mnist", "--epochs", "3", "--seed", "0"]
    words += ["--device", "cpu", "--out", "run"]
    training = subprocess.Popen(
        command_of(words), cwd=place, env=environment(old), stderr=subprocess.DEVNULL
    )
    history = place / "run" / "history.csv"
    while training.poll() is None and not (history.is_file() and history.stat().st_size > 100):
        time.sleep(0.05)
    training.send_signal(signal.SIGINT)
    training.wait()


def keep(place: Path, answer: dict[str, Any]) -> None:
    """Write a case's answer, and the arrays of its files, in a form that can be compared."""
    arrays: dict[str, np.ndarray] = {}
    files: dict[str, Any] = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if (
            not path.is_file()
            or path.name in ("answer.json", "arrays.npz")
            or path.suffix == ".png"
        ):
            continue
        if path.suffix == ".h5":
            arrays |= {f"{name}:{key}": value for key, value in arrays_of(path)}
        elif path.suffix == ".npz":
            with np.load(path) as opened:
                arrays |= {f"{name}:{key}": opened[key] for key in opened}
        elif path.suffix == ".onnx":
            arrays[f"{name}:outputs"] = outputs_of(path)
        elif path.suffix == ".json":
            files[name] = without_volatile(json.loads(path.read_text()))
        elif path.suffix == ".csv":
            files[name] = without_volatile(list(csv.DictReader(path.open())))
        elif path.suffix == ".yaml":
            files[name] = path.read_text().splitlines()
        else:
            files[name] = "there"
    np.savez_compressed(place / "arrays.npz", **arrays)  # type: ignore[arg-type]
    (place / "answer.json").write_text(json.dumps({**answer, "files": files}, indent=1))


def draw_images(place: Path) -> None:
    """Write the images that the cases read: a 1, nothing, and noise in colour."""
    one = np.zeros((28, 28), np.uint8)
    one[4:24, 13:16] = 255
    Image.fromarray(one).save(place / "one.png")
    Image.fromarray(0 * one).save(place / "blank.png")
    noise = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    Image.fromarray(noise).save(place / "noise.png")


def arrays_of(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of a file of weights, by their place in it."""
    found: list[tuple[str, np.ndarray]] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.append((name, item[()])) if hasattr(item, "dtype") else None
        )
    yield from found


def outputs_of(path: Path) -> np.ndarray:
    """Return what an exported network makes of fixed images."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes())
    given = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 4 for size in given.shape]
    images = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    return np.asarray(session.run(None, {given.name: images})[0])


def as_values(text: str) -> Any:
    """Return what a command printed: its JSON without what is volatile, or its lines."""
    try:
        return without_volatile(json.loads(text))
    except ValueError:
        return text.splitlines()


def without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_volatile(v) for k, v in value.items() if not VOLATILE.search(str(k))}
    return [without_volatile(each) for each in value] if isinstance(value, list) else value


def print_differences(old: Path, new: Path) -> int:
    """Print what differs between two records; return 1 if something was not intended."""
    wrong = same = 0
    for answer in sorted(old.glob("*/answer.json")):
        case, other = answer.parent.name, new / answer.parent.name
        if not (other / "answer.json").is_file():
            print(f"{case}: not recorded in {new}")
            continue
        texts = (answer.read_text(), (other / "answer.json").read_text())
        found = list(differences(*map(json.loads, texts)))
        found += array_differences(answer.parent / "arrays.npz", other / "arrays.npz")
        same += not found
        for key, what in found:
            place = f"{case.replace('-', ' ')} {key}"
            reason = next((why for form, why in INTENDED.items() if re.search(form, place)), None)
            wrong += reason is None
            print(f"{case}: {key}: {what}{f' (intended: {reason})' if reason else ''}")
    print(f"{same} cases are the same; {wrong} differences are not intended")
    return int(wrong > 0)


def differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the keys of nested values that differ, each with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            missing = "nothing there"
            yield from differences(
                old.get(name, missing), new.get(name, missing), f"{key}.{name}".strip(".")
            )
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{key}.{index}")
    elif old != new:
        yield key, f"{old!r:.120} -> {new!r:.120}"


def array_differences(old: Path, new: Path) -> Iterator[tuple[str, str]]:
    """Yield the arrays that differ, each with the largest difference."""
    with np.load(old) as one, np.load(new) as other:
        for name in sorted({*one, *other}):
            if name not in one or name not in other:
                yield name, "in one of the two only"
            elif one[name].shape != other[name].shape:
                yield name, f"{one[name].shape} -> {other[name].shape}"
            elif (
                hashlib.sha256(one[name].tobytes()).digest()
                != hashlib.sha256(other[name].tobytes()).digest()
            ):
                far = np.abs(one[name].astype("float64") - other[name].astype("float64")).max()
                yield name, f"largest difference {far:.3g}"


if __name__ == "__main__":
    main()
