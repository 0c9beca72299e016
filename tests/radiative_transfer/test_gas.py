"""Abundances, columns from lines, and components."""

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.clouds import SimulationCube
from polaris_lab.radiative_transfer import (
    Line,
    PPVCube,
    abundance,
    component_number,
    excitation_temperature,
    freeze_out,
    gaussian_components,
    instrument,
    lte,
    lte_column,
    photodissociate,
    shielding_extinction,
    synthesize_ppv,
)

KMS = u.km / u.s


# -- abundances ----------------------------------------------------------------------------------------------


def test_freeze_out_takes_the_dense_gas(turbulent_cloud, line):
    cube = turbulent_cloud()
    found = freeze_out(cube, 1.4e-6, density=1e4 / u.cm**3)
    assert found.shape == cube.shape
    order = np.argsort(cube.density.ravel())
    assert (np.diff(found.ravel()[order]) <= 0).all()
    assert 0.01 * 1.4e-6 <= found.min() < found.max() < 1.4e-6
    velocity = np.linspace(-5, 5, 50) * KMS
    frozen = synthesize_ppv(cube, line, abundance=found, velocity=velocity).data
    uniform = synthesize_ppv(cube, line, abundance=1.4e-6, velocity=velocity).data
    assert 0 < frozen.sum() < uniform.sum()


def test_shielding_of_a_uniform_cube():
    """The middle is best shielded; far inside, all six rays alike give half the depth of the cube."""
    cube = SimulationCube(np.full((21, 21, 21), 1e3), cell_size=0.1 * u.pc)
    shield = shielding_extinction(cube)
    half = 10.5 * 1e3 * 0.1 * 3.0857e18 / 1.87e21
    assert shield[10, 10, 10] == pytest.approx(half, rel=1e-4)
    assert shield.argmax() == np.ravel_multi_index((10, 10, 10), cube.shape)
    np.testing.assert_allclose(shield, shield[::-1], rtol=1e-4)
    np.testing.assert_allclose(shield, shield.transpose(1, 2, 0), rtol=1e-4)
    corner = 0.5 * 1e3 * 0.1 * 3.0857e18 / 1.87e21
    assert corner < shield[0, 0, 0] < corner + np.log(2) / 2.5 + 1e-3  # three of six rays are open


def test_photodissociation_clears_the_surface():
    cube = SimulationCube(np.full((21, 21, 21), 1e3), cell_size=0.1 * u.pc)
    found = photodissociate(cube, 1e-4, threshold=1.0)
    assert set(np.unique(found)) == {np.float32(0), np.float32(1e-4)}
    assert found[0].max() == 0
    assert found[10, 10, 10] == np.float32(1e-4)
    np.testing.assert_array_equal(found > 0, shielding_extinction(cube) >= 1)
    given = photodissociate(cube, 1e-4, extinction=np.full(cube.shape, 0.5), least=0.1)
    np.testing.assert_allclose(given, 1e-5)


def test_bad_abundances_are_refused(turbulent_cloud):
    cube = turbulent_cloud()
    with pytest.raises(ValueError, match="abundance: expected zero or more"):
        freeze_out(cube, -1.0, density=1e4 / u.cm**3)
    with pytest.raises(ValueError, match="positive densities"):
        freeze_out(cube, 1e-6, density=-1e4 / u.cm**3)
    with pytest.raises(TypeError, match="density"):
        freeze_out(cube, 1e-6, density=1e4)
    with pytest.raises(ValueError, match="extinction: expected the shape"):
        photodissociate(cube, 1e-6, extinction=np.ones(3))
    assert abundance.ABUNDANCE["13CO"] == pytest.approx(1.43e-6, rel=1e-2)


# -- columns -------------------------------------------------------------------------------------------------


def test_column_of_isothermal_gas_is_the_truth(make_cloud, turbulent_cloud):
    """Isothermal gas, 12CO opaque, 13CO thin to moderately thick: the column comes back within 1 %."""
    source = turbulent_cloud(speed=0.6)
    cube = make_cloud(source.density, 12.0, source.velocity["z"])
    lines = [Line.named("12CO"), Line.named("13CO")]
    velocity = np.arange(-5, 5, 0.02) * KMS
    thick, thin = synthesize_ppv(
        cube, lines, abundance=[1e-4, 1.4e-6], velocity=velocity, turbulent_dispersion=0.15 * KMS
    )
    truth = 1.4e-6 * cube.density.sum(axis=0, dtype=float) * cube.cell_size_cm
    found = lte_column(thin, thick)
    assert np.median(found.excitation_temperature) == pytest.approx(12, rel=0.01)
    opaque = found.excitation_temperature > 11.9
    assert opaque.mean() > 0.3
    ratio = (found.column_density / truth)[opaque & ~found.saturated]
    assert np.abs(np.log10(ratio)).max() < np.log10(1.03)
    told = lte_column(thin, temperature=12 * u.K)
    np.testing.assert_allclose((told.column_density / truth)[~told.saturated], 1, rtol=0.01)


def test_column_of_a_cloud_with_many_temperatures(turbulent_cloud):
    """Warm envelopes and cold cores: the ratio to the truth is tens of per cents, not factors."""
    cube = turbulent_cloud()
    velocity = np.arange(-7, 7, 0.05) * KMS
    thick, thin = synthesize_ppv(
        cube,
        [Line.named("12CO"), Line.named("13CO")],
        abundance=[1e-4, 1.4e-6],
        velocity=velocity,
        turbulent_dispersion=0.2 * KMS,
    )
    truth = 1.4e-6 * cube.density.sum(axis=0, dtype=float) * cube.cell_size_cm
    ratio = lte_column(thin, thick).column_density / truth
    assert 0.6 < np.nanmedian(ratio) < 1.3
    assert np.nanstd(np.log10(ratio)) < 0.15


def test_excitation_temperature_inverts_the_peak():
    line = Line.named("12CO")
    kelvin = np.array([3.0, 10.0, 50.0])
    peak = lte.equivalent_temperature(line, kelvin) - lte.equivalent_temperature(line, lte.CMB_TEMPERATURE)
    np.testing.assert_allclose(excitation_temperature(peak, line), kelvin, rtol=1e-10)
    assert np.isnan(excitation_temperature(-1.0, line))


def test_saturated_channels_are_flagged(line):
    hot = PPVCube(np.full((5, 2, 2), 30.0), np.arange(5.0), line=line)
    found = lte_column(hot, temperature=10 * u.K)
    assert found.saturated.all()
    assert np.isfinite(found.column_density).all()


def test_bad_columns_are_refused(line):
    one, other = (
        PPVCube(np.ones((3, 2, 2)), range(3), line=line),
        PPVCube(np.ones((3, 2, 3)), range(3), line=line),
    )
    with pytest.raises(ValueError, match="got neither"):
        lte_column(one)
    with pytest.raises(ValueError, match="expected the pixels of the thin line"):
        lte_column(one, other)
    with pytest.raises(ValueError, match=r"with line=Line.named"):
        lte_column(PPVCube(np.ones((3, 2, 2)), range(3)), temperature=10 * u.K)


# -- components ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixture():
    """Spectra of 0, 1, 2 and 3 well separated components (one row each), and noise of 0.1 K."""
    rng = np.random.default_rng(5)
    velocity = np.arange(-8, 8, 0.1)
    centres = np.array([-4.0, 0.0, 3.5])
    data, truth = np.zeros((len(velocity), 4, 24)), np.full((3, 3, 4, 24), np.nan)
    for count in range(4):
        for column in range(24):
            for k in range(count):
                values = rng.uniform(1.5, 5), centres[k] + rng.uniform(-0.4, 0.4), rng.uniform(0.3, 0.7)
                truth[:, k, count, column] = values
                data[:, count, column] += values[0] * np.exp(-0.5 * ((velocity - values[1]) / values[2]) ** 2)
    return instrument.add_noise(PPVCube(data, velocity), 0.1 * u.K, seed=0), truth


def test_components_are_counted_and_measured(mixture):
    ppv, truth = mixture
    found = gaussian_components(ppv, noise=0.1 * u.K)
    expected = np.arange(4)[:, None] * np.ones((1, 24))
    assert (found.number == expected).mean() > 0.97
    np.testing.assert_array_equal(component_number(ppv, noise=0.1 * u.K), found.number)
    right = found.number == expected
    for row in range(1, 4):
        for column in np.flatnonzero(right[row]):
            order = np.argsort(-truth[0, :row, row, column])
            for k, name in enumerate(("amplitude", "centroid", "dispersion")):
                wanted = truth[k, order, row, column]
                got = getattr(found, name)[:row, row, column]
                np.testing.assert_allclose(got, wanted, atol=0.2 if k == 0 else 0.08)
    assert (np.diff(np.nan_to_num(found.amplitude), axis=0) <= 1e-9).all()  # brightest first
    np.testing.assert_allclose(found.residual, 0.1, rtol=0.35)


def test_blended_lines_and_blanks(mixture):
    """Two lines one and a half widths apart are told apart at high signal; NaN spectra give nothing."""
    velocity = np.arange(-4, 4, 0.05)
    data = np.stack(
        [
            4 * np.exp(-0.5 * ((velocity + 0.6) / 0.4) ** 2)
            + 3 * np.exp(-0.5 * ((velocity - 0.6) / 0.4) ** 2),
            np.full(len(velocity), np.nan),
        ],
        axis=1,
    )[:, None, :]
    found = gaussian_components(instrument.add_noise(PPVCube(data, velocity), 0.03 * u.K, seed=1))
    assert found.number.tolist() == [[2, 0]]
    np.testing.assert_allclose(found.centroid[:2, 0, 0], [-0.6, 0.6], atol=0.02)
    assert np.isnan(found.amplitude[:, 0, 1]).all()
    with pytest.raises(ValueError, match="one component or more"):
        gaussian_components(mixture[0], maximum=0)
