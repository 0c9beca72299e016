"""The table of quantities: names, units, and what a network sees."""

from __future__ import annotations

import pytest
from astropy import units as u

from polaris_lab import quantities


def test_every_unit_is_known_to_astropy():
    assert len(quantities.quantity_names()) > 15
    for name in quantities.quantity_names():
        u.Unit(quantities.quantity(name).unit)


def test_densities_are_logarithmic_and_velocities_are_not():
    assert quantities.is_logarithmic("mass_weighted_density")
    assert not quantities.is_logarithmic("centroid_velocity")


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'column_density'"):
        quantities.quantity("colum_density")


@pytest.mark.parametrize(
    ("name", "unit", "match"),
    [
        ("two words", "cm-2", "expected a name"),
        ("grain_size", "furlongs per", "expected a unit"),
        ("column_density", "K", "already means"),
    ],
)
def test_bad_registrations_are_refused(name, unit, match):
    with pytest.raises(ValueError, match=match):
        quantities.register_quantity(name, unit=unit, logarithmic=True)


def test_an_unknown_shape_is_refused():
    with pytest.raises(ValueError, match="expected one of map"):
        quantities.register_quantity("grain_shape", unit="1", logarithmic=False, shape="blob")
