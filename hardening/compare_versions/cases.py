"""The commands whose results are recorded."""

from dataclasses import dataclass
from pathlib import Path

NETWORKS = (
    *("alexnet", "alexnet_2012", "alexnet_2012_single", "alexnet_augmented", "alexnet_cifar10"),
    *("alexnet_fast", "alexnet_fast_65", "alexnet_owt", "lenet5", "lenet5_1998"),
    *("lenet5_1998_distorted", "lenet5_augmented", "lenet5_fashion_mnist", "lenet5_fast"),
    *("lenet5_fast_99", "lenet_1989", "mlp", "neocognitron", "neocognitron_mnist"),
)
PUBLISHED = {  # the weights in the package, and the data set that they are scored on
    ("lenet5", "mnist"): "mnist",
    ("lenet5", "fashion_mnist"): "fashion_mnist",
    ("lenet5_1998", "mnist"): "mnist",
    ("lenet_1989", "mnist16"): "mnist",
    ("mlp", "mnist"): "mnist",
    ("neocognitron_mnist", "mnist"): "mnist",
    ("alexnet", "cifar10"): "cifar10_jpeg75",
    ("alexnet_cifar10", "cifar10"): "cifar10_jpeg75",
}
OLD_FILES = {  # beside the checkout, and whether the file needs MNIST to find what it does not say
    "legacy_h5/lenet_keras2.2.4_weights_only.h5": True,
    "legacy_h5/lenet_keras2.3.1_relu_max_same.h5": True,
    "legacy_h5/lenet_keras2.7_linear.h5": True,
    "legacy_h5/lenet_keras3.3.3_tanh.h5": True,
    "cases/import/lenet5_keras3.10.keras": True,
    "cases/import/gtsrb_lenet_keras3.11.keras": False,
    "cases/import/gtsrb_lenet_leakyrelu_keras2.12.h5": False,
    "cases/import/dense_28x28_keras3.14.h5": True,
    "cases/import/dead_relu_output_keras2.2.4.h5": True,
    "cases/import/channels_first_weights_only.h5": True,
    "cases/import/lenet_keras2.0.3_weights_only.h5": True,
    "cases/import/lenet5_tanh_average.pth": True,
    "cases/import/lenet5_checkpoint.pth": True,
}
DISTORTED = (
    "--set=model.dropout=0.3",
    "--set=data.augmentation=[{class_name: RandomTranslation, config: {height_factor: 0.1, "
    "width_factor: 0.1}}]",
    "--set=compile.optimizer={class_name: Adam, config: {learning_rate: 0.01}}",
)
LITTLE = ("--set=data.validation_split=200", "--set=data.batch_size=32", "--device=cpu")
SMALL = {  # trainings that are interrupted and resumed
    "plain": ("--model=lenet5", "--dataset=digits2000", "--epochs=4", *LITTLE),
    "random": ("--model=lenet5", "--dataset=digits2000", "--epochs=4", *LITTLE, *DISTORTED),
}

OUTPUTS = """
import numpy, modelzoo
arrays = {}
for name, weights in %r:
    network = modelzoo.load(name, weights=weights)
    shape = (4, *network.input_shape[1:])
    images = numpy.random.default_rng(0).random(shape).astype("float32")
    arrays[f"{name}/{weights}"] = numpy.asarray(network.predict(images, verbose=0))
numpy.savez("outputs.npz", **arrays)
"""
IMPORTED = """
import pathlib, numpy, modelzoo
path, = pathlib.Path("out").glob("*.yaml")
network = modelzoo.load(str(path), weights=str(path.with_name(path.stem + ".weights.h5")))
images = numpy.random.default_rng(0).random((8, *network.input_shape[1:])).astype("float32")
numpy.savez("outputs.npz", outputs=network.predict(images, verbose=0))
"""
BUILT = """
import json, keras, numpy, modelzoo
networks, arrays = {}, {}
for name in %r:
    keras.utils.set_random_seed(0)
    network = modelzoo.build(name)
    networks[name] = [
        {"name": layer.name, "class": type(layer).__name__, "config": layer.get_config(),
         "weights": [[weight.path, list(weight.shape)] for weight in layer.weights]}
        for layer in network.layers
    ]
    sums = [numpy.abs(weight.numpy().astype("float64")).sum() for weight in network.weights]
    arrays[name] = numpy.array(sums)
json.dump(networks, open("networks.json", "w"), default=str)
numpy.savez("sums.npz", **arrays)
"""
EXPORTED = """
import pathlib, numpy
outputs = {}
for path in sorted(pathlib.Path("out").iterdir()):
    shape = (4, %s)
    images = (255 * numpy.random.default_rng(0).random(shape)).astype("float32")
    if path.suffix == ".onnx":
        import onnxruntime
        session = onnxruntime.InferenceSession(str(path))
        inputs = {session.get_inputs()[0].name: images}
        outputs["onnx"] = session.run(None, inputs)[0]
    elif path.is_dir():
        import tensorflow
        loaded = tensorflow.saved_model.load(str(path))  # kept: it holds the variables
        answer = loaded.signatures["serving_default"]
        name, = answer.structured_input_signature[1]
        given, = answer(**{name: tensorflow.constant(images)}).values()
        outputs["saved_model"] = given.numpy()
numpy.savez("outputs.npz", **outputs)
"""


@dataclass(frozen=True)
class Case:
    """Commands that run in one folder, and Python that reads what they wrote."""

    name: str
    commands: tuple[tuple[str, ...], ...] = ()
    probe: str = ""
    is_quick: bool = False
    data: tuple[str, ...] = ()  # files of MODELZOO_DATA that it needs
    old_file: str = ""  # a file to import
    beside: str = ""  # pattern of the files that are copied with it


def _train(
    name: str, *options: str, is_quick: bool = False, then: tuple[tuple[str, ...], ...] = ()
) -> Case:
    training = ("train", *options, "--device=cpu", "--json", "--out", "run")
    return Case(f"train_{name}", (training, *then), is_quick=is_quick)


def _cases() -> list[Case]:
    digits = tuple(f"../inputs/digit{number}.png" for number in range(5))
    lists = (("list", "--json"), ("list",), ("list", "--weights", "--json"), ("list", "--weights"))
    cases = [Case("list", lists, is_quick=True)]
    for name in NETWORKS:
        asked = (("info", name, "--json"), ("info", name, "--layers"))
        is_quick = name in ("lenet5", "alexnet", "lenet5_1998", "alexnet_2012", "neocognitron")
        cases.append(Case(f"info_{name}", asked, is_quick=is_quick))
    weights = [pair for pair in PUBLISHED if pair[0] != "neocognitron_mnist"]
    slow = {"alexnet", "alexnet_cifar10", "neocognitron_mnist", "lenet5_1998"}
    cases += [
        Case("built", probe=BUILT % (NETWORKS,), is_quick=True),
        Case("outputs", probe=OUTPUTS % (weights,), is_quick=True),
        Case("outputs_neocognitron", probe=OUTPUTS % ([("neocognitron_mnist", "mnist")],)),
    ]
    for (name, entry), data in PUBLISHED.items():
        dataset = (
            () if name in ("lenet5", "lenet5_1998", "lenet_1989", "mlp") else ("--dataset", data)
        )
        asked = ("evaluate", "--model", name, "--weights", entry, *dataset, "--json")
        if entry == "fashion_mnist":
            asked = (*asked, "--dataset", data)
        cases.append(Case(f"evaluate_{name}_{entry}", (asked,), "", name not in slow, (data,)))
    cases += [
        Case("check", (("evaluate", "--model=lenet5", "--weights=mnist", "--check", "--json"),)),
        Case(
            "predict",
            (
                ("predict", "--model=lenet5", "--json", *digits, "../inputs/page.png"),
                ("predict", "--model=lenet5", digits[0]),
                ("predict", "--model=mlp", "--json", "--top=10", *digits),
                ("predict", "--model=lenet5_1998", "--json", *digits),
                ("predict", "--model=alexnet_cifar10", "--json", "../inputs/photo.png"),
            ),
            is_quick=True,
        ),
        Case(
            "features",
            (
                (
                    "features",
                    "lenet5",
                    digits[1],
                    "--json",
                    "--npz",
                    "--format=json",
                    "--out=lenet5",
                ),
                (
                    "features",
                    "alexnet_cifar10",
                    "../inputs/photo.png",
                    "--npz",
                    "--format=json",
                    "--out=a",
                ),
            ),
            is_quick=True,
        ),
        Case(
            "draw",
            (
                *(
                    ("draw", "architecture", name, "--format=json", "--out=out")
                    for name in NETWORKS
                ),
                ("draw", "architecture", "alexnet_2012", "--format=svg", "--out=out"),
                ("draw", "kernels", "lenet5", "--format=json", "--out=out"),
                ("draw", "kernels", "lenet5", "--layer=C3", "--format=json", "--out=c3"),
                ("draw", "kernels", "alexnet_cifar10", "--format=json", "--out=out"),
                ("draw", "activations", "--format=json", "--out=out"),
                ("draw", "convolution", "--format=json", "--out=out"),
                ("draw", "convolution", "--filter=sobel_x", "--format=json", "--out=sobel"),
            ),
        ),
        Case(
            "filters",
            (
                ("filters", "../inputs/photo.png", "--json", "--out=colour"),
                (
                    "filters",
                    "../inputs/photo.png",
                    "--grey",
                    "--filter=sobel_x",
                    "--json",
                    "--out=grey",
                ),
            ),
            is_quick=True,
        ),
        Case(
            "attack",
            (
                (
                    *("attack", "lenet5/mnist", "--images=50", "--steps=3"),
                    *("--strengths=0,0.05,0.1", "--json", "--format=json", "--out=out"),
                ),
            ),
        ),
        Case(
            "robustness",
            (
                (
                    "robustness",
                    "lenet5/mnist",
                    "mlp/mnist",
                    "--images=50",
                    "--json",
                    "--format=json",
                    "--out=out",
                ),
            ),
        ),
        Case(
            "export_lenet5",
            tuple(
                ("export", "lenet5", "--weights=mnist", f"--format={form}", "--out=out", "--json")
                for form in ("onnx", "saved_model", "litert")
            ),
            EXPORTED % "28, 28, 1",
        ),
        Case(
            "export_alexnet_cifar10",
            (
                (
                    "export",
                    "alexnet_cifar10",
                    "--weights=cifar10",
                    "--format=onnx",
                    "--out=out",
                    "--json",
                ),
            ),
            EXPORTED % "32, 32, 3",
        ),
        _train("lenet5_mnist", "--model=lenet5", "--seed=0", "--epochs=2", "--dataset=mnist"),
        _train(
            "lenet5",
            "--model=lenet5",
            "--dataset=digits2000",
            "--epochs=2",
            *LITTLE,
            *DISTORTED,
            is_quick=True,
            then=(
                ("evaluate", "--model=run", "--json"),
                ("predict", "--model=run", "--json", *digits),
                ("info", "run", "--json"),
                ("plot", "run", "--format=json", "--out=charts"),
            ),
        ),
    ]
    for name, dataset in {
        "lenet5_1998": "digits2000",
        "lenet5_fast": "digits2000",
        "mlp": "digits2000",
        "neocognitron_mnist": "digits2000",
        "alexnet_cifar10": "photos600",
        "alexnet": "photos600",
    }.items():
        cases.append(_train(name, f"--model={name}", f"--dataset={dataset}", "--epochs=1", *LITTLE))
    cases += [
        _train("lenet_1989", "--model=lenet_1989", "--epochs=1"),
        _train("neocognitron", "--model=neocognitron", "--epochs=2"),
    ]
    for name, options in SMALL.items():  # what the resumed trainings have to equal
        cases.append(_train(f"{name}_undisturbed", *options, is_quick=True))
    for path, needs_data in OLD_FILES.items():
        name = Path(path).name
        dataset = ("--dataset", "mnist") if needs_data else ()
        asked = ("import", name, "--out=out", "--json", *dataset)
        beside = name.replace("_weights_only.h5", "*") if "2.0.3" in name else name
        cases.append(
            Case(f"import_{Path(path).stem}", (asked,), IMPORTED, "tanh" in name, (), path, beside)
        )
    return cases


CASES = _cases()
