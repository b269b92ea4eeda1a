"""`perfsim doctor`: what it says, and what it exits with, where an installation is not in order."""

from importlib.metadata import PackageNotFoundError

from perfsim.cli import doctor

import numpy as np
import pytest


def examined(capsys) -> tuple[int, str]:
    """(exit status, what was said)."""
    with pytest.raises(SystemExit) as ended:
        doctor.examine()
    return ended.value.code, capsys.readouterr().out


def test_a_package_that_is_missing_is_named(monkeypatch, capsys):
    """Status 3, and the line to type; nothing is computed."""
    real = doctor.version

    def version(name):
        if name == "scipy":
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(doctor, "tube_error", lambda: pytest.fail("it went on"))
    status, said = examined(capsys)
    assert status == 3 and "scipy" in said and "MISSING: pip install scipy" in said


@pytest.mark.parametrize(("error", "status", "word"), [(2e-5, 4, "WRONG"), (np.nan, 4, "WRONG"), (3e-9, 0, "ok")])
def test_a_wrong_answer_is_called_wrong(monkeypatch, capsys, error, status, word):
    """A tube that is off by more than 1e-5, or not a number: status 4."""
    monkeypatch.setattr(doctor, "tube_error", lambda: error)
    found, said = examined(capsys)
    assert found == status and said.rstrip().endswith(word) and "devices" in said and "precision" in said


def test_the_tube_is_measured_against_poiseuilles_law(monkeypatch):
    """With blood a tenth thicker than the answer takes it for, the error is what a tenth of the tube's share changes."""
    from perfsim import blood

    assert doctor.tube_error() < 1e-9
    thicker = blood.ConstantViscosity(1.1 * 3.5e-3)
    monkeypatch.setattr(blood, "ConstantViscosity", lambda: thicker)
    tube = 8 * 3.5e-3 * 0.1 / (np.pi * 1.5e-3**4)
    assert doctor.tube_error() == pytest.approx(1 - (tube + 1e9) / (1.1 * tube + 1e9), rel=1e-6)
