"""The density of a core, errors against a catalogue, the mass function, and our own cores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from astropy.wcs import WCS

from polaris_lab.observations import cores
from polaris_lab.observations.cores.catalogue import finished
from polaris_lab.observations.cores.density import blurred_background, two_media
from polaris_lab.observations.cores.errors import GAUSSIAN_PROFILE, matched_density

CORE = {"core_density": 1e5 * u.cm**-3, "core_depth": 0.06 * u.pc}
DIFFUSE = {"diffuse_density": 100 * u.cm**-3, "diffuse_depth": 10 * u.pc}


def test_each_formula_inverts_the_two_media():
    mean, column = two_media(**CORE, **DIFFUSE)
    mean, column = np.array([mean]), np.array([column])
    radius = 0.03 * u.pc
    by_depth = cores.core_density_from_depth(mean, column, core_radius=radius, diffuse_depth=10 * u.pc)
    by_diffuse = cores.core_density_from_diffuse(
        mean, column, core_radius=radius, diffuse_density=100 * u.cm**-3
    )
    background = column - 1e5 * 0.06 * 3.0856775814913673e18
    by_background = cores.core_density_from_background(mean, column, background)
    assert by_depth == pytest.approx(1e5, rel=1e-4)
    assert by_diffuse == pytest.approx(1e5, rel=1e-4)
    assert by_background == pytest.approx(1e5, rel=1e-3)  # the n_d^2 term is left out there


def test_eq_7_gives_back_the_length():
    mean, _ = two_media(**CORE, **DIFFUSE)
    length = cores.cloud_length(
        mean, core_density=1e5 * u.cm**-3, core_radius=0.03 * u.pc, diffuse_density=100 * u.cm**-3
    )
    assert length.to_value("pc") == pytest.approx(10.06, rel=1e-6)


def test_eq_7_grows_without_bound_towards_the_diffuse_density():
    """The report's 10^5 pc: its own numbers need <n>_M of about 80."""
    choices = {"core_density": 5e4 * u.cm**-3, "core_radius": 0.03 * u.pc, "diffuse_density": 30 * u.cm**-3}
    lengths = cores.cloud_length(np.array([20.0, 30.0, 80.0, 300.0, 5e4, 9e4]), **choices).to_value("pc")
    assert np.isinf(lengths[:2]).all()
    assert lengths[2] == pytest.approx(1e5, rel=0.02)
    assert lengths[3] == pytest.approx(1.84e4, rel=0.01)
    assert lengths[4:] == pytest.approx(0.06)
    with pytest.raises(ValueError, match="exchange them"):
        cores.cloud_length(100.0, **choices | {"core_density": 10 * u.cm**-3})
    with pytest.raises(TypeError, match="core_density: expected a Quantity"):
        cores.cloud_length(100.0, **choices | {"core_density": 5e4})


def test_a_core_is_never_less_dense_than_the_mean():
    mean, column = np.full(50, 1e3), np.logspace(20, 26, 50)
    for density in (
        cores.core_density_from_background(mean, column, 1e21),
        cores.core_density_from_depth(mean, column, core_radius=0.03 * u.pc),
        cores.core_density_from_diffuse(
            mean, column, core_radius=0.03 * u.pc, diffuse_density=2e3 * u.cm**-3
        ),
    ):
        assert (density >= mean).all()
        assert np.isfinite(density).all()
        assert density[-1] == pytest.approx(1e3, rel=1e-2)  # faded out at the highest columns


def test_where_the_background_reaches_the_column_nothing_is_corrected():
    assert cores.core_density_from_background(np.array([500.0]), np.array([1e21]), 2e21) == pytest.approx(
        500.0
    )


def test_bad_densities_are_refused():
    with pytest.raises(ValueError, match="mass_weighted_density: expected positive"):
        cores.core_density_from_background(np.array([-1.0]), np.array([1e21]), 1e20)
    with pytest.raises(ValueError, match="background_column"):
        cores.core_density_from_background(np.array([1.0]), np.array([1e21]), -1e20)


def test_the_background_of_a_flat_map_is_the_map_also_beside_blanks():
    flat = np.full((60, 60), 3e21)
    flat[:, :10] = np.nan
    blurred = blurred_background(flat, fwhm_pixels=25)
    assert np.isnan(blurred[:, :10]).all()
    assert blurred[:, 10:] == pytest.approx(3e21)


def test_the_profile_factor_is_that_of_a_gaussian_core():
    """By numbers: <n>_M through the centre of a Gaussian over its mass in a sphere of radius FWHM."""
    sigma = 1 / math.sqrt(8 * math.log(2))
    z = np.linspace(-8 * sigma, 8 * sigma, 4001)
    n = np.exp(-(z**2) / (2 * sigma**2))
    mean = (2 * np.pi) ** 1.5 * sigma**3 / (4 / 3 * np.pi)
    assert pytest.approx((n**2).sum() / n.sum() / mean, rel=1e-6) == GAUSSIAN_PROFILE
    assert pytest.approx(2.46, abs=0.005) == GAUSSIAN_PROFILE


def sky() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [52.0, 31.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [32.5, 32.5], [-0.002, 0.002]
    return wcs


def catalogue(x: np.ndarray, y: np.ndarray, density: np.ndarray) -> Table:
    where = sky().pixel_to_world(x, y)
    table = Table({"name": [f"core {i}" for i in range(len(x))]})
    table["ra"], table["dec"] = where.ra.deg * u.deg, where.dec.deg * u.deg
    table["mean_density"] = density * u.cm**-3
    return finished(table, 300.0, source="test")


def test_a_map_that_is_right_has_no_error_and_the_factors_are_those_said():
    x, y = np.array([10.0, 40.0, 50.0]), np.array([12.0, 20.0, 55.0])
    truth = np.array([1e4, 3e4, 2e5])
    density, column = np.full((64, 64), 500.0), np.full((64, 64), 2e21)
    density[y.astype(int), x.astype(int)] = 2 * GAUSSIAN_PROFILE * truth * np.array([1, 10, 0.1])
    found = cores.core_errors(density, column, sky(), catalogue(x, y, truth))
    assert found.error_dex == pytest.approx([0, 1, -1], abs=1e-9)
    assert "x 2 nuclei" in found.definition
    assert found.to_table()["predicted"].unit == u.cm**-3
    assert len(found.moving_mean(2)[0]) == 2
    with pytest.raises(ValueError, match="expected 1 to 3 cores"):
        found.moving_mean(10)


def test_blank_pixels_and_rows_without_a_density_are_left_out():
    density, column = np.full((64, 64), 500.0), np.full((64, 64), 2e21)
    density[12, 10] = np.nan
    table = catalogue(np.array([10.0, 40.0, 50.0]), np.array([12.0, 20.0, 55.0]), np.array([1e4, 0.0, 1e3]))
    assert len(cores.core_errors(density, column, sky(), table)) == 1
    with pytest.raises(ValueError, match="expected cores with a density"):
        cores.core_errors(density, column, sky(), table[:2])
    with pytest.raises(ValueError, match="unknown density 'mean_densit'"):
        cores.core_errors(density, column, sky(), table, column="mean_densit")
    with pytest.raises(ValueError, match="one shape"):
        cores.core_errors(density, column[1:], sky(), table)
    with pytest.raises(ValueError, match="look exchanged"):
        cores.core_errors(column, density, sky(), table)


def test_a_beam_weighs_by_column_and_ignores_blanks():
    density, column = np.full((41, 41), 100.0), np.full((41, 41), 1e21)
    density[20, 20], column[20, 20] = 1e4, 1e23
    density[:5] = np.nan
    seen = matched_density(density, column, 6.0)
    sigma = 6.0 / math.sqrt(8 * math.log(2))
    yy, xx = np.indices(density.shape) - 20
    weight = np.exp(-(xx**2 + yy**2) / (2 * sigma**2)) * column
    good = np.isfinite(density)
    assert seen[20, 20] == pytest.approx((weight * density)[good].sum() / weight[good].sum(), rel=2e-3)
    assert np.isnan(seen[:5]).all()
    assert seen[6, 35] == pytest.approx(100.0, rel=1e-6)
    with pytest.raises(ValueError, match="aperture_fwhm_pixels"):
        matched_density(density, column, 0)


def test_a_salpeter_slope_is_recovered_with_its_error():
    rng = np.random.default_rng(1)
    mass = 0.5 * (1 - rng.random(4000)) ** (-1 / 1.35)
    found = cores.core_mass_function(mass, 0.1 * mass, bins=np.geomspace(0.5, 30, 11), seed=2)
    assert abs(found.slope + 1.35) < 3 * found.slope_error
    assert found.slope_error < 0.15
    assert (found.lower <= found.upper).all()
    assert found.count.sum() == ((mass >= 0.5) & (mass <= 30)).sum()


def test_completeness_is_corrected_for():
    """A flat dN/dlogM of which half is missed below 1 Msun comes out flat again."""
    rng = np.random.default_rng(0)
    mass = 10 ** rng.uniform(-1, 1, 200000)
    fraction = lambda m: np.where(m < 1, 0.5, 1.0)  # noqa: E731
    kept = mass[rng.random(mass.size) < fraction(mass)]
    found = cores.core_mass_function(kept, bins=np.geomspace(0.1, 10, 9), completeness=fraction)
    assert found.dn_dlogm == pytest.approx(1e5, rel=0.05)  # 12,500 cores a bin: 1 % of noise


def test_a_mass_of_completeness_is_a_step():
    found = cores.core_mass_function(np.full(50, 1.0), bins=np.geomspace(0.01, 10, 13), completeness=1.0)
    assert found.completeness[found.centres > 2].min() > 0.99
    assert found.completeness[found.centres < 0.3].max() < 0.01
    assert np.isnan(found.dn_dlogm[0])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"mass": [0.0, 1.0]}, "two positive masses"),
        ({"mass": [1.0, 2.0], "mass_error": [0.1]}, "one error"),
        ({"mass": [1.0, 2.0], "bins": [3.0, 1.0]}, "increasing"),
        ({"mass": [1.0, 2.0], "completeness": -1.0}, "completeness"),
        ({"mass": [1.0, 2.0], "completeness": lambda m: 2 * m}, "fractions"),
    ],
)
def test_bad_input_of_the_mass_function_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        cores.core_mass_function(**arguments)


def blobs() -> np.ndarray:
    yy, xx = np.indices((64, 64))
    column = np.full((64, 64), 1e21)
    for x, y, peak, sigma in ((16, 20, 4e22, 3.0), (44, 40, 2e22, 4.0)):
        column += peak * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    return column


def test_two_blobs_are_two_cores_of_their_mass_and_place():
    column = blobs()
    density = column / 1e18
    found = cores.find_cores(
        column, sky(), distance=300 * u.pc, minimum=2e21 / u.cm**2, contrast=5e21 / u.cm**2, density=density
    )
    assert len(found) == 2
    assert {(float(x), float(y)) for x, y in zip(found["x"], found["y"], strict=True)} == {(16, 20), (44, 40)}
    pixel = math.radians(0.002) * 300 * 3.0856775814913673e18
    for row in found:
        sigma, peak = (3.0, 4e22) if row["x"] == 16 else (4.0, 2e22)
        mass = 2 * math.pi * sigma**2 * peak * pixel**2 * 1.4 * 1.6735328e-24 / 1.98841e33
        assert 0.6 < row["mass"] / mass <= 1.0  # what lies above the level of merging
        assert row["predicted_peak"] == pytest.approx(density[int(row["y"]), int(row["x"])])
        assert found.meta["labels"][int(row["y"]), int(row["x"])] == row["number"]
    near, far = (
        cores.find_cores(column, sky(), distance=d * u.pc, minimum=2e21 / u.cm**2, contrast=5e21 / u.cm**2)
        for d in (150, 300)
    )
    assert far["mass"] / near["mass"] == pytest.approx(4.0)


def test_a_map_without_structure_says_so():
    with pytest.raises(ValueError, match="expected structures above"):
        cores.find_cores(
            np.full((32, 32), 1e20),
            sky(),
            distance=300 * u.pc,
            minimum=1e21 / u.cm**2,
            contrast=1e21 / u.cm**2,
        )
