"""Two hundred random networks of each builder are what Keras builds of their descriptions."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from random_networks import DRAWN, check_against_keras, random_network


@pytest.mark.parametrize("builder", DRAWN)
def test_random_networks_are_what_keras_builds(builder: str) -> None:
    """Shapes, parameters, and the shape of every weight."""
    rng = random.Random(f"two hundred of {builder}")
    for _ in range(200):
        check_against_keras(random_network(builder, rng))
