"""Our Keras layers, by the network that they come from, named as in its paper."""

from modelzoo.networks.layers.alexnet import LocalResponseNormalization, PCAColorAugmentation
from modelzoo.networks.layers.alexnet import RandomPatch as RandomPatch
from modelzoo.networks.layers.lenet import (
    ConnectionTableConv2D,
    EuclideanRBF,
    ScaledTanh,
    TrainableSubsampling,
    UnitBiasConv2D,
)
from modelzoo.networks.layers.neocognitron import CCells, SCells

__all__ = [
    "CCells", "ConnectionTableConv2D", "EuclideanRBF", "LocalResponseNormalization",
    "PCAColorAugmentation", "RandomPatch", "SCells", "ScaledTanh", "TrainableSubsampling",
    "UnitBiasConv2D",
]  # fmt: skip
