"""The builders, by the name that `model.builder` of a YAML uses. A new model adds a line."""

from collections.abc import Callable
from typing import Any

from modelzoo.networks.lenet import lenet5_1998, lenet_1989
from modelzoo.networks.neocognitron import neocognitron
from modelzoo.networks.network import Network as Network
from modelzoo.networks.network import sequential
from modelzoo.networks.stages import alexnet, lenet5

BUILDERS: dict[str, Callable[..., Any]] = {
    "alexnet": alexnet,
    "lenet5": lenet5,
    "lenet5_1998": lenet5_1998,
    "lenet_1989": lenet_1989,
    "neocognitron": neocognitron,
    "sequential": sequential,
}
