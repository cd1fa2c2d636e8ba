"""A chain of layers that a YAML spells out, so that a new network needs no Python."""

from collections.abc import Sequence

import msgspec

from modelzoo.networks.layer import Count, KerasObject
from modelzoo.networks.network import Network, read_layers
from modelzoo.support.errors import InputError


def sequential(
    input_shape: Sequence[Count],
    layers: Sequence[KerasObject],
    num_classes: Count = 10,
    *,
    name: str = "sequential",
) -> Network:
    """Build the network that a list of layers describes.

    Args:
        input_shape: [height, width, channels] of an image.
        layers: from the input on, each {class_name: KIND, config: {argument: value}}, or KIND
            alone. `modelzoo.networks.kinds` has the kinds; their arguments are those of the Keras
            layer, or of ours, with the same defaults. A layer without a name gets one.
        num_classes: outputs. The last Dense layer may leave out its `units`: it has as many.
        name: name of the model.

    Input shape: (batch, height, width, channels), float, scaled as the configuration says.

    Output shape: (batch, num_classes).

    Returns:
        The network's description.

    Raises:
        InputError: an unknown kind or argument, a wrong value, or another number of outputs.

    Example:
        >>> sequential([28, 28, 1], ["Flatten", {"class_name": "Dense"}]).parameters
        7850

    Deviations: none; there is no paper.
    """
    specs = [{"class_name": each} if isinstance(each, str) else each for each in layers]
    for index in reversed(range(len(specs))):
        if isinstance(specs[index], dict) and specs[index].get("class_name") == "Dense":
            config = specs[index].get("config") or {}
            if isinstance(config, dict) and "units" not in config:
                specs[index] = specs[index] | {"config": config | {"units": num_classes}}
            break
    chain = read_layers(specs)
    if chain:  # a softmax in 8 or 11 bits loses small probabilities
        chain = (*chain[:-1], msgspec.structs.replace(chain[-1], dtype="float32"))
    network = Network(name, tuple(input_shape), chain)
    outputs = network.shapes[-1] if chain else network.input_shape
    if outputs != (num_classes,):
        found = "x".join(map(str, outputs))
        raise InputError(
            f"layers: end with {found} outputs, but num_classes is {num_classes}; leave out the "
            "`units` of the last Dense layer, or set num_classes"
        )
    return network
