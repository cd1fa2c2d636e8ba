"""Our Keras layers, by the network that they come from, with its losses and initial weights."""

from modelzoo.networks.layers.alexnet import (
    LocalResponseNormalization,
    PCAColorAugmentation,
    RandomPatch,
)
from modelzoo.networks.layers.lenet import (
    BipolarMeanSquaredError,
    ConnectionTableConv2D,
    EuclideanRBF,
    FanInUniform,
    MAPCriterion,
    ScaledTanh,
    TrainableSubsampling,
    UnitBiasConv2D,
)
from modelzoo.networks.layers.neocognitron import CCells, SCells
from modelzoo.networks.layers.simard import ElasticDistortion

__all__ = [
    "BipolarMeanSquaredError", "CCells", "ConnectionTableConv2D", "ElasticDistortion",
    "EuclideanRBF", "FanInUniform", "LocalResponseNormalization", "MAPCriterion",
    "PCAColorAugmentation", "RandomPatch", "SCells", "ScaledTanh", "TrainableSubsampling",
    "UnitBiasConv2D",
]  # fmt: skip
