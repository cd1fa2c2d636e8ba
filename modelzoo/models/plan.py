"""Arguments given once or layer by layer, and the shapes that they lead to.

Everything here is plain arithmetic, so that a wrong argument is refused before a framework starts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelzoo.errors import InputError

Padding = Literal["valid", "same"]
ConvPadding = Padding | int  # a number: so many rows and columns of zeros on every side
Pooling = Literal["average", "max", "none"]
Normalization = Literal["batch", "local_response", "none"]
# One size for all layers, or a list with one a layer, where a size is n or [height, width].
Size = int | Sequence[int | Sequence[int]]
KerasObject = str | dict[str, Any]  # a class name, or {class_name: ..., config: {...}}

# A slip of the keyboard asks for a thousand times as much as was meant. To initialise a network
# takes three times its weights: below 2 GB with these, twice what AlexNet has.
MAX_PARAMETERS = 2**27
MAX_FEATURES = 2**26  # numbers that a layer makes of one picture: 268 MB in float32
MAX_LAYERS = 200


@dataclass(frozen=True)
class Stage:
    """One convolution with what follows it: normalisation and pooling, either of them optional.

    `zeros` rows and columns are added on every side before a convolution with padding "valid".
    """

    filters: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    zeros: int
    padding: str
    groups: int
    normalization: str
    pooling: str
    pool_size: tuple[int, int]
    pool_strides: tuple[int, int]
    pool_padding: str
    parameters: int  # of the convolution
    outputs: tuple[int, int, int]  # height, width, maps


def plan_stages(
    input_shape: Sequence[int],
    maps: Sequence[int],
    *,
    kernel_size: Any,
    strides: Any,
    padding: Any,
    pooling: Any,
    pool_size: Any,
    pool_strides: Any,
    pool_padding: Any,
    groups: Any = 1,
    normalization: Any = "none",
) -> list[Stage]:
    """Spread the arguments over the convolutions and check that every window fits its input.

    Raises:
        InputError: a list of the wrong length, a number below 1, a window larger than what it
            slides over, groups that do not divide the maps, or an immense layer.
    """
    count = check_layers("maps", maps)
    height, width, channels = check_input_shape(input_shape)
    columns = {
        "kernel_size": [
            pair("kernel_size", v) for v in per_layer("kernel_size", kernel_size, count)
        ],
        "strides": [pair("strides", v) for v in per_layer("strides", strides, count)],
        "padding": per_layer("conv_padding", padding, count),
        "pooling": per_layer("pooling", pooling, count, POOLINGS),
        "pool_size": [pair("pool_size", v) for v in per_layer("pool_size", pool_size, count)],
        "pool_padding": per_layer("pool_padding", pool_padding, count, PADDINGS),
        "groups": [positive("groups", v) for v in per_layer("groups", groups, count)],
        "normalization": per_layer("normalization", normalization, count, NORMALIZATIONS),
    }
    pool_strides = per_layer("pool_strides", pool_strides, count)
    stages = []
    for index in range(count):
        settings = {key: column[index] for key, column in columns.items()}
        zeros, settings["padding"] = zeros_and_padding(settings["padding"])
        stride = pool_strides[index]
        stride = settings["pool_size"] if stride is None else pair("pool_strides", stride)
        filters, groups_here = positive("maps", maps[index]), settings["groups"]
        if channels % groups_here or filters % groups_here:
            raise InputError(
                f"groups: {groups_here} groups divide neither or only one of the {channels} input "
                f"channels and the {filters} maps of convolution {index + 1}; both are needed"
            )
        where, kernel = f"convolution {index + 1}", settings["kernel_size"]
        padded = height + 2 * zeros, width + 2 * zeros
        height, width = slide(padded, kernel, settings["strides"], settings["padding"], where)
        check_features(where, height, width, filters)
        if settings["pooling"] != "none":
            where = f"the pooling after convolution {index + 1}"
            size, padding = settings["pool_size"], settings["pool_padding"]
            height, width = slide((height, width), size, stride, padding, where)
        stages.append(
            Stage(
                filters=filters,
                zeros=zeros,
                pool_strides=stride,
                parameters=(math.prod(kernel) * channels // groups_here + 1) * filters,
                outputs=(height, width, filters),
                **settings,
            )
        )
        channels = filters
    return stages


def check_size(input_shape: Sequence[int], stages: Sequence[Stage], units: Sequence[int]) -> None:
    """Refuse an immense network: convolutions, then fully connected layers of so many units."""
    inputs = math.prod(stages[-1].outputs if stages else input_shape)
    parameters = sum(stage.parameters for stage in stages)
    for each in units:
        parameters += (inputs + 1) * each
        inputs = each
    check_parameters(parameters)


def check_parameters(count: int) -> None:
    """Raise InputError if a network has more parameters than are built."""
    if count > MAX_PARAMETERS:
        raise InputError(
            f"it would have {_count(count)} parameters; at most {MAX_PARAMETERS:,} are built\n"
            "Use fewer maps or units, smaller kernels or input_shape, or larger strides"
        )


def check_features(where: str, height: int, width: int, maps: int) -> None:
    """Raise InputError if a layer makes more of one picture than memory can hold of a batch."""
    if height * width * maps > MAX_FEATURES:
        raise InputError(
            f"{where}: would make {_count(height * width * maps)} numbers of each picture; at most "
            f"{MAX_FEATURES:,} are computed"
        )


def check_layers(name: str, layers: Sequence[Any]) -> int:
    """Return how many layers a list describes, or raise InputError if they are immensely many."""
    if len(layers) > MAX_LAYERS:
        raise InputError(f"{name}: {len(layers):,} layers; at most {MAX_LAYERS} are built")
    return len(layers)


def _count(number: int) -> str:
    return f"{number:,}" if number < 10**15 else "more than 10**15"


PADDINGS = ("valid", "same")
POOLINGS = ("average", "max", "none")
NORMALIZATIONS = ("batch", "local_response", "none")


def check_input_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return (height, width, channels), or raise InputError."""
    if len(shape) != 3:
        raise InputError(f"input_shape: {list(shape)} should be [height, width, channels]")
    height, width, channels = (positive("input_shape", size) for size in shape)
    check_features("input_shape", height, width, channels)
    return height, width, channels


def check_table(name: str, table: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return how many maps a connection table joins (input maps, output maps).

    Raises:
        InputError: it does not hold rows of 0 and 1 of one length, or leaves a map alone.
    """
    if not table or not table[0] or {len(row) for row in table} != {len(table[0])}:
        raise InputError(f"{name}: should hold rows of 0 and 1, all of one length")
    if any(isinstance(each, bool) or each not in (0, 1) for row in table for each in row):
        raise InputError(f"{name}: should hold nothing but 0 and 1")
    for what, lines in (("row", table), ("column", zip(*table, strict=True))):
        for number, line in enumerate(lines):
            if not any(line):
                raise InputError(f"{name}: {what} {number} has no 1: that map would be alone")
    return len(table), len(table[0])


def per_layer(name: str, value: Any, count: int, allowed: Sequence[str] = ()) -> list[Any]:
    """One value for each of `count` layers: a single value is repeated, a list taken as it is."""
    values = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        raise InputError(f"{name}: {len(values)} values for {count} layers; give one, or {count}")
    for each in values:
        if allowed and each not in allowed:
            raise InputError(f"{name}: {each!r} is not one of {', '.join(allowed)}")
    return values


def zeros_and_padding(value: Any) -> tuple[int, str]:
    """(0, "valid"), (0, "same"), or (n, "valid") from n."""
    if value in PADDINGS:
        return 0, value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000:
        return value, "valid"
    raise InputError(f"conv_padding: {value!r} is neither valid, same nor a number below 1000")


def pair(name: str, value: Any) -> tuple[int, int]:
    """(height, width) from n or [height, width]."""
    sizes = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(sizes) != 2:
        raise InputError(f"{name}: {value!r} should be a number, or [height, width]")
    return positive(name, sizes[0]), positive(name, sizes[1])


def positive(name: str, value: Any) -> int:
    """Return `value` if it is a whole number of at least 1, or raise InputError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name}: {value!r} should be a whole number of at least 1")
    return value


def rates(name: str, value: Any, count: int) -> list[float]:
    """Dropout rates, one a layer: at least 0 (none) and below 1."""
    values = per_layer(name, value, count)
    for rate in values:
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise InputError(f"{name}: {rate!r} should be a number of at least 0 and below 1")
    return values


def slide(
    size: tuple[int, int],
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
    where: str,
) -> tuple[int, int]:
    """Return the (height, width) that a window leaves, by the usual formulas for both paddings."""
    if padding == "same":
        return -(-size[0] // strides[0]), -(-size[1] // strides[1])
    if window[0] > size[0] or window[1] > size[1]:
        raise InputError(
            f"{where}: its {window[0]}x{window[1]} window is larger than the "
            f"{size[0]}x{size[1]} that reach it; use a larger input_shape, a smaller window, "
            "fewer layers or padding: same"
        )
    return (size[0] - window[0]) // strides[0] + 1, (size[1] - window[1]) // strides[1] + 1
