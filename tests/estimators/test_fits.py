"""Estimators with fitted constants: known constants come back, and limits hold."""

from __future__ import annotations

import numpy as np
import pytest

from polaris_lab.estimators import (
    BrokenPowerLaw,
    MultiScale,
    Thickness,
    TurbulentGravitational,
    fit_broken_power_law,
    fit_multi_scale,
    fit_power_law,
    fit_thickness,
    fit_turbulent_gravitational,
)
from polaris_lab.estimators.turbulent_gravitational import layer_density
from polaris_lab.units import GRAVITATION, HYDROGEN_MASS, MEAN_MASS_PER_HYDROGEN, PARSEC
from tests.estimators.conftest import PIXEL_PC, rms


def test_a_uniform_slab_has_its_thickness():
    column = 1e21 * np.random.default_rng(0).lognormal(size=(20, 20))
    law = fit_thickness(column, column / (2.5 * PARSEC))
    assert law.thickness_pc == pytest.approx(2.5, rel=1e-12)
    assert law.rms_dex == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="thickness_pc: expected a positive length"):
        Thickness(thickness_pc=0.0)


@pytest.mark.parametrize("breaks", [(21.8,), (21.5, 22.4)])
def test_breaks_come_back(breaks):
    rng = np.random.default_rng(2)
    truth = BrokenPowerLaw(-20.0, 1.06, breaks, (0.55, 0.42)[: len(breaks)])
    column = 10 ** rng.uniform(20.5, 23.5, 20_000)
    density = truth(column, pixel_size_pc=PIXEL_PC) * 10 ** rng.normal(0, 0.1, column.shape)
    law = fit_broken_power_law(column, density, components=len(breaks) + 1)
    assert law.breaks == pytest.approx(breaks, abs=0.06)
    assert law.slopes == pytest.approx(truth.slopes, abs=0.03)
    assert law.rms_dex == pytest.approx(0.1, rel=0.03)


def test_more_components_never_fit_worse(pairs):
    errors = [fit_power_law(*pairs).rms_dex] + [
        fit_broken_power_law(*pairs, components=k).rms_dex for k in (2, 3)
    ]
    assert errors[0] >= errors[1] >= errors[2] - 1e-6


def test_broken_laws_are_continuous():
    law = BrokenPowerLaw(-20.0, 1.0, (21.0, 22.0), (0.5, -0.3))
    for start in law.breaks:
        below, above = law(10 ** np.array([start - 1e-9, start + 1e-9]), pixel_size_pc=1.0)
        assert above / below == pytest.approx(1, abs=1e-7)


def test_broken_laws_refuse():
    with pytest.raises(ValueError, match="components: expected 2 or 3, got 4"):
        fit_broken_power_law([1e21, 1e22], [1e2, 1e3], components=4)
    with pytest.raises(ValueError, match="at least 4 different column densities"):
        fit_broken_power_law(np.full(50, 1e21), np.linspace(1, 2, 50))
    with pytest.raises(ValueError, match="breaks: expected ascending"):
        BrokenPowerLaw(0.0, 1.0, (22.0, 21.0), (1.0, 1.0))


@pytest.mark.parametrize(("degree", "count"), [(1, 8), (2, 36)])
def test_multi_scale_counts_and_normal_equations(pairs, degree, count):
    """8 and 36 coefficients; residuals without mean, and the scatter it states is theirs."""
    law = fit_multi_scale(*pairs, pixel_size_pc=PIXEL_PC, degree=degree)
    assert len(law.coefficients) == count
    residual = np.log10(pairs[1] / law(pairs[0], pixel_size_pc=PIXEL_PC))
    assert residual.mean() == pytest.approx(0, abs=1e-9)
    assert rms(residual) == pytest.approx(law.rms_dex, rel=1e-6)


def test_multi_scale_contains_the_power_law(pairs):
    """A density that is a power law of N is fitted exactly, whatever the scales say; with scales it never fits worse."""
    law = fit_multi_scale(pairs[0], 1e-30 * pairs[0] ** 1.5, pixel_size_pc=PIXEL_PC)
    assert law.rms_dex < 1e-3
    assert fit_multi_scale(*pairs, pixel_size_pc=PIXEL_PC, degree=1).rms_dex < fit_power_law(*pairs).rms_dex


def test_multi_scale_ignores_blanks(pairs):
    columns, densities = pairs[0].copy(), pairs[1].copy()
    columns[0, :9], densities[1, 5:7] = np.nan, np.nan
    law, whole = (
        fit_multi_scale(*values, pixel_size_pc=PIXEL_PC) for values in ((columns, densities), pairs)
    )
    assert law.rms_dex == pytest.approx(whole.rms_dex, rel=0.05)


def test_multi_scale_refuses(pairs):
    with pytest.raises(ValueError, match="degree: expected 1"):
        fit_multi_scale(*pairs, pixel_size_pc=PIXEL_PC, degree=3)
    with pytest.raises(ValueError, match="at least 72 valid pixels for 36 coefficients, got 64"):
        fit_multi_scale(pairs[0][0, :8, :8], pairs[1][0, :8, :8], pixel_size_pc=PIXEL_PC)
    with pytest.raises(ValueError, match="coefficients: expected 8 or 36 of them and 7 centres"):
        MultiScale((1.0,), (1.0,), 0.1)


# -- turbulent and gravitating gas -------------------------------------------------------------------

SPLIT = TurbulentGravitational(depth_pc=10.0, sound_speed_km_s=0.2, median_column=2e21, width=0.4)


def test_the_parts_of_a_column_sum_to_it():
    column = np.geomspace(1e19, 1e25, 60)
    turbulent, gravitating = SPLIT.split(column)
    np.testing.assert_allclose(turbulent + gravitating, column, rtol=1e-14)
    assert (turbulent > 0).all()
    assert (gravitating >= 0).all()


def test_thin_gas_is_turbulent_and_dense_gas_gravitates():
    """N -> 0: n = N / depth. N -> infinity: the turbulent part is the mean of the log-normal, n that of a layer."""
    column = np.array([1e19, 1e25])
    turbulent, gravitating = SPLIT.split(column)
    density = SPLIT(column, pixel_size_pc=PIXEL_PC)
    assert turbulent[0] / column[0] > 0.9
    assert turbulent[1] == pytest.approx(2e21 * np.exp(0.08), rel=1e-6)
    assert density[0] == pytest.approx(column[0] / (10 * PARSEC), rel=0.15)
    assert density[1] == pytest.approx(layer_density(gravitating[1], 2e4), rel=1e-3)


def test_density_rises_with_column():
    density = SPLIT(np.geomspace(1e19, 1e25, 200), pixel_size_pc=PIXEL_PC)
    assert (np.diff(density) > 0).all()


def test_a_layer_is_in_balance():
    """Pressure in the middle n_0 m c^2 carries the weight pi G Sigma^2 / 2; sech^2 makes the mean 2/3 of n_0."""
    mass = MEAN_MASS_PER_HYDROGEN * HYDROGEN_MASS
    column, speed = 3e22, 2e4
    middle = 1.5 * layer_density(np.array(column), speed)
    assert middle * mass * speed**2 == pytest.approx(
        np.pi * GRAVITATION * (mass * column) ** 2 / 2, rel=1e-12
    )
    z = np.linspace(-12, 12, 200_001)
    profile = np.cosh(z) ** -2
    assert (profile**2).sum() / profile.sum() == pytest.approx(2 / 3, rel=1e-6)


def test_its_constants_come_back():
    column = 2e21 * np.exp(0.4 * np.random.default_rng(0).normal(size=40_000))
    column[:4000] *= np.random.default_rng(1).pareto(1.5, 4000) + 1
    fitted = fit_turbulent_gravitational(column, SPLIT(column, pixel_size_pc=PIXEL_PC))
    assert fitted.depth_pc == pytest.approx(10, rel=0.1)
    assert fitted.sound_speed_km_s == pytest.approx(0.2, rel=0.1)
    assert fitted.width == pytest.approx(0.4, rel=0.15)
    assert fitted.rms_dex < 0.03


def test_it_refuses():
    with pytest.raises(ValueError, match="sound_speed_km_s: expected a positive number"):
        TurbulentGravitational(10.0, -0.2, 2e21, 0.4)
    with pytest.raises(ValueError, match="column densities that differ"):
        fit_turbulent_gravitational(np.full(50, 1e21), np.full(50, 1e3))
