"""The builders, by the name that `model.builder` of a YAML uses. A new model adds a line."""

from modelzoo.models.alexnet import alexnet
from modelzoo.models.lenet import lenet5

BUILDERS = {
    "alexnet": alexnet,
    "lenet5": lenet5,
}
