"""Viscosity laws."""

from perfsim.blood import ConstantViscosity, PriesInVivo

import jax.numpy as jnp
import numpy as np


def test_pries_in_vivo_table():
    """Relative viscosities at H = 0.45 of the published in-vivo formula."""
    D = jnp.array([5, 8, 10, 20, 50, 100, 200, 500, 1000.0]) * 1e-6
    expected = [12.620000, 7.307301, 5.872438, 3.231084, 2.281610, 2.531539, 2.859796, 3.133416, 3.197922]
    np.testing.assert_allclose(PriesInVivo()(D) / PriesInVivo().plasma, expected, rtol=2e-7)


def test_no_cells_is_plasma():
    """Without red cells blood is plasma in every vessel."""
    D = jnp.array([20, 100, 3000.0]) * 1e-6
    w = (D * 1e6 / (D * 1e6 - 1.1)) ** 2
    law = PriesInVivo(hematocrit=0.0)
    np.testing.assert_allclose(law(D) / law.plasma, w, rtol=1e-12)


def test_constant():
    assert float(ConstantViscosity(4e-3)(jnp.array(1e-3))) == 4e-3
