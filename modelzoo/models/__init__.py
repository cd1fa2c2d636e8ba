"""The builders, by the name that `model.builder` of a YAML uses. A new model adds a line."""

from collections.abc import Callable
from typing import Any

from modelzoo.models.alexnet import alexnet
from modelzoo.models.lenet import lenet5
from modelzoo.models.lenet5_1998 import lenet5_1998
from modelzoo.models.lenet_1989 import lenet_1989
from modelzoo.models.neocognitron import neocognitron

BUILDERS: dict[str, Callable[..., Any]] = {
    "alexnet": alexnet,
    "lenet5": lenet5,
    "lenet5_1998": lenet5_1998,
    "lenet_1989": lenet_1989,
    "neocognitron": neocognitron,
}
