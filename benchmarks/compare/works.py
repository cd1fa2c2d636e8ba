"""What is measured, by whom, and how much of it. Starts no framework."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

OURS, REFERENCE = "modelzoo", "script"
SHOWN = {  # how each contestant is called where people read of it
    OURS: "modelzoo",
    "modelzoo-bfloat16": "modelzoo, mixed bfloat16",
    "modelzoo-keras-step": "modelzoo with Keras' own optimizer and layers",
    "modelzoo-optimizer": "modelzoo with the fused optimizer only",
    REFERENCE: "plain Keras script on TensorFlow",
    "script-onednn": "plain Keras script, oneDNN's kernels",
    "script-predict": "plain Keras script, model.predict",
    "modelzoo-keras": "modelzoo, Keras model",
    "pytorch": "plain PyTorch",
    "pytorch-compiled": "PyTorch, compiled",
    "jax-scan": "JAX, an epoch in one scan",
    "onnxruntime": "ONNX Runtime",
    "litert": "LiteRT",
    "keras-jax": "plain Keras script on JAX",
    "keras-torch": "plain Keras script on PyTorch",
    "import-tensorflow": "only `import tensorflow`",
    "list": "`modelzoo list`",
    "train-help": "`python -m train --help`",
    "info": "`modelzoo info lenet5`",
    "python": "only Python itself",
}


@dataclass(frozen=True)
class Contestant:
    """Who does a work: a module's function of the work's name in a fresh process, or a command.

    Attributes:
        name: of the contestant, see `SHOWN`.
        module: of `benchmarks.compare`; None if `command` does it.
        backend: of Keras, in $KERAS_BACKEND.
        needs: packages without which it is left out.
        settings: beside those of the work.
        environment: variables that its process gets.
        command: arguments of the Python interpreter; {recipe}, {out} and {weights} are filled in.
    """

    name: str
    module: str | None = None
    backend: str = "tensorflow"
    needs: tuple[str, ...] = ("tensorflow",)
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    """Something that every contestant does.

    Attributes:
        name: as typed after --work.
        title: what a row of the table says.
        unit: of a sample; "MB" is the peak memory of the process, in millions of bytes.
        contestants: in the order of the first round.
        dataset: file that has to be in $MODELZOO_DATA, without .npz.
        settings, quick: of the real measurement, and what --quick changes.
        goal: test accuracy that a training should reach.
        scored: whether test accuracies after this work tell anything.
        explained: a sentence or two: what is done, what is timed.
    """

    name: str
    title: str
    unit: Literal["s", "ms", "MB", "loss"]
    contestants: tuple[Contestant, ...]
    explained: str
    dataset: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    quick: dict[str, Any] = field(default_factory=dict)
    goal: float | None = None
    scored: bool = True

    @property
    def function(self) -> str:
        """Name of the function that does it, without the goal of "cold-start-lenet5-0.99"."""
        return re.sub(r"-[\d.]+$", "", self.name).replace("-", "_")


def _command(name: str, *arguments: str, needs: tuple[str, ...] = ("tensorflow",)) -> Contestant:
    return Contestant(name, command=arguments, needs=needs)


MODELZOO = Contestant(OURS, "ours")
BFLOAT16 = Contestant("modelzoo-bfloat16", "ours", settings={"precision": "mixed_bfloat16"})
SCRIPT = Contestant(REFERENCE, "keras_script")
# TensorFlow chooses them by itself only with AVX-512, which is more than most machines have.
ONEDNN = Contestant("script-onednn", "keras_script", environment={"TF_ENABLE_ONEDNN_OPTS": "1"})
PYTORCH = Contestant("pytorch", "pytorch_loop", needs=("torch",))
# The best that PyTorch reached here. Without these variables, glibc gives every large buffer back
# to the system, and takes its pages again: most of the time of AlexNet's step.
KEPT_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
COMPILED = Contestant(
    "pytorch-compiled",
    "pytorch_loop",
    needs=("torch",),
    settings={"compiled": True},
    environment=KEPT_MEMORY,
)
JAX_SCAN = Contestant("jax-scan", "jax_scan", needs=("jax",))
ONNX = Contestant("onnxruntime", "runtimes", needs=("tf2onnx", "onnx", "onnxruntime"))
LITERT = Contestant("litert", "runtimes", needs=("ai_edge_litert",))
KERAS_JAX = Contestant("keras-jax", "keras_script", "jax", needs=("jax", "tensorflow"))
KERAS_TORCH = Contestant("keras-torch", "keras_script", "torch", needs=("torch", "tensorflow"))
IMPORT_TENSORFLOW = _command("import-tensorflow", "-c", "import tensorflow")
PYTHON = _command("python", "-c", "pass", needs=())
TRAINING = (MODELZOO, SCRIPT, PYTORCH, KERAS_JAX, KERAS_TORCH)


def _trained(recipe: str) -> Contestant:
    """Return our training by a recipe, with another seed in each round."""
    options = ("--seed", "{seed}", "--out", "{out}", "--json")
    return _command(OURS, "-m", "train", "--model", recipe, "--dataset", "{dataset}", *options)


EVALUATE = _command(OURS, "-m", "evaluate", "--model", "lenet5", "--dataset", "mnist", "--json")


def _cold_start_lenet5(goal: float, epochs: int, recipe: str) -> Work:
    return Work(
        f"cold-start-lenet5-{goal}",
        f"LeNet-5, cold start to {goal}, by different recipes",
        "s",
        (_trained(recipe), SCRIPT, PYTORCH),
        "The whole process, from its start to the accuracy on MNIST's test set. The recipes "
        f"differ, so that the ratio is theirs, too: modelzoo trains by `{recipe}` to its end, with "
        "seed 0 in the first round, 1 in the next, and scores the test set once. The script and "
        "PyTorch train by the tutorial's recipe (Adadelta, 60,000 images), score the test set "
        f"after each epoch, and end once {goal} is reached, after at most {epochs} epochs.",
        dataset="mnist",
        settings={"epochs": epochs, "goal": goal},
        quick={"epochs": 1},
        goal=goal,
    )


WORKS = (
    Work(
        "lenet5-epoch",
        "LeNet-5, an epoch of MNIST",
        "s",
        (MODELZOO, SCRIPT, ONEDNN, PYTORCH, COMPILED, KERAS_JAX, KERAS_TORCH, JAX_SCAN),
        "55,000 images in batches of 128, Adadelta with a learning rate of 1.0, and 5,000 "
        "validation images scored. The first epoch of a process, which traces and compiles, is "
        "left out.",
        dataset="mnist",
        settings={"epochs": 4, "training": 55_000, "validation": 5_000},
        quick={"epochs": 2, "training": 1_280, "validation": 256},
    ),
    Work(
        "alexnet-step",
        "AlexNet (the tutorial's), a step",
        "ms",
        (MODELZOO, BFLOAT16, SCRIPT, ONEDNN, PYTORCH, COMPILED, KERAS_JAX, KERAS_TORCH),
        "A batch of 32 images of cifar10_jpeg75, Adadelta with a learning rate of 1.0, 22,590,346 "
        "parameters; means over 96 steps, nothing validated. The first 96 steps of a process are "
        "left out. An epoch of 50,000 images has 1,563 steps. Test accuracies after so few steps "
        "depend on chance more than on the contestant: what the training learns is compared "
        "below, with several seeds and more steps.",
        dataset="cifar10_jpeg75",
        settings={"epochs": 3, "steps": 96},
        quick={"epochs": 2, "steps": 4},
        scored=False,
    ),
    Work(
        "lenet5-evaluate",
        "LeNet-5, scoring 10,000 images",
        "s",
        (*TRAINING, ONNX, LITERT),
        "Loss and accuracy of the published weights on MNIST's test set, once in a process, after "
        "loading: tracing counts. modelzoo gives the probabilities of every image, too.",
        dataset="mnist",
    ),
    Work(
        "lenet5-first-result",
        "LeNet-5, from the command to the score",
        "s",
        (EVALUATE, SCRIPT, PYTORCH, IMPORT_TENSORFLOW),
        "`python -m evaluate --model lenet5 --dataset mnist`, the whole process, against a script "
        "that loads the same weights and does the same, and against importing TensorFlow alone, "
        "whose process also takes TensorFlow apart at its end, which modelzoo's does not.",
        dataset="mnist",
    ),
    Work(
        "latency",
        "LeNet-5, one image",
        "ms",
        (
            MODELZOO,
            Contestant("modelzoo-keras", "ours", settings={"engine": "keras"}),
            SCRIPT,
            Contestant("script-predict", "keras_script", settings={"call": "predict"}),
            PYTORCH,
            KERAS_JAX,
            KERAS_TORCH,
            ONNX,
            LITERT,
        ),
        "From an image of 28x28 uint8 to ten probabilities in NumPy, one at a time, warm. "
        'modelzoo calls `predict` of `load(..., engine="numpy")`, or `predict_on_batch` of its '
        "Keras model with the preprocessing in it; the script `model(x)`; PyTorch `model(x)` "
        "without gradients; ONNX Runtime and LiteRT run what `modelzoo export` writes.",
        dataset="mnist",
        settings={"calls": 300, "warm_up": 30, "call": "model"},
        quick={"calls": 10, "warm_up": 2},
    ),
    _cold_start_lenet5(0.9871, 12, "lenet5_fast"),
    _cold_start_lenet5(0.99, 40, "lenet5_fast_99"),
    Work(
        "cold-start-alexnet",
        "AlexNet (the tutorial's), cold start to 0.5549, by different recipes",
        "s",
        (_trained("alexnet_fast"), SCRIPT, PYTORCH),
        "For modelzoo the whole process, measured, by `alexnet_fast` (SGD, 6 epochs, batches of "
        "512). For the others extrapolated: the seconds of a step times the 78,150 steps of the "
        "tutorial's recipe (Adadelta, 50 epochs of 50,000 images, batches of 32), without start-up "
        "and validation. The tutorial's 0.5549 is of CIFAR-10; whether its recipe reaches that on "
        "cifar10_jpeg75, and after how many steps, was not tried. The ratio is mostly that of the "
        "recipes.",
        dataset="cifar10_jpeg75",
        settings={"epochs": 2, "steps": 96, "tutorial_steps": 50 * 1563},
        quick={"steps": 4},
        goal=0.5549,
    ),
    Work(
        "startup",
        "Start of commands that need no framework",
        "s",
        (
            _command("list", "-m", "modelzoo", "list", needs=()),
            _command("train-help", "-m", "train", "--help", needs=()),
            _command("info", "-m", "modelzoo", "info", "lenet5", needs=()),
            PYTHON,
            IMPORT_TENSORFLOW,
        ),
        "The whole process.",
    ),
    Work(
        "memory",
        "AlexNet (the tutorial's), peak memory of training",
        "MB",
        TRAINING,
        "The most memory that the process held while it trained 96 steps and scored the test set, "
        "with the whole training set in memory: as uint8 by modelzoo, as float32 by the others.",
        dataset="cifar10_jpeg75",
        settings={"steps": 96},
        quick={"steps": 4},
        scored=False,
    ),
)

LEARNING = Work(  # by benchmarks.learning
    "alexnet-learning",
    "AlexNet (the tutorial's), what the training learns",
    "loss",
    (
        SCRIPT,
        MODELZOO,
        Contestant("modelzoo-keras-step", "ours", settings={"step": "keras"}),
        Contestant("modelzoo-optimizer", "ours", settings={"step": "optimizer"}),
        PYTORCH,
        KERAS_JAX,
        BFLOAT16,
        KERAS_TORCH,
    ),
    "A faster training is no gain if it learns less. Each contestant trains on images of "
    "cifar10_jpeg75, none of them twice, in batches of 32, Adadelta with a learning rate of 1.0; "
    "then the 10,000 test images are scored. Initial weights, order and dropout follow from the "
    "seed; the rows of modelzoo share them, the others have their own.",
    dataset="cifar10_jpeg75",
    settings={"stretches": 6, "steps": 100},
)


def chosen_works(names: list[str]) -> list[Work]:
    """Return the works that are called so, or begin so: "cold-start" means both of them.

    Raises:
        KeyError: with a name that fits none.
    """
    found: list[Work] = []
    for name in names:
        fitting = [each for each in WORKS if each.name == name or each.name.startswith(f"{name}-")]
        if not fitting:
            raise KeyError(name)
        found += [each for each in fitting if each not in found]
    return found
