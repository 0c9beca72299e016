"""LTE against anchors computed from the level sums, and its limits."""

import numpy as np
import pytest

from polaris_lab.radiative_transfer import Line, lte

LINE = Line.named("13CO", "1-0")
# T [K], Z, thermal a [km/s], integral of tau dv for 1e15 molecules per cm^2 [km/s]
ANCHORS = [
    (2.72548, 1.445768, 0.039533, 0.895926),
    (5, 2.263528, 0.053545, 0.436198),
    (10, 4.133534, 0.075724, 0.150298),
    (20, 7.905788, 0.107090, 0.044457),
    (50, 19.246727, 0.169324, 0.007888),
    (100, 38.159125, 0.239460, 0.002042),
]


@pytest.mark.parametrize(("kelvin", "z", "width", "depth"), ANCHORS)
def test_anchors(kelvin, z, width, depth):
    assert lte.partition_function(LINE, kelvin) == pytest.approx(z, abs=6e-7)
    assert lte.line_width(LINE, kelvin) == pytest.approx(width, abs=6e-7)
    assert 1e15 * lte.integrated_optical_depth(LINE, kelvin) == pytest.approx(depth, abs=6e-7)


def test_populations_sum_to_one_and_follow_boltzmann():
    populations = lte.level_populations(LINE, np.array([3.0, 10.0, 200.0]))
    assert populations.shape == (3, 41)
    np.testing.assert_allclose(populations.sum(-1), 1, rtol=1e-14)
    ratio = populations[:, 1] / populations[:, 0]
    np.testing.assert_allclose(-np.log(ratio / 3) * [3.0, 10.0, 200.0], 5.288831, rtol=1e-6)


def test_limits_of_the_equivalent_temperature():
    """J(T) -> T - T_0/2 when hot, and to nothing when cold."""
    assert lte.equivalent_temperature(LINE, 1e4) == pytest.approx(
        1e4 - LINE.transition_temperature / 2, rel=1e-7
    )
    assert 0 <= lte.equivalent_temperature(LINE, 0.01) < 1e-200


def test_a_check_value_of_the_report():
    """n_H = 1e4, T = 10 K, dz = 0.05 pc, no turbulence: peak tau 2.35 with the report's A and its sigma_T of 57 m/s."""
    line = LINE.with_einstein_a(6.333e-8)
    column = 1e4 * 1.43e-6 * 0.05 * 3.0857e18
    peak = column * lte.integrated_optical_depth(line, 10.0) / (np.sqrt(2 * np.pi) * 0.080 * np.sqrt(0.5))
    assert peak == pytest.approx(2.35, abs=0.01)


def test_turbulence_adds_in_quadrature_as_b():
    assert lte.line_width(LINE, 10.0, 0.3) == pytest.approx(np.hypot(np.sqrt(2) * 0.3, 0.0757236), rel=1e-5)


def test_thin_brightness_vanishes_at_the_background():
    assert lte.thin_brightness(LINE, lte.CMB_TEMPERATURE) == 0
    assert lte.thin_brightness(LINE, 2.0) < 0 < lte.thin_brightness(LINE, 4.0)


@pytest.mark.parametrize("kelvin", [0.0, -3.0, np.nan, np.inf])
def test_a_bad_temperature_is_refused(kelvin):
    with pytest.raises(ValueError, match="temperature: expected positive finite values in K"):
        lte.partition_function(LINE, [10.0, kelvin])
