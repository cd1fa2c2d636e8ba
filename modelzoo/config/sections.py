"""The sections of a configuration: the call that each one feeds, and the checks against it."""

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from modelzoo.config.layers import Layer, where_given
from modelzoo.errors import InputError, suggest
from modelzoo.networks import BUILDERS
from modelzoo.networks.kinds import KerasObject


def model_about(
    title: str = "",
    year: int | None = None,
    parameters: int | None = None,
    source: str = "",
    paper: dict[str, int | float | str] | None = None,
    deviations: Sequence[str] = (),
) -> None:
    """`about:` what `list` and `info` say of a network; tests hold it against the network.

    `paper` holds the paper's own figures: `parameters`, `test_error` in percent, and `measured_on`,
    what it was measured on. A deviation is "paper: ...; ours: ...", one for each difference.
    """


def image_options(
    fit: Literal["digit", "contain", "cover", "stretch"] = "cover",
    ink: Literal["as_is", "light"] = "as_is",
) -> None:
    """`image:` how `modelzoo.data.images.read_image` brings a picture file to the input shape."""


def data_options(
    dataset: str,
    batch_size: int = 32,
    validation_split: int | float = 0.1,
    training_images: int | None = None,
    preprocessing: Sequence[KerasObject] = (),
    augmentation: Sequence[KerasObject] = (),
    label_mode: Literal["int", "categorical"] = "int",
    class_names: Sequence[str] | None = None,
    image_size: int | Sequence[int] | None = None,
) -> None:
    """`data:` what `modelzoo.data.pipeline.InputPipeline` loads, scales and augments."""


def compile_options(
    optimizer: KerasObject,
    loss: KerasObject,
    metrics: Sequence[KerasObject] = ("accuracy",),
    steps_per_execution: int = 1,
    jit_compile: bool | Literal["auto"] = "auto",
    run_eagerly: bool = False,
    auto_scale_loss: bool = True,
) -> None:
    """`compile:` the arguments of `keras.Model.compile` that a classifier needs."""


def fit_options(
    epochs: int,
    callbacks: Sequence[KerasObject] = (),
    class_weight: dict[int, float] | Literal["balanced"] | None = None,
) -> None:
    """`fit:` the arguments of `keras.Model.fit` that are not the trainer's own.

    `class_weight: balanced` is computed from the training images, see `training/class_weights.py`.
    """


def trainer_options(
    seed: int = 0,
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32",
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow",
    distribute: Literal["none", "devices", "workers"] = "none",
    weights: str | None = None,
    weights_sha256: str | None = None,
    freeze: str | Sequence[str] = (),
    share_batches: bool = False,
    save_minutes: int | float = 10,
) -> None:
    """`trainer:` the arguments of `modelzoo.Trainer` that a run must repeat."""


SECTIONS: dict[str, Callable[..., None]] = {
    "about": model_about,
    "data": data_options,
    "image": image_options,
    "compile": compile_options,
    "fit": fit_options,
    "trainer": trainer_options,
}


COUNTS = {
    "data": ("batch_size", "training_images"),
    "compile": ("steps_per_execution",),
    "fit": ("epochs",),
}


TOP_LEVEL = ("base", "name", "model", *SECTIONS, "per_dataset", "weights")


def parameters_of(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return {argument: (type hint, default)} of a section's call, read without a framework."""
    keras = types.SimpleNamespace(Model=object)  # the builders name it in their return type only
    hints = typing.get_type_hints(function, localns={"keras": keras}, include_extras=True)
    signature = inspect.signature(function)
    return {name: (hints[name], each.default) for name, each in signature.parameters.items()}


def all_keys() -> Iterator[str]:
    """Yield all keys that `--set` takes, but for the arguments of Keras' objects."""
    for section, function in SECTIONS.items():
        yield from (f"{section}.{name}" for name in parameters_of(function))
    for builder in BUILDERS.values():
        yield from (f"model.{name}" for name in parameters_of(builder))
    yield from (f"compile.optimizer.config.{name}" for name in ("momentum", "weight_decay"))


def check_section(section: str, values: Any, layers: Sequence[Layer]) -> dict[str, Any]:
    """Check a section's keys and types against its call, and fill in the defaults."""
    if values is None:
        values = {}
    if not isinstance(values, dict):
        where = where_given(section, layers)
        raise InputError(f"{where}: {section}: should hold keys and values, not {values!r}")
    if section == "model":
        function = _builder_of(values, layers)
        values = {key: value for key, value in values.items() if key != "builder"}
    else:
        function = SECTIONS[section]
    parameters = parameters_of(function)
    checked: dict[str, Any] = {}
    if section == "model":
        checked["builder"] = function.__name__
    for key in values:
        if key not in parameters:
            where = where_given(f"{section}.{key}", layers)
            raise InputError(f"{where}: unknown key {section}.{key}{suggest(str(key), parameters)}")
    for key, (hint, default) in parameters.items():
        if key in values:
            checked[key] = _convert(f"{section}.{key}", values[key], hint, layers)
        elif default is inspect.Parameter.empty:
            raise InputError(f"{where_given(section, layers)}: {section}.{key} is missing")
        else:
            checked[key] = list(default) if isinstance(default, tuple) else default
    _check_ranges(section, checked, layers)
    return checked


def _builder_of(values: dict[str, Any], layers: Sequence[Layer]) -> Callable[..., Any]:
    builder = values.get("builder")
    if builder is None:
        raise InputError(
            f"{where_given('model', layers)}: model.builder is missing{suggest('', BUILDERS)}"
        )
    if not isinstance(builder, str) or builder not in BUILDERS:
        where = where_given("model.builder", layers)
        near = suggest(str(builder), BUILDERS)
        raise InputError(f"{where}: unknown builder {builder!r}{near}")
    return BUILDERS[builder]


def _convert(key: str, value: Any, hint: Any, layers: Sequence[Layer]) -> Any:
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        problem = str(error).replace("`", "").replace(" - at $", " at ")
        where = where_given(key, layers)
        if wrong := re.match(r"Invalid enum value '(.*?)'", problem):
            near = suggest(wrong[1], _choices(hint))
            raise InputError(f"{where}: {key}: unknown {wrong[1]!r:.80}{near}") from None
        problem = f"{problem[0].lower()}{problem[1:]}"
        raise InputError(f"{where}: {key}: {problem}: {value!r:.80}") from None


def _choices(hint: Any) -> list[str]:
    """Return the words that a type hint allows, at any depth."""
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    return [word for part in typing.get_args(hint) for word in _choices(part)]


def _check_ranges(section: str, values: dict[str, Any], layers: Sequence[Layer]) -> None:
    """Refuse numbers that no run can use."""
    for key in COUNTS.get(section, ()):
        if values[key] is not None and not 1 <= values[key] < 2**31:
            where = where_given(f"{section}.{key}", layers)
            raise InputError(
                f"{where}: {section}.{key}: {values[key]} should be from 1 to 2**31 - 1"
            )
    name = values.get("name")
    if section == "model" and name and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
        where = where_given("model.name", layers)
        raise InputError(f"{where}: model.name: {name!r} should be letters, digits, '.', '_', '-'")
    shape = values.get("input_shape")
    if section == "model" and shape is not None and len(shape) != 3:
        where = where_given("model.input_shape", layers)
        raise InputError(f"{where}: model.input_shape: {shape} should be [height, width, channels]")
    if section == "trainer" and not 0 <= values["seed"] < 2**32:
        where = where_given("trainer.seed", layers)
        raise InputError(f"{where}: trainer.seed: {values['seed']} should be from 0 to 2**32 - 1")
    if section == "trainer" and not 0 <= values["save_minutes"] < math.inf:
        where = where_given("trainer.save_minutes", layers)
        raise InputError(
            f"{where}: trainer.save_minutes: {values['save_minutes']} should be a number from 0"
        )
    weights = values.get("class_weight") or {}
    if isinstance(weights, dict) and not all(
        label >= 0 and 0 <= weight < math.inf for label, weight in weights.items()
    ):
        where = where_given("fit.class_weight", layers)
        raise InputError(
            f"{where}: fit.class_weight: {weights} should hold class numbers and numbers from 0"
        )
    if section == "data":
        split = values["validation_split"]
        if split < 0 or (isinstance(split, float) and not split < 1):
            where = where_given("data.validation_split", layers)
            raise InputError(
                f"{where}: data.validation_split: {split} should be a share of the training set "
                "from 0 to below 1, or a whole number of images"
            )


def check_labels_suit_loss(sections: Mapping[str, Any], layers: Sequence[Layer]) -> None:
    """Refuse a loss that expects other labels: Keras fails late then, or learns nonsense."""
    loss, mode = sections["compile"]["loss"], sections["data"]["label_mode"]
    name = str(loss.get("class_name")) if isinstance(loss, dict) else loss
    wanted = "int" if name.lower().startswith("sparse") else "categorical"
    if mode != wanted:
        raise InputError(
            f"{where_given('compile.loss', layers)}: compile.loss: {name} needs "
            f"data.label_mode: {wanted}\n"
            f"{where_given('data.label_mode', layers)}: data.label_mode is {mode}; change one"
        )
