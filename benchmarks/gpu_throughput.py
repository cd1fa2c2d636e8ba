"""Images a second of training on a GPU: ours, its pipeline feeding it, against plain PyTorch.

    python -m benchmarks.gpu_throughput [--framework tensorflow jax torch pytorch]
        [--model alexnet_2012 alexnet_owt alexnet_cifar10 lenet5] [--precision tf32 bfloat16]
        [--steps 96] [--rounds 3] [--out gpu.json]
    python -m benchmarks.gpu_throughput --device cpu --steps 2 --batch 8 --model lenet5

tensorflow, jax and torch are our trainer on that backend of Keras; pytorch is a plain loop over the
same layers. alexnet_owt has the layers of torchvision's AlexNet. Images are noise, uint8, in the
memory of the host, of the size that the network's pipeline opens (256x256 for ImageNet), and go
through each network's own scaling and augmentation; the plain loop crops one place a batch, mirrors
half of the images, and scales, on the device. Each framework trains in a fresh process, in turn;
the first epoch of `--steps` steps is left out, two are timed. What is not installed, or sees no
GPU, is left out with a line that says so.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BACKENDS = ("tensorflow", "jax", "torch")  # of Keras, for our trainer
FRAMEWORKS = (*BACKENDS, "pytorch")
PRECISIONS = ("float32", "tf32", "bfloat16")
BATCHES = {"alexnet_2012": 256, "alexnet_owt": 256, "alexnet_cifar10": 512, "lenet5": 1024}
SIDES = {"alexnet_2012": (256, 227), "alexnet_owt": (256, 224), "alexnet_cifar10": (32, 32)}
TIMED_EPOCHS = 2
NO_GPU = 3  # exit code of a child that sees none
JAX_PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "default"}


def main() -> int:
    """Measure in turn and print a table; return the exit code: 0, 1 (failed), 2 (bad input)."""
    options = _parser().parse_args()
    if options.child:
        return _child(json.loads(options.child))
    results, problems, refused = _measure(options)
    if not results and problems == refused:
        print(
            "gpu_throughput: no GPU was found by "
            f"{', '.join(options.framework)}. On a machine without one, --device cpu --steps 2 "
            "--batch 8 tries the script out",
            file=sys.stderr,
        )
        return 2
    _print(results)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 1 if problems > refused else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framework", nargs="+", choices=FRAMEWORKS, default=FRAMEWORKS)
    parser.add_argument("--model", nargs="+", choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["tf32", "bfloat16"])
    parser.add_argument("--steps", type=int, default=96, help="of an epoch")
    parser.add_argument("--batch", type=int, help=f"by default {BATCHES}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--out", type=Path, help="where all samples go, as JSON")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser


def _measure(options: argparse.Namespace) -> tuple[list[dict[str, Any]], int, int]:
    """Return the cases that have samples, how many failed, and how many of those saw no GPU."""
    cases = [
        {"framework": framework, "model": model, "precision": precision}
        for model in options.model
        for precision in options.precision
        for framework in options.framework
    ]
    shared = {"steps": options.steps, "device": options.device}
    for case in cases:
        case.update(shared, batch=options.batch or BATCHES[case["model"]], samples=[])
    blind: set[str] = set()  # frameworks that see no GPU, or are not there
    problems = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for case in cases:
                label = f"{case['model']}, {case['precision']}, {case['framework']}"
                if case["framework"] in blind or case.get("failed"):
                    continue
                code, answer = _run(case, folder)
                if code == 0:
                    case.update(device_name=answer["device"], versions=answer["versions"])
                    case["samples"] += answer["samples"]
                    print(f"round {number + 1}: {label}: {_median(case):,.0f} images/s", flush=True)
                    continue
                problems += 1
                refused += code == NO_GPU
                if code == NO_GPU:
                    blind.add(case["framework"])
                else:
                    case["failed"] = True
                print(f"{label}: left out: {answer['problem']}", file=sys.stderr, flush=True)
    return [case for case in cases if case["samples"]], problems, refused


def _run(case: dict[str, Any], folder: str) -> tuple[int, dict[str, Any]]:
    """Let a fresh process measure a case; return its exit code and its answer."""
    package = {"pytorch": "torch"}.get(case["framework"], case["framework"])
    lacking = [each for each in {package, *_ours(case)} if importlib.util.find_spec(each) is None]
    if lacking:
        return NO_GPU, {"problem": f"{', '.join(lacking)} is not installed"}
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "MODELZOO_DATA": folder,
        "MODELZOO_OFFLINE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_DEFAULT_MATMUL_PRECISION": JAX_PRECISIONS[case["precision"]],
    }
    given = {key: value for key, value in case.items() if key not in ("samples", "versions")}
    command = [sys.executable, "-m", "benchmarks.gpu_throughput", "--child", json.dumps(given)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode:
        return done.returncode, {"problem": lines[-1] if lines else f"exit {done.returncode}"}
    return 0, json.loads(lines[-1])


def _ours(case: dict[str, Any]) -> set[str]:
    return {"keras"} if case["framework"] in BACKENDS else set()


def _child(case: dict[str, Any]) -> int:
    """Train, and print images a second of each timed epoch as JSON."""
    from modelzoo.support.errors import InputError

    measure = _plain_pytorch if case["framework"] == "pytorch" else _ours_training
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = measure(case)
    except InputError as error:  # our trainer refuses a GPU that is not there
        print(str(error).splitlines()[0], file=sys.stderr)
        return NO_GPU if "--device" in str(error) else 1
    print(json.dumps(answer))
    return 0


def _ours_training(case: dict[str, Any]) -> dict[str, Any]:
    """Train a packaged network by `Trainer` on noise of its data set's size."""
    from modelzoo import Trainer, load_config
    from modelzoo.training.device import start_framework

    start_framework(case["framework"], case["device"])  # before any framework is imported
    _allow_tf32(case["framework"], allowed=case["precision"] != "float32")
    images = case["steps"] * case["batch"]
    overrides = [
        f"data.dataset={_noise_set(case['model'], images)}",
        f"data.batch_size={case['batch']}",
        "data.validation_split=0",
        f"fit.epochs={TIMED_EPOCHS + 1}",
        "fit.callbacks=[]",
    ]
    precision = "mixed_bfloat16" if case["precision"] == "bfloat16" else "float32"
    config = load_config(case["model"], overrides=overrides)
    with tempfile.TemporaryDirectory() as folder:
        run = Trainer(
            config,
            device=case["device"],
            out=Path(folder) / "run",
            precision=precision,
            backend=case["framework"],
        ).fit()
    return {
        "samples": [images / float(seconds) for seconds in run.history["seconds"][1:]],
        "device": run.metrics["device"],
        "versions": run.metrics["versions"],
    }


def _allow_tf32(framework: str, *, allowed: bool) -> None:
    """Let matrix products round float32 to 19 bits, or not; JAX is told by its environment."""
    if framework == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(allowed)
    elif framework in ("torch", "pytorch"):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed


def _noise(model: str, count: int) -> tuple[Any, Any]:
    """Return images of the size that a network's pipeline opens, and labels of all classes."""
    import numpy as np

    side, channels = SIDES.get(model, (28, 28))[0], 1 if model == "lenet5" else 3
    classes = 1000 if model in ("alexnet_2012", "alexnet_owt") else 10
    generator = np.random.default_rng(0)
    few = generator.integers(0, 256, (min(count, 256), side, side, channels), dtype="uint8")
    return np.resize(few, (count, side, side, channels)), np.arange(count) % classes


def _noise_set(model: str, images: int) -> str:
    """Return the name of a network's data set in $MODELZOO_DATA; make it if it is not there."""
    import numpy as np

    name = f"noise_{model}_{images}"
    path = Path(os.environ["MODELZOO_DATA"]) / f"{name}.npz"
    if not path.exists():
        x_train, y_train = _noise(model, images)
        classes = 1000 if model in ("alexnet_2012", "alexnet_owt") else 10
        arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_train[:16]}
        names = np.array([f"class {number}" for number in range(classes)])
        np.savez(path, **arrays, y_test=y_train[:16], class_names=names)
    return name


def _plain_pytorch(case: dict[str, Any]) -> dict[str, Any]:
    """Train the same layers by a plain loop: SGD with momentum, float32 or autocast."""
    import torch

    from benchmarks import networks_pytorch
    from modelzoo.support.errors import InputError

    if case["device"] == "gpu" and not torch.cuda.is_available():
        raise InputError("--device gpu: PyTorch sees no GPU")
    device = torch.device("cuda" if case["device"] == "gpu" else "cpu")
    _allow_tf32("pytorch", allowed=case["precision"] != "float32")
    torch.backends.cudnn.benchmark = True
    size, steps = case["batch"], case["steps"]
    x, y = _noise(case["model"], size * steps)
    images, labels = torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(y)
    model = getattr(networks_pytorch, case["model"])().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    side = SIDES.get(case["model"], (28, 28))[1]
    samples = []
    for _ in range(TIMED_EPOCHS + 1):
        began = time.perf_counter()
        for chosen in torch.randperm(len(images)).split(size):
            batch = _augmented(images[chosen].to(device), side)
            targets = labels[chosen].to(device)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, case["precision"] == "bfloat16"):
                loss = torch.nn.functional.cross_entropy(model(batch), targets)
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device
        samples.append(len(images) / (time.perf_counter() - began))
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return {"samples": samples[1:], "device": name, "versions": {"torch": torch.__version__}}


def _augmented(batch: Any, side: int) -> Any:
    """Return a uint8 batch on its device cropped, mirrored and scaled, as float32."""
    import torch

    top, left = (int(torch.randint(batch.shape[-1] - side + 1, ())) for _ in range(2))
    batch = batch[:, :, top : top + side, left : left + side].float().div_(127.5).sub_(1)
    mirrored = torch.rand(len(batch), 1, 1, 1, device=batch.device) < 0.5
    return torch.where(mirrored, batch.flip(-1), batch)


def _median(case: dict[str, Any]) -> float:
    return statistics.median(case["samples"])


def _print(results: list[dict[str, Any]]) -> None:
    """Print medians, range, and ours over the plain loop of the same network and precision."""
    print(
        f"\n{'NETWORK':16} {'PRECISION':10} {'FRAMEWORK':12} {'BATCH':>6} {'IMAGES/S':>10}  RANGE"
    )
    plain = {
        (case["model"], case["precision"]): _median(case)
        for case in results
        if case["framework"] == "pytorch"
    }
    for case in results:
        low, high, median = min(case["samples"]), max(case["samples"]), _median(case)
        beside = plain.get((case["model"], case["precision"]))
        ratio = f"  {median / beside:.2f} of plain PyTorch" if beside else ""
        name = case["framework"] if case["framework"] == "pytorch" else f"ours, {case['framework']}"
        print(
            f"{case['model']:16} {case['precision']:10} {name:12} {case['batch']:6} {median:10,.0f}"
            f"  {low:,.0f} to {high:,.0f}{ratio}"
        )
    for device in sorted({case["device_name"] for case in results}):
        print(f"device: {device}")


if __name__ == "__main__":
    raise SystemExit(main())
