"""Quantities at the edge."""

from perfsim import InputError, units

import pytest


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("120 mmHg", "pressure", 120 * 133.322387415),
        ("0.9 mL/min/g", "perfusion", 0.9e-6 / 60 / 1e-3),
        ("3.5 mm", "length", 3.5e-3),
        ("1e2 µm", "length", 1e-4),
        ("140 g", "mass", 0.14),
    ],
)
def test_parse(text, kind, value):
    assert units.parse(text, kind) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "words"),
    [("120", "no unit"), (120.0, "no unit"), ("120 mm", "'mm'"), ("much mmHg", "much"), (None, "None")],
)
def test_errors_name_value_and_remedy(text, words):
    with pytest.raises(InputError, match=words) as caught:
        units.parse(text, "pressure")
    assert "mmHg" in str(caught.value)
