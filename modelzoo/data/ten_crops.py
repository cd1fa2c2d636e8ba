"""Ten patches of a picture, whose predictions are averaged, as AlexNet was tested."""

from typing import Any

from keras import ops

CROPS = 10


def ten_crops(images: Any, height: int, width: int) -> Any:
    """Return the four corners of each picture and its centre, then the mirror image of each.

    Args:
        images: (n, at least `height`, at least `width`, channels).
        height: of a patch.
        width: of a patch.

    Returns:
        (10 n, height, width, channels): ten patches in a row for each picture.

    Reference:
        Krizhevsky, Sutskever, Hinton (2012), section 4.1.
    """
    rows, columns = images.shape[1] - height, images.shape[2] - width
    corners = [(top, left) for top in (0, rows) for left in (0, columns)]
    patches = [
        images[:, top : top + height, left : left + width]
        for top, left in [*corners, (rows // 2, columns // 2)]
    ]
    patches += [ops.flip(patch, axis=2) for patch in patches]
    return ops.reshape(ops.stack(patches, axis=1), (-1, height, width, images.shape[3]))
