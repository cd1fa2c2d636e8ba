"""The Python interface: what README and DESIGN promise of `import modelzoo`."""

import numpy as np
import pytest

import modelzoo
from modelzoo import InputError


def test_public_names_are_there():
    for name in modelzoo.__all__:
        assert getattr(modelzoo, name) is not None
    assert set(modelzoo.__all__) <= set(dir(modelzoo))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = modelzoo.lode


def test_build_takes_arguments_in_place_of_the_yaml():
    model = modelzoo.build("lenet5", num_classes=26)
    assert model.output_shape == (None, 26) and not model.compiled
    with pytest.raises(InputError, match="did you mean 'num_classes'"):
        modelzoo.build("lenet5", num_class=26)


@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 28, 28, 1)])
def test_preprocess_scales_as_the_configuration_says(shape):
    images = np.full(shape, 255, np.uint8)
    prepared = modelzoo.preprocess("lenet5", images)
    assert prepared.shape == (2, 28, 28, 1) and prepared.dtype == np.float32
    np.testing.assert_allclose(prepared, 1.0, rtol=1e-6)


def test_preprocess_refuses_what_it_would_have_to_guess():
    """Floats may be scaled already; another size would need a choice."""
    with pytest.raises(InputError, match="uint8"):
        modelzoo.preprocess("lenet5", np.zeros((1, 28, 28), np.float32))
    with pytest.raises(InputError, match=r"lenet5 takes \(28, 28, 1\)"):
        modelzoo.preprocess("lenet5", np.zeros((1, 32, 32), np.uint8))
