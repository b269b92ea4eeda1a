"""Synthetic patients: what is drawn, from where, and the same every time."""

from perfsim.anatomy import EllipsoidWall, coronary_trunks
from perfsim.cohorts import Heart, Stenosis, lesions, patients, synthetic_patient
from perfsim.cohorts import heart as heart_module
from perfsim.cohorts.heart import terminal_limit
from perfsim.units import MMHG

import equinox as eqx
import numpy as np
import pytest
from tiny import tiny_heart


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


class Extreme:
    """A generator that draws the least, the middle or the greatest that it may, and a normal number so many σ off."""

    def __init__(self, share: float, sigma: float):
        self.share, self.sigma, self.chances = share, sigma, {}

    def uniform(self, low, high, size=None):
        found = low + self.share * (high - low)
        return found if size is None else np.full(size, found)

    def normal(self, mean, sd, size=None):
        found = mean + self.sigma * sd
        return found if size is None else np.full(size, found)

    def integers(self, low, high=None):
        low, high = (0, low) if high is None else (low, high)
        return low + round(self.share * (high - 1 - low))

    def choice(self, options, size=None, replace=True, p=None):
        if isinstance(options, int):
            assert not replace
            return np.arange(options)[-size:]
        self.chances |= dict(zip(options, p, strict=True))
        return options[round(self.share * (len(options) - 1))]


PLACES = {"LAD": (15, 40), "LCx": (15, 40), "RCA": (30, 80)}


@pytest.mark.parametrize(("share", "sigma", "pressure"), [(0.0, -2.0, 77.0), (0.5, 4.0, 120.0), (1.0, -4.0, 70.0)])
def test_patients_are_drawn_from_the_table(monkeypatch, share, sigma, pressure):
    """Both ends and the middle of every range, two standard deviations, and where pressures are cut off."""
    rng, asked, heart = Extreme(share, sigma), {}, tiny_heart()
    monkeypatch.setattr(patients.np.random, "default_rng", lambda key: rng)

    def made(**options):
        asked.update(options)
        return Heart(heart, None, None, None)

    monkeypatch.setattr(patients, "reference_heart", made)
    patient = patients.synthetic_patient(3, stenosed=True, terminals=50, volumes=4000, tree=2)
    assert rng.chances == {"right": 0.82, "co": 0.10, "left": 0.08}
    assert asked["mass"] == pytest.approx(0.095 + share * 0.065) and asked["terminals"] == 50
    assert asked["dominance"] == ("right", "co", "left")[round(2 * share)]
    assert asked["spacing"] ** 3 * 4000 == pytest.approx(1.4 * asked["mass"] / 1050)  # cut cells: 1.4 times as many
    rest, stress = (float(s.aortic_pressure) / MMHG for s in asked["states"])
    assert (rest, stress) == (pytest.approx(pressure), pytest.approx(pressure - 5.0))
    assert asked["seed"] == {0.0: 0, 0.5: 2**30, 1.0: 2**31 - 1}[share] + 2  # up to 31 bits, and the tree's number
    places = PLACES if share < 1.0 else {"LAD": (15, 40), "LCx": (15, 40), "OM1": (5, 25)}
    assert [s.branch for s in asked["stenoses"]] == list(places)
    stenosed = 1 if share < 1.0 else 2  # of three sites
    for k, (s, (low, high)) in enumerate(zip(asked["stenoses"], places.values(), strict=True)):
        assert 1e3 * s.position == pytest.approx(low + share * (high - low))
        assert 1e3 * s.length == pytest.approx(6 + share * 8)
        throat = 0.36 + share * 0.14 if k >= 3 - stenosed else 0.80 + share * 0.17
        assert 1.0 - s.diameter_reduction == pytest.approx(throat)
    np.testing.assert_allclose(patient.truth.tissue.tone, np.exp(0.35 * sigma), rtol=1e-12)
    np.testing.assert_allclose(patient.nominal.lesions.throat, 0.75)
    assert patient.stenoses == asked["stenoses"] and patient.stenosed
    healthy = patients.synthetic_patient(3, stenosed=False, spacing=3e-3)
    assert asked["spacing"] == 3e-3 and asked["terminals"] == 600 and not healthy.stenosed
    np.testing.assert_allclose([1 - s.diameter_reduction for s in healthy.stenoses], 0.80 + share * 0.17)


def test_the_reference_heart_is_what_it_says_by_default(monkeypatch):
    """140 g, right dominant, 2000 terminals, γ = 7/3, 1.5 mm, vessels down to 100 µm; what is asked is passed on."""
    seen = {}
    monkeypatch.setattr(heart_module, "grow_heart", lambda wall, trunks, **o: seen.update(o, wall=wall, trunks=trunks))
    monkeypatch.setattr(heart_module, "couple", lambda grown, **options: seen.update(options))
    heart_module.reference_heart()
    assert (seen["terminals"], seen["seed"], seen["exponent"], seen["reference_diameter"]) == (2000, 0, 7 / 3, 1e-4)
    assert (seen["spacing"], seen["stenoses"], seen["states"]) == (1.5e-3, (), None)
    assert seen["wall"].thickness == pytest.approx(EllipsoidWall(0.140).thickness, rel=1e-12)
    assert "PLV" in seen["trunks"].branch_names
    heart_module.reference_heart(
        mass=0.1, dominance="left", seed=5, exponent=3.0, spacing=2e-3, reference_diameter=8e-5
    )
    assert (seen["seed"], seen["exponent"], seen["spacing"], seen["reference_diameter"]) == (5, 3.0, 2e-3, 8e-5)
    assert seen["wall"].thickness < 8e-3 and "PLV" not in seen["trunks"].branch_names


def test_a_heart_is_not_grown_finer_than_its_tissue(monkeypatch):
    """At most as many terminals as end at D_ref, and it is said; fewer are grown as asked."""
    seen = {}

    def grown(wall, trunks, terminals, **options):
        seen.update(options, terminals=terminals)
        return trunks, None

    monkeypatch.setattr(heart_module, "grow", grown)
    wall = EllipsoidWall()
    trunks = coronary_trunks(wall)
    limit = terminal_limit(wall, trunks, 7 / 3, 3e-4)
    few = heart_module.grow_heart(wall, trunks, terminals=limit, seed=3, reference_diameter=3e-4, shares={"LM": 1.0})
    assert (seen["terminals"], seen["seed"], seen["exponent"], seen["shares"]) == (limit, 3, 7 / 3, {"LM": 1.0})
    assert few.warnings == () and few.reference_diameter == 3e-4 and few.network is trunks
    many = heart_module.grow_heart(wall, trunks, terminals=limit + 1, reference_diameter=3e-4)
    assert seen["terminals"] == limit
    assert many.warnings == (f"growth stops at vessels of 300 µm: {limit} terminals instead of {limit + 1}",)
