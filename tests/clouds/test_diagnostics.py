"""Figures of clouds against closed forms and against the facts of the sample cloud."""

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds import (
    anisotropy,
    density_pdf,
    density_relation,
    describe,
    free_fall_time,
    jeans_mass,
    power_spectrum,
    shielding_column,
    spectral_slope,
    structure_function,
    velocity_dispersion,
    virial_parameter,
)
from polaris_lab.clouds.quantiles import density_quantiles


@pytest.fixture(scope="module")
def sample():
    return lab.sample_cloud()


@pytest.mark.parametrize(("width", "slope"), [(1.0, 1.7), (1.25, 2.0), (1.5, None)])
def test_the_fit_finds_the_pdf_that_was_made(width, slope):
    cube = lab.synthetic_cloud(96, 2, kind="fbm", pdf_width=width, tail_slope=slope)
    pdf = density_pdf(cube)
    assert pdf.width == pytest.approx(width, rel=0.05)
    shares = (np.arange(96**3) + 0.5) / 96**3
    excess = np.log(
        np.exp(density_quantiles(shares, width=width, tail_slope=slope)).mean()
    )  # mass of the tail
    assert pdf.centre == pytest.approx(-(width**2) / 2 - excess, abs=0.05)
    if slope is None:
        assert pdf.tail_slope is None
    else:
        assert pdf.tail_slope == pytest.approx(slope, rel=0.1)
        assert pdf.transition == pytest.approx((slope - 0.5) * width**2 - excess, abs=0.4)
    step = pdf.log_contrast[1] - pdf.log_contrast[0]
    assert pdf.probability.sum() * step == pytest.approx(1)


def test_one_wave_has_one_peak_and_parseval_holds():
    x = np.arange(32)
    field = np.cos(2 * np.pi * 5 * x / 32)[None, :, None] * np.ones((32, 32, 32)) + 7
    wave, power = power_spectrum(field)
    assert wave[power.argmax()] == 5
    rng = np.random.default_rng(0)
    for shape in ((24, 24), (24, 24, 24)):
        smooth = np.zeros(shape)
        for k in range(1, 5):
            smooth += np.cos(
                2 * np.pi * (k * np.indices(shape)[0] + np.indices(shape)[1]) / 24 + rng.uniform()
            )
        wave, power = power_spectrum(smooth)
        modes = np.bincount(
            np.rint(np.sqrt(sum(g**2 for g in np.meshgrid(*[np.fft.fftfreq(24) * 24] * len(shape)))))
            .astype(int)
            .ravel()
        )
        assert (power * modes[1:13]).sum() == pytest.approx(smooth.var(), rel=1e-9)


def test_slopes_of_made_fields():
    cube = lab.synthetic_cloud(64, 3, kind="fbm", spectral_slope=3.2, tail_slope=None)
    assert spectral_slope(np.log(cube.density)) == pytest.approx(-3.2, abs=0.25)
    assert spectral_slope(list(cube.velocity.values())) == pytest.approx(-4.0, abs=0.25)
    with pytest.raises(ValueError, match="field: expected equal sides"):
        power_spectrum(np.ones((4, 5)))
    with pytest.raises(ValueError, match="first, last: expected at least two wave numbers"):
        spectral_slope(np.ones((8, 8)), first=9, last=12)


def test_a_dispersion_is_weighted_by_mass():
    density = np.ones((2, 1, 1)) * [[[1.0]], [[3.0]]]
    velocity = {"z": np.array([[[4.0]], [[0.0]]])}  # mean 1, variance (9 + 3 * 1) / 4 = 3
    assert velocity_dispersion(
        lab.SimulationCube(density, cell_size=1 * u.pc, velocity=velocity)
    ) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="velocity: expected at least one component"):
        velocity_dispersion(lab.SimulationCube(density, cell_size=1 * u.pc))


def test_times_and_masses_of_the_report():
    """t_ff = 2.2e5 yr (n/4e4)^-1/2; M_J = 3.7 Msun (n/1e4)^-1/2 (T/10)^3/2."""
    assert free_fall_time(4e4) == pytest.approx(2.2e5, rel=0.02)
    assert free_fall_time(1e4) == pytest.approx(2 * free_fall_time(4e4))
    assert jeans_mass(1e4, 10.0) == pytest.approx(3.7, rel=0.03)
    assert jeans_mass(1e6, 40.0) == pytest.approx(jeans_mass(1e4, 10.0) * 0.8)
    assert virial_parameter(2.0, 3.0, 500.0) == pytest.approx(5 * 4 * 3 / (0.0043009 * 500), rel=1e-3)


def test_the_relation_of_a_cloud_and_its_conditional_pdfs(sample):
    relation = density_relation(sample)
    facts = sample.provenance["measured"]
    assert relation.slope == pytest.approx(
        facts["log_mass_weighted_density_against_log_column_slope"], abs=0.03
    )
    assert relation.scatter_dex == pytest.approx(facts["scatter_dex"], abs=0.01)
    step = relation.log_density[1] - relation.log_density[0]
    sums = relation.conditional.sum(axis=1) * step
    assert np.all(np.isclose(sums, 1) | (sums == 0))
    known = np.isfinite(relation.quantiles[:, 1])
    assert known.sum() > 20
    assert (np.diff(relation.quantiles[known], axis=1) > 0).all()
    uniform = density_relation(lab.SimulationCube(np.full((4, 4, 4), 10.0), cell_size=1 * u.pc))
    assert uniform.scatter_dex == pytest.approx(0, abs=1e-9)


def test_shielding_of_uniform_gas():
    """Thin gas: the mean of the six columns; thick gas: the thinnest way and ln(6 / ways) / k."""
    thin = lab.SimulationCube(np.full((5, 5, 5), 1.0), cell_size=0.01 * u.pc)
    column = shielding_column(thin)
    np.testing.assert_allclose(column, 2.5 * thin.cell_size_cm, rtol=1e-3)
    thick = lab.SimulationCube(np.full((5, 5, 5), 1e6), cell_size=1 * u.pc)
    column, k = shielding_column(thick), 5.35e-22 * 3.5
    assert column[2, 2, 2] == pytest.approx(2.5e6 * thick.cell_size_cm, rel=1e-5)
    assert column[0, 2, 2] == pytest.approx(0.5e6 * thick.cell_size_cm + np.log(6) / k, rel=1e-5)
    assert column[0, 0, 0] == pytest.approx(0.5e6 * thick.cell_size_cm + np.log(2) / k, rel=1e-5)


def test_structure_functions_of_a_wave():
    """<(f(x + l) - f(x))^2> = 1 - cos(2 pi k l / n) for a cosine; nothing across it."""
    x = np.arange(64)
    field = np.broadcast_to(np.cos(2 * np.pi * 3 * x / 64), (64, 64))
    lags, values = structure_function(field, lags=[1, 5, 9])
    np.testing.assert_allclose(values[1], 1 - np.cos(2 * np.pi * 3 * lags / 64), atol=1e-12)
    np.testing.assert_allclose(values[0], 0, atol=1e-12)
    assert anisotropy(field) == pytest.approx({"rows": 0.0, "columns": 2.0})
    assert list(structure_function(np.ones((16, 16, 16)))[0]) == [1, 2, 4, 8]


def test_the_table_of_the_sample_is_that_of_its_facts(sample):
    table, facts = describe(sample), sample.provenance
    assert table["mass_Msun"] == pytest.approx(4300, rel=0.01)
    assert table["mean_column_density_cm2"] == pytest.approx(9.3e21, rel=0.01)
    assert table["velocity_dispersion_kms"] == pytest.approx(0.2 * facts["mach_number"], rel=0.02)
    assert table["mach_number"] == pytest.approx(facts["mach_number"] * 0.2 / 0.188, rel=0.02)
    assert table["virial_parameter"] == pytest.approx(
        0.75 * (8.4 / 8) ** 2, rel=0.03
    )  # 0.75 is that at Mach 8
    assert table["free_fall_time_Myr"] == pytest.approx(
        facts["time_since_gravity_Myr"] / facts["time_since_gravity_free_fall"], rel=0.02
    )
    measured = facts["measured"]
    for name in ("ln_density", "density", "velocity"):
        assert table[f"spectral_slope_{name}"] == pytest.approx(measured[f"power_slope_{name}"], abs=0.15)
    assert table["dispersion_of_ln_density"] == pytest.approx(1.28, abs=0.01)
    assert 1.3 < table["pdf_tail_slope"] < 2.6


def test_a_cloud_without_velocity_has_no_mach_number():
    table = describe(
        lab.SimulationCube(np.random.default_rng(0).lognormal(5, 1, (6, 8, 10)), cell_size=1 * u.pc)
    )
    assert table["mach_number"] is None
    assert table["virial_parameter"] is None
    assert table["spectral_slope_density"] is None
