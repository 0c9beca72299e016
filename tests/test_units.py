"""Quantities at the door: right units pass, everything else says what to write."""

import pytest
from astropy import constants
from astropy import units as u

from polaris_lab import units


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (units.PARSEC, (1 * u.pc).cgs.value),
        (units.SPEED_OF_LIGHT, constants.c.cgs.value),
        (units.PLANCK, constants.h.cgs.value),
        (units.BOLTZMANN, constants.k_B.cgs.value),
        (units.ATOMIC_MASS, constants.u.cgs.value),
        (units.GRAVITATION, constants.G.cgs.value),
        (units.HYDROGEN_MASS, (constants.m_p + constants.m_e).cgs.value),
    ],
)
def test_constants_are_codata(ours, reference):
    assert ours == pytest.approx(reference, rel=3e-7)


def test_a_length_converts_once():
    assert units.to_cgs(1 * u.pc, "side") == pytest.approx(units.PARSEC, rel=1e-12)
    assert units.to_unit(1000 * u.m / u.s, "km/s", "v") == pytest.approx(1.0)


def test_a_bare_number_is_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r"distance: expected a Quantity.*distance=300 \* u\.pc"):
        units.to_unit(300, "pc", "distance")


def test_a_wrong_unit_is_refused():
    with pytest.raises(u.UnitsError, match="cell_size: expected a unit that converts to pc, got K"):
        units.to_unit(10 * u.K, "pc", "cell_size")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="expected one finite number"):
        units.to_unit(value * u.pc, "pc", "distance")


def test_an_array_is_refused_where_a_scalar_is_meant():
    with pytest.raises(ValueError, match="expected one finite number"):
        units.to_unit([1, 2] * u.pc, "pc", "distance")


@pytest.mark.parametrize("value", [0, -1])
def test_positive_refuses_zero_and_below(value):
    with pytest.raises(ValueError, match="distance: expected a positive number in pc"):
        units.positive(value * u.pc, "pc", "distance")


def test_a_number_without_a_unit_is_said_to_have_none():
    with pytest.raises(u.UnitsError, match="got no unit;"):
        units.to_unit(1 * u.one, "pc", "distance")
