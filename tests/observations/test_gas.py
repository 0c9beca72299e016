"""What a density map says of a cloud."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from scipy import stats

from polaris_lab.observations import gas

RNG = np.random.default_rng(3)
DENSITY = 10 ** RNG.normal(3.0, 0.5, (200, 200))
COLUMN = DENSITY**0.5 * 1e20
PIXEL = 0.05 * u.pc


def test_the_pdf_of_a_lognormal_is_a_gaussian():
    found = gas.density_pdf(DENSITY, bins=np.geomspace(1e1, 1e5, 41))
    assert (found.pdf * np.diff(np.log10(found.edges))).sum() == pytest.approx(1.0, abs=1e-3)
    expected = stats.norm(3.0, 0.5).pdf(np.log10(found.centres))
    assert np.abs(found.pdf - expected).max() < 0.03
    assert np.isnan(found.lower).all()


def test_by_mass_each_pixel_counts_with_its_column():
    """Weighting a lognormal by n^a shifts its mean by a sigma^2 ln 10."""
    found = gas.density_pdf(DENSITY, COLUMN, weight="mass", bins=200)
    step = np.diff(np.log10(found.edges))
    mean = (found.pdf * step * np.log10(found.centres)).sum()
    assert mean == pytest.approx(3.0 + 0.5 * 0.5**2 * np.log(10), abs=0.02)


def test_blank_pixels_have_no_weight():
    holed, column = DENSITY.copy(), COLUMN.copy()
    holed[:100] = np.nan
    column[:, :50] = np.nan
    half = gas.dense_gas_mass(holed, column, pixel_size=PIXEL)
    cut = gas.dense_gas_mass(DENSITY[100:, 50:], COLUMN[100:, 50:], pixel_size=PIXEL)
    assert half.value == pytest.approx(cut.value)


def test_correlated_errors_of_a_sum_do_not_average_out():
    """Samples that are all high or all low together give a mass as uncertain as one pixel, whatever the pixels."""
    together = DENSITY * 10 ** RNG.normal(0, 0.2, (60, 1, 1))
    apart = DENSITY * 10 ** RNG.normal(0, 0.2, (60, 200, 200))
    wide, narrow = (
        gas.dense_gas_mass(DENSITY, COLUMN, pixel_size=PIXEL, threshold=1e3 / u.cm**3, samples=samples)
        for samples in (together, apart)
    )
    assert wide.upper - wide.lower > 20 * (narrow.upper - narrow.lower)


def test_the_mass_of_a_slab_is_that_of_its_nuclei():
    density, column = np.full((10, 10), 2e4), np.full((10, 10), 1e22)
    found = gas.dense_gas_mass(density, column, pixel_size=0.1 * u.pc)
    side = (1.0 * u.pc).to_value("cm")
    assert found.value == pytest.approx(1e22 * side**2 * 1.4 * 1.6735328e-24 / 1.98841e33, rel=1e-5)
    assert gas.dense_gas_mass(density, column, pixel_size=0.1 * u.pc, threshold=3e4 / u.cm**3).value == 0
    rate = gas.star_formation_rate(density, column, pixel_size=0.1 * u.pc, efficiency=0.02)
    assert rate.value == pytest.approx(0.02 * found.value / gas.free_fall_time_myr(np.array(2e4)))
    assert rate.unit == "Msun / Myr"


def test_the_free_fall_time_is_the_report_s():
    """2.2e5 yr (n / 4e4)^-1/2."""
    assert gas.free_fall_time_myr(np.array([4e4, 1e4])) == pytest.approx([0.22, 0.44], rel=0.02)


def test_the_relation_has_the_slope_and_contours_that_hold_what_they_say():
    found = gas.column_relation(DENSITY**0.5 * 1e20, DENSITY)
    assert found.slope == pytest.approx(2.0)
    for fraction, level in found.levels.items():
        inside = found.histogram[found.histogram >= level].sum() / found.histogram.sum()
        assert inside >= fraction
    middle = np.isfinite(found.median)
    centres = np.sqrt(found.column_edges[1:] * found.column_edges[:-1])[middle]
    assert np.abs(np.log10(found.median[middle] / (centres / 1e20) ** 2)).max() < 0.15


def test_the_thickness_of_a_slab_is_its_thickness():
    depth = (3.0 * u.pc).to_value("cm")
    found = gas.thickness(np.array([[100 * depth, np.nan]]), np.array([[100.0, 100.0]]))
    assert found[0, 0] == pytest.approx(3.0)
    assert np.isnan(found[0, 1])


def test_quantiles_over_the_area():
    found = gas.diffuse_and_dense(DENSITY)
    assert found[0.5] == pytest.approx(1e3, rel=0.03)
    assert found[0.95] == pytest.approx(10 ** (3 + 0.5 * stats.norm.ppf(0.95)), rel=0.05)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: gas.density_pdf(DENSITY, weight="volume"), "expected one of area, mass"),
        (lambda: gas.density_pdf(DENSITY, weight="mass"), "expected a map"),
        (lambda: gas.density_pdf(DENSITY, bins=np.array([10.0, 1.0])), "increasing"),
        (lambda: gas.density_pdf(-DENSITY), "expected positive"),
        (lambda: gas.density_pdf(DENSITY * np.nan), "at least one valid"),
        (lambda: gas.column_relation(COLUMN[1:], DENSITY), "one shape"),
        (lambda: gas.column_relation(COLUMN, DENSITY, fractions=(1.5,)), "between 0 and 1"),
        (lambda: gas.diffuse_and_dense(DENSITY, quantiles=(2.0,)), "from 0 to 1"),
        (lambda: gas.dense_gas_mass(DENSITY, COLUMN, pixel_size=PIXEL, samples=DENSITY), "two or more maps"),
        (lambda: gas.star_formation_rate(DENSITY, COLUMN, pixel_size=PIXEL, efficiency=2), "efficiency"),
    ],
)
def test_bad_input_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_a_bare_number_is_no_pixel_size():
    with pytest.raises(TypeError, match="pixel_size: expected a Quantity"):
        gas.dense_gas_mass(DENSITY, COLUMN, pixel_size=0.05)


def test_maps_given_in_the_wrong_order_are_refused():
    density, column = np.full((20, 20), 2e4), np.full((20, 20), 1e22)
    for function in (gas.dense_gas_mass, gas.star_formation_rate):
        with pytest.raises(ValueError, match="look exchanged"):
            function(column, density, pixel_size=0.1 * u.pc)
    for function in (gas.column_relation, gas.thickness):
        with pytest.raises(ValueError, match="look exchanged"):
            function(density, column)
    with pytest.raises(ValueError, match="weight: expected one of"):
        gas.density_pdf(density, weight=column)
