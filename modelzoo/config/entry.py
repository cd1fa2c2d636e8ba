"""The shape in which images enter `data.preprocessing` to leave it as the network's input."""

from collections.abc import Sequence
from typing import Any

from modelzoo.errors import InputError


def entry_shape(
    input_shape: Sequence[int],
    preprocessing: Sequence[Any],
    image_size: int | Sequence[int] | None = None,
) -> tuple[int, int, int]:
    """Return the height, width and channels at which images are opened.

    `ZeroPadding2D` makes images larger and `Cropping2D` smaller, so 32x32 images that were padded
    by 2 are opened at 28x28. All other layers are taken to keep the size, unless `image_size` says
    at which size images are opened: for layers that crop, such as `CenterCrop`.

    Args:
        input_shape: of the network.
        preprocessing: the layers of `data.preprocessing`, by class name and configuration.
        image_size: `data.image_size`, n or [height, width].

    Raises:
        InputError: more padding than the network's input has pixels.
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
