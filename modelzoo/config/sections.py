"""The sections of a configuration: structures whose fields are the keyword arguments of a call."""

import copy
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from modelzoo.config.reading import Place, convert
from modelzoo.networks import BUILDERS
from modelzoo.networks.layer import KerasObject
from modelzoo.support.errors import InputError, suggest

Count = Annotated[int, Meta(ge=1, lt=2**31, description="from 1 to 2**31 - 1")]
Amount = Annotated[float, Meta(ge=0, le=1e9)]
Whole = Annotated[int, Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of one call, checked on reading. A description says what a value should be."""


class About(Section, frozen=True, kw_only=True):
    """`about:` what `list` and `info` say of a network; tests hold it against the network.

    Args:
        title: one line.
        year: of the paper.
        parameters: of the network as it stands.
        source: authors, year, title and place of the paper.
        paper: the paper's own figures: `parameters`, `test_error` in percent, and `measured_on`.
        deviations: "paper: ...; ours: ...", one for each difference.
    """

    title: str = ""
    year: int | None = None
    parameters: int | None = None
    source: str = ""
    paper: dict[str, int | float | str] | None = None
    deviations: list[str] = []


class Model(Section, frozen=True, kw_only=True):
    """`model:` a builder and its keyword arguments; each builder has its own class.

    Args:
        builder: the function that describes the network, by its name.
    """

    builder: str

    if TYPE_CHECKING:

        def __getattr__(self, argument: str) -> Any: ...


class Data(Section, frozen=True, kw_only=True):
    """`data:` what `modelzoo.data.pipeline.InputPipeline` loads, scales and augments.

    Args:
        dataset: a name, `folder:PATH`, `tfds:NAME` or `hf:OWNER/NAME`.
        batch_size: images between two updates of the weights.
        validation_split: the training images held out to choose the best epoch.
        training_images: how many of the others to use; null: all.
        preprocessing: layers that every image goes through before the network.
        augmentation: layers for training images alone, on pixels of 0..255.
        label_mode: class numbers, or one-hot rows, as the loss takes them.
        class_names: null: those of the data set.
        skip_bad_images: leave out the image files that cannot be read, in place of stopping.
        image_size: at which image files are opened, for layers that crop; null: from `input_shape`.
    """

    dataset: str
    batch_size: Count = 32
    validation_split: Annotated[
        Whole | Annotated[float, Meta(ge=0, lt=1)],
        Meta(
            description="a share of the training set from 0 to below 1, or a whole number of images"
        ),
    ] = 0.1
    training_images: Count | None = None
    preprocessing: list[KerasObject] = []
    augmentation: list[KerasObject] = []
    label_mode: Literal["int", "categorical"] = "int"
    class_names: list[str] | None = None
    skip_bad_images: bool = False
    image_size: Annotated[
        Count | Annotated[list[Count], Meta(min_length=2, max_length=2)] | None,
        Meta(description="a number from 1, or [height, width]"),
    ] = None


class Image(Section, frozen=True, kw_only=True):
    """`image:` how `modelzoo.data.images.read_image` brings an image file to the input shape.

    Args:
        fit: cut out a digit and centre it, add borders, crop what exceeds, or distort.
        ink: `light` turns dark strokes on a light ground into light on dark.
    """

    fit: Literal["digit", "contain", "cover", "stretch"] = "cover"
    ink: Literal["as_is", "light"] = "as_is"


class Compile(Section, frozen=True, kw_only=True):
    """`compile:` the arguments of `keras.Model.compile` that a classifier needs.

    Args:
        optimizer: with its learning rate, or a schedule in its place.
        loss: one that suits `data.label_mode`.
        metrics: what is measured beside the loss.
        steps_per_execution: batches in a row without a return to Python.
        jit_compile: whether XLA compiles the network.
        run_eagerly: without a graph, to look for a mistake; slow.
        auto_scale_loss: under mixed_float16, against gradients that vanish.
    """

    optimizer: KerasObject
    loss: KerasObject
    metrics: list[KerasObject] = msgspec.field(default_factory=lambda: ["accuracy"])
    steps_per_execution: Count = 1
    jit_compile: bool | Literal["auto"] = "auto"
    run_eagerly: bool = False
    auto_scale_loss: bool = True


class Adversarial(Section, frozen=True, kw_only=True):
    """`fit.adversarial:` the attack on the images of each training step (Madry et al., 2018).

    Args:
        attack: `pgd` from a random point within epsilon, or `fgsm`.
        epsilon: the most that a pixel changes, as a share of the range 0..255.
        steps: of `pgd`; each costs about as much as a training step without an attack.
    """

    epsilon: Annotated[float, Meta(gt=0, le=1, description="a number above 0, up to 1")]
    attack: Literal["pgd", "fgsm"] = "pgd"
    steps: Count = 7


class Fit(Section, frozen=True, kw_only=True):
    """`fit:` the arguments of `keras.Model.fit` that are not the trainer's own.

    Args:
        epochs: how often each training image is seen.
        callbacks: such as `EarlyStopping` and `ReduceLROnPlateau`.
        class_weight: weights by class number, or in inverse proportion to a class's images.
        adversarial: to learn from attacked images in place of those of the data set.
    """

    epochs: Count
    callbacks: list[KerasObject] = []
    class_weight: Annotated[
        dict[Whole, Amount] | Literal["balanced"] | None,
        Meta(description="class numbers with numbers from 0"),
    ] = None
    adversarial: Adversarial | None = None


class Trainer(Section, frozen=True, kw_only=True):
    """`trainer:` the arguments of `modelzoo.Trainer` that a run must repeat.

    Args:
        seed: of weights, order and augmentation.
        precision: of activations; weights stay in 32 bits.
        backend: of Keras.
        distribute: to no, all local, or several machines' devices.
        weights: what the training starts from; null: random numbers.
        weights_sha256: of their file; another one is refused.
        freeze: layers that keep their weights: names, `*` for any letters, or `all-but-head`.
        share_batches: whether each core trains its part of a batch.
        save_minutes: how often the state is saved within a long epoch.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**32, description="from 0 to 2**32 - 1")] = 0
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    distribute: Literal["none", "devices", "workers"] = "none"
    weights: str | None = None
    weights_sha256: str | None = None
    freeze: str | list[str] = []
    share_batches: bool = False
    save_minutes: Annotated[Whole | Amount, Meta(description="a number from 0 to 10**9")] = 10


SECTIONS: dict[str, type[Section]] = {  # in the order of a run's config.yaml
    "about": About,
    "model": Model,
    "data": Data,
    "image": Image,
    "compile": Compile,
    "fit": Fit,
    "trainer": Trainer,
}
TOP_LEVEL = ("base", "name", *SECTIONS, "per_dataset", "weights")
NARROWED = {  # arguments of all builders
    "input_shape": Meta(min_length=3, max_length=3, description="[height, width, channels]"),
    "name": Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]*\Z", description="letters, digits, '.', '_', '-'"
    ),
}


PACKAGED = frozenset(BUILDERS)
Builder = TypeVar("Builder", bound=Callable[..., Any])


def register(builder: Builder, name: str | None = None) -> Builder:
    """Make a builder of your own known, as `builder:` of a YAML and to `build`.

    Args:
        builder: a function with a type hint for each parameter, `input_shape` and `num_classes`
            among them, that returns an uncompiled `keras.Model`. Its parameters become the keys
            of the `model:` section. Registered again, as when a notebook's cell runs again, it
            takes the place of the earlier one of its name.
        name: by default the function's own.

    Returns:
        The function itself, so that `@modelzoo.register` may stand above it.

    Raises:
        InputError: the name belongs to a packaged builder, or the parameters cannot be keys.

    Examples:
        >>> import keras
        >>> @modelzoo.register
        ... def one_layer(input_shape: list[int], num_classes: int = 10) -> keras.Model:
        ...     head = keras.layers.Dense(num_classes, activation="softmax")
        ...     return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), head])
        >>> modelzoo.build("one_layer", input_shape=[28, 28, 1]).count_params()
        7850
    """
    called = getattr(builder, "__name__", "") if name is None else name
    if called in PACKAGED:
        raise InputError(f"register: {called} is a builder of the package; give another name")
    if not callable(builder) or not re.fullmatch(r"[A-Za-z]\w*", called, re.ASCII):
        raise InputError(f"register: {called or builder!r:.80}: give a function that has a name")
    try:
        fields = _struct_of(called, builder).__struct_fields__
    except (KeyError, NameError, TypeError, ValueError) as error:
        raise InputError(f"register {called}: each parameter needs a type hint: {error}") from None
    missing = [each for each in ("input_shape", "num_classes") if each not in fields]
    if missing:
        raise InputError(f"register {called}: has no parameter {' and no '.join(missing)}")
    BUILDERS[called] = builder
    model_struct.cache_clear()
    return builder


@functools.cache
def model_struct(builder: str) -> type[Model]:
    """Return the class of the `model` section for a builder, read from its signature."""
    return _struct_of(builder, BUILDERS[builder])


def _struct_of(builder: str, function: Callable[..., Any]) -> type[Model]:
    keras = types.SimpleNamespace(Model=object)
    hints = typing.get_type_hints(function, localns={"keras": keras}, include_extras=True)
    fields: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        hint, default = hints[name], parameter.default
        if name in NARROWED:
            hint = Annotated[hint, NARROWED[name]]
        if default is inspect.Parameter.empty:
            fields.append((name, hint))
        else:
            value = list(default) if isinstance(default, tuple) else default
            factory = functools.partial(copy.deepcopy, value)
            fields.append((name, hint, msgspec.field(default_factory=factory)))
    struct = msgspec.defstruct(builder, fields, bases=(Model,), frozen=True, kw_only=True)
    return typing.cast(type[Model], struct)


def all_keys() -> Iterator[str]:
    """Yield all keys that `--set` takes, but for the arguments of Keras' objects."""
    structs = [*SECTIONS.items(), *(("model", model_struct(builder)) for builder in BUILDERS)]
    for section, struct in structs:
        yield from (f"{section}.{name}" for name in struct.__struct_fields__)
    yield from (f"compile.optimizer.config.{name}" for name in ("momentum", "weight_decay"))


def read_section(section: str, values: Any, place: Place) -> Any:
    """Return a section as its structure, defaults filled in."""
    values = {} if values is None else values
    struct = SECTIONS[section]
    if section == "model" and isinstance(values, dict):
        builder = values.get("builder", "")
        if str(builder) not in BUILDERS:
            where, near = place("model.builder"), suggest(str(builder), BUILDERS)
            raise InputError(f"{where}: model.builder should name a builder, not {builder!r}{near}")
        struct = model_struct(str(builder))
    return convert(values, struct, place, section)


def check_labels_suit_loss(sections: Mapping[str, Any], place: Place) -> None:
    """Refuse a loss that expects other labels: Keras fails late then, or learns nonsense."""
    loss, mode = sections["compile"].loss, sections["data"].label_mode
    name = str(loss.get("class_name")) if isinstance(loss, dict) else loss
    wanted = "int" if name.lower().startswith("sparse") else "categorical"
    if mode != wanted:
        raise InputError(
            f"{place('compile.loss')}: compile.loss: {name} needs "
            f"data.label_mode: {wanted}\n"
            f"{place('data.label_mode')}: data.label_mode is {mode}; change one"
        )


def entry_shape(
    input_shape: Sequence[int],
    preprocessing: Sequence[Any],
    image_size: int | Sequence[int] | None = None,
) -> tuple[int, int, int]:
    """Return the height, width and channels at which images are opened.

    `ZeroPadding2D` makes images larger and `Cropping2D` smaller, so 32x32 images that were padded
    by 2 are opened at 28x28. All other layers are taken to keep the size, unless `image_size` says
    at which size images are opened: for layers that crop, such as `CenterCrop`.
    """
    height, width, channels = input_shape
    if image_size is not None:
        sides = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
        return sides[0], sides[1], channels
    for index, spec in reversed(list(enumerate(preprocessing))):
        name = spec.get("class_name") if isinstance(spec, dict) else spec
        config = (spec.get("config") or {}) if isinstance(spec, dict) else {}
        sign = {"ZeroPadding2D": -1, "Cropping2D": 1}.get(str(name), 0)
        if not sign:
            continue
        default = 1 if name == "ZeroPadding2D" else 0
        value = config.get("padding" if name == "ZeroPadding2D" else "cropping", default)
        try:
            rows, columns = map(sum, _sides(value))
        except (TypeError, ValueError):
            continue  # Keras will complain
        height, width = height + sign * rows, width + sign * columns
        if height < 1 or width < 1:
            raise InputError(
                f"data.preprocessing.{index}: {name} adds {rows} rows and {columns} columns, which "
                f"leaves nothing of the network's input {list(input_shape)}"
            )
    return height, width, channels


def _sides(value: Any) -> list[Sequence[int]]:
    """Return [[top, bottom], [left, right]] of n, of [n, m], or of itself."""
    pairs = value if isinstance(value, list) else [value, value]
    return [each if isinstance(each, list) else [each, each] for each in pairs]
