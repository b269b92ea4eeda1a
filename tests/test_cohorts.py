"""Synthetic patients: what is drawn, from where, and the same every time."""

from perfsim.anatomy import EllipsoidWall, coronary_trunks
from perfsim.cohorts import Stenosis, lesions, synthetic_patient
from perfsim.cohorts.heart import terminal_limit
from perfsim.units import MMHG

import equinox as eqx
import numpy as np
import pytest


@pytest.mark.parametrize("stenosed", [True, False])
def test_a_patient_by_its_table(stenosed):
    """Masses, pressures (5 mmHg less in hyperemia), sites, lengths and throats lie where the table says."""
    patient, again = (synthetic_patient(7, stenosed=stenosed, terminals=60, spacing=6e-3) for _ in range(2))
    assert eqx.tree_equal(patient.truth, again.truth) and patient.stenosed is stenosed
    rest, stress = (float(s.aortic_pressure) / MMHG for s in patient.truth.states)
    assert 70.0 <= rest <= 120.0 and stress == pytest.approx(rest - 5.0)
    assert [s.name for s in patient.truth.states] == ["rest", "hyperemia"]
    throat = 1.0 - np.array([s.diameter_reduction for s in patient.stenoses])
    np.testing.assert_allclose(patient.truth.lesions.throat, throat)
    severe = (throat >= 0.36) & (throat <= 0.50)
    assert (severe | ((throat >= 0.80) & (throat <= 0.97))).all() and severe.sum() in ((1, 2) if stenosed else (0,))
    np.testing.assert_allclose(patient.nominal.lesions.throat, 0.75)
    places = {"LAD": (15, 40), "LCx": (15, 40), "RCA": (30, 80), "OM1": (5, 25)}
    for s in patient.stenoses:
        low, high = places[s.branch]
        assert low <= 1e3 * s.position <= high and 6 <= 1e3 * s.length <= 14
    mass = 1e3 * 1050 * float(np.sum(patient.truth.volumes.volume))
    assert 90 < mass < 165 and len(patient.truth.network.terminals) == 60
    assert np.abs(np.log(patient.truth.tissue.tone)).max() < 4 * 0.35 and float(np.ptp(patient.truth.tissue.tone)) > 0
    np.testing.assert_array_equal(patient.nominal.tissue.tone, 1.0)


def test_growth_stops_where_tissue_begins():
    """(D₀/D_ref)^γ terminals of every root, less the share of what its lumped outlets take."""
    wall = EllipsoidWall()
    trunks = coronary_trunks(wall)
    volume, outside = 0.140 / 1050, float(np.sum(trunks.outlet_demand))
    for reference in (100e-6, 80e-6):
        roots = (4.5e-3 / reference) ** (7 / 3) + (3.9e-3 / reference) ** (7 / 3)
        expected = volume / (volume + outside) * roots
        assert terminal_limit(wall, trunks, 7 / 3, reference) == pytest.approx(expected, rel=0.01)


def test_lesions_are_joined():
    trunks = coronary_trunks(EllipsoidWall())
    assert len(lesions(trunks, ()).center) == 0
    two = lesions(trunks, (Stenosis("LAD", 0.03, 0.5, 0.01), Stenosis("LCx", 0.02, 0.4, 0.008)))
    np.testing.assert_allclose([two.center, two.length, two.throat], [[0.03, 0.02], [0.01, 0.008], [0.5, 0.6]])
    assert [trunks.branch_names[int(b)] for b in two.branch] == ["LAD", "LCx"]
