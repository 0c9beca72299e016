"""Synthetic clouds are what they claim: exact where exactness is promised, near real turbulence elsewhere."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds.fields import compressive_share, density_quantiles
from polaris_lab.clouds.synthetic import barotropic_temperature, gravity_strength, sound_speed
from polaris_lab.units import PARSEC

AXES = ("z", "y", "x")
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def clouds():
    return [lab.synthetic_cloud(64, seed) for seed in SEEDS]


def slope_of_spectrum(field, first=3, last=16):
    """Return the logarithmic slope of the shell-averaged power, wave numbers 3 to 16."""
    waves = np.meshgrid(*[np.fft.fftfreq(n) * n for n in field.shape], indexing="ij")
    wave = np.sqrt(sum(w**2 for w in waves))
    power = abs(np.fft.fftn(field)) ** 2
    shells = np.arange(first, last + 1)
    means = [power[(wave >= shell - 0.5) & (wave < shell + 0.5)].mean() for shell in shells]
    return np.polyfit(np.log(shells), np.log(means), 1)[0]


def relation(cube):
    """Return slope and scatter [dex] of log <n>_M against log N, and the spread of log N, mean of three faces."""
    rows = []
    for axis in AXES:
        maps = lab.project(cube, axis=axis)
        column, density = np.log10(maps.column_density), np.log10(maps.mass_weighted_density)
        slope, offset = np.polyfit(column.ravel(), density.ravel(), 1)
        rows.append((slope, (density - offset - slope * column).std(), column.std()))
    return np.mean(rows, axis=0)


# -- exact ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [30.0, 470.0, 2e4])
def test_the_mean_density_is_the_one_asked_for(mean):
    cube = lab.synthetic_cloud(24, mean_density=mean * u.cm**-3)
    assert cube.density.mean(dtype=np.float64) == pytest.approx(mean, rel=1e-6)


def test_the_density_has_exactly_the_pdf_asked_for(clouds):
    count = 64**3
    expected = density_quantiles((np.arange(count) + 0.5) / count, width=1.25, tail_slope=2.0)
    expected -= np.log(np.exp(expected).mean())
    for cube in clouds:
        found = np.sort(np.log(cube.density.astype(np.float64) / 470.0).ravel())
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("width", [1.0, 1.8])
def test_without_tail_the_dispersion_is_the_width(width):
    """Of 32^3 quantiles of a Gaussian: 0.9999 of the width, the rest lies beyond the last cell."""
    cube = lab.synthetic_cloud(32, pdf_width=width, tail_slope=None)
    assert np.log(cube.density.astype(np.float64)).std() == pytest.approx(width, rel=3e-4)


@pytest.mark.parametrize("slope", [1.5, 2.0, 3.0])
def test_the_tail_has_the_slope_asked_for(slope):
    """The mean excess of ln n above a threshold within the tail is 1/alpha."""
    cube = lab.synthetic_cloud(64, pdf_width=1.0, tail_slope=slope)
    s = np.sort(np.log(cube.density.astype(np.float64)).ravel())
    start = np.log(470.0) + (slope - 0.5) + 0.3  # beyond s_t and the small shift that keeps the mean
    excess = s[s > start] - start
    assert 1 / excess.mean() == pytest.approx(slope, rel=0.06)


def test_the_box_and_the_units(clouds):
    for cube in clouds:
        assert cube.cell_size_pc == pytest.approx(0.1)
        assert cube.side_pc == pytest.approx((6.4, 6.4, 6.4))
        assert sorted(cube.velocity) == ["x", "y", "z"]
        mean_column = lab.column_density(cube).mean()
        assert mean_column == pytest.approx(470.0 * 6.4 * PARSEC, rel=1e-6)


def test_the_frame_is_that_of_the_centre_of_mass_of_the_flow():
    cube = lab.synthetic_cloud(32, pdf_width=None)
    weight = cube.density.astype(np.float64)
    for values in cube.velocity.values():
        assert abs((weight * values).sum() / weight.sum()) < 1e-5


def test_temperatures_follow_the_published_balance(clouds):
    """Larson (2005): 42, 23, 12 and 6.5 (here 8, the limit) K at 1e2 ... 1e5 cm^-3."""
    np.testing.assert_allclose(
        barotropic_temperature(np.array([1e2, 1e3, 1e4])), [42.4, 22.8, 12.2], rtol=0.01
    )
    assert list(barotropic_temperature(np.array([1e-3, 1e5]))) == [100.0, 8.0]
    for cube in clouds:
        np.testing.assert_array_equal(cube.temperature, barotropic_temperature(cube.density))
        assert 8.0 <= cube.temperature.min() < cube.temperature.max() <= 100.0


def test_isothermal_gas_has_one_temperature():
    cube = lab.synthetic_cloud(16, temperature_law="isothermal", flow_temperature=12 * u.K)
    assert (cube.temperature == 12.0).all()


def test_sound_speed_and_gravity_in_closed_form():
    """c_s = sqrt(k T / 2.33 m_H); 4 pi G rho L^2 / c_s^2 = (2 pi L / L_Jeans)^2, L_J = c_s sqrt(pi / G rho)."""
    assert sound_speed(10.0) == pytest.approx(1.88e4, rel=0.002)
    assert sound_speed(40.0) == pytest.approx(2 * sound_speed(10.0))
    jeans = sound_speed(10.0) * np.sqrt(np.pi / (6.6743e-8 * 1.4 * 1.6735328e-24 * 470.0))
    assert gravity_strength(470.0, 6.4 * PARSEC, 10.0) == pytest.approx(
        (2 * np.pi * 6.4 * PARSEC / jeans) ** 2, rel=1e-5
    )


def test_the_stamp_says_what_it_is(clouds):
    stamp = clouds[0].provenance
    assert stamp["source"] == "synthetic"
    assert stamp["recipe"] == "burgers"
    assert stamp["seed"] == 1
    assert "not by a simulation" in stamp["statement"]
    assert stamp["parameters"]["mach_number"] == 8.0
    assert stamp["parameters"]["box_size_pc"] == 6.4
    assert json.loads(json.dumps(stamp)) == stamp
    assert "synthetic" in clouds[0]._repr_html_()


# -- seeds ------------------------------------------------------------------------------------------


def assert_identical(one, two):
    np.testing.assert_array_equal(one.density, two.density)
    np.testing.assert_array_equal(one.temperature, two.temperature)
    for axis in AXES:
        np.testing.assert_array_equal(one.velocity[axis], two.velocity[axis])
    assert one.provenance == two.provenance
    assert one.name == two.name


def test_the_same_seed_gives_the_same_cloud():
    assert_identical(lab.synthetic_cloud(32, 7), lab.synthetic_cloud(32, 7))


@pytest.mark.slow
def test_the_number_of_threads_does_not_matter(tmp_path):
    code = "import sys, polaris_lab as lab; lab.synthetic_cloud(32, 7).save(sys.argv[1])"
    for threads in ("1", "2"):
        environment = os.environ | {"NUMBA_NUM_THREADS": threads}
        path = str(tmp_path / f"{threads}.npy")
        subprocess.run([sys.executable, "-c", code, path], env=environment, check=True)
    one, two = (lab.SimulationCube.open(tmp_path / f"{threads}.npy") for threads in ("1", "2"))
    assert_identical(one, two)


def test_seeds_give_clouds_that_have_nothing_in_common(clouds):
    for one, two in ((0, 1), (1, 2), (2, 0)):
        first, second = (np.log(clouds[i].density).ravel() for i in (one, two))
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.3  # few large modes: not zero


@pytest.mark.parametrize("seed", range(10))
def test_ten_seeds_are_finite_and_normalised(seed):
    cube = lab.synthetic_cloud(32, seed)
    assert cube.density.mean(dtype=np.float64) == pytest.approx(470.0, rel=1e-6)
    assert all(np.isfinite(v).all() and abs(v).max() < 15 for v in cube.velocity.values())


@pytest.mark.parametrize(
    "choices",
    [
        {"mach_number": 0.5},
        {"mach_number": 50.0},
        {"compressive_fraction": 0.0},
        {"compressive_fraction": 1.0},
        {"turnover_times": 2.0},
        {"free_fall_times": 1.0},
        {"free_fall_times": 0.0},
        {"free_fall_times": 1.0, "mean_density": 1e6 * u.cm**-3},
        {"free_fall_times": 1.0, "box_size": 50 * u.pc, "mach_number": 3.0},
        {"pdf_width": None},
        {"pdf_width": None, "free_fall_times": 1.0, "mach_number": 2.0},
        {"pdf_width": 3.0, "tail_slope": 1.01},
        {"pdf_width": 0.1},
        {"size": 17},
    ],
)
def test_the_corners_of_the_ranges_give_finite_clouds(choices):
    cube = lab.synthetic_cloud(**({"size": 16} | choices))
    mean = choices.get("mean_density", 470 / u.cm**3).value
    assert cube.density.mean(dtype=np.float64) == pytest.approx(mean, rel=1e-6)
    assert all(np.isfinite(values).all() for values in cube.velocity.values())


# -- near turbulence --------------------------------------------------------------------------------
# Bands: the table of recipe C and of the MHD snapshots, widened by twice the scatter among seeds at 64^3.


def test_the_relation_of_column_and_density_is_that_of_turbulence(clouds):
    """MHD: slope 1.15 and 1.29, scatter 0.19 and 0.21 dex, sigma(log N) 0.29 and 0.33."""
    for cube in clouds:
        slope, scatter, spread = relation(cube)
        assert 1.05 < slope < 1.35
        assert 0.14 < scatter < 0.24
        assert 0.20 < spread < 0.36
    assert 0.16 < np.mean([relation(cube)[1] for cube in clouds]) < 0.22


def test_spectra_are_those_of_supersonic_turbulence(clouds):
    """Recipe at 128^3: ln n -3.9, n -2.5, log N -3.1, v -4.2; some 0.3 steeper at 64^3, where smoothing reaches k = 8."""
    for cube in clouds:
        assert -4.6 < slope_of_spectrum(np.log(cube.density)) < -3.6
        assert -2.9 < slope_of_spectrum(cube.density.astype(np.float64)) < -2.1
        assert -3.9 < slope_of_spectrum(np.log(lab.column_density(cube))) < -2.8
        for values in cube.velocity.values():
            assert -5.2 < slope_of_spectrum(values.astype(np.float64)) < -4.0


def test_the_mach_number_is_near_the_request(clouds):
    for cube, mach_number in [(cube, 8.0) for cube in clouds] + [
        (lab.synthetic_cloud(32, mach_number=3.0), 3.0)
    ]:
        weight = cube.density / cube.density.mean()
        power = sum((weight * values**2).mean(dtype=np.float64) for values in cube.velocity.values())
        assert np.sqrt(power) * 1e5 / sound_speed(10.0) == pytest.approx(mach_number, rel=0.12)


def test_velocity_is_mostly_solenoidal_and_follows_the_choice(clouds):
    shares = [compressive_share(np.stack([cube.velocity[a] for a in AXES])) for cube in clouds]
    assert all(0.2 < share < 0.6 for share in shares)
    calm, strong = (
        compressive_share(
            np.stack(list(lab.synthetic_cloud(32, 1, compressive_fraction=f).velocity.values()))
        )
        for f in (0.0, 1.0)
    )
    assert calm < 0.3 < 0.6 < strong


def test_density_and_velocity_belong_together(clouds):
    """Gas is dense where flows converge: the mass-weighted divergence is negative, the volume-weighted one zero."""
    for cube in clouds:
        divergence = sum(
            np.roll(cube.velocity[axis], -1, i) - np.roll(cube.velocity[axis], 1, i)
            for i, axis in enumerate(AXES)
        )
        assert (divergence * cube.density).mean() / cube.density.mean() < -0.5 * divergence.std()
        assert abs(divergence.mean(dtype=np.float64)) < 1e-5


def test_the_box_is_periodic_without_a_seam(clouds):
    """Steps across the faces of the box are like steps inside it."""
    for cube in clouds:
        for field in (np.log(cube.density), *cube.velocity.values()):
            for axis in range(3):
                steps = abs(np.roll(field, -1, axis) - field).mean(
                    axis=tuple(i for i in range(3) if i != axis)
                )
                inside = steps[:-1]
                assert steps[-1] < inside.max() * 1.2
                assert steps[-1] > inside.min() / 1.2


def test_no_odd_even_ripple(clouds):
    """Power at the smallest scale lies below that at twice and four times the scale."""
    for cube in clouds:
        power = abs(np.fft.rfftn(np.log(cube.density))) ** 2
        for axis in range(3):
            line = power.mean(axis=tuple(i for i in range(3) if i != axis))
            assert line[32] < line[16] < line[8]


def test_gravity_makes_gas_denser():
    """Of the flow itself: without the remap that gives every cloud the same PDF."""
    for seed in SEEDS:
        without, with_gravity = (
            lab.synthetic_cloud(32, seed, pdf_width=None, free_fall_times=t).density.max() for t in (0.0, 0.4)
        )
        assert with_gravity > 1.2 * without


@pytest.mark.parametrize("state", ["early", "late"])
def test_the_scatter_at_fixed_column_is_that_of_mhd_turbulence(shared_data, clouds, state):
    """What a network can learn is the scatter of <n>_M at fixed N: within 25 % of the real cloud's."""
    with np.load(shared_data / "simulation" / f"mhd_m8_128_{state}.npz") as file:
        real = lab.SimulationCube(10.0 ** file["log10_nH"].astype(np.float32), cell_size=0.05 * u.pc)
    slope, scatter, _ = np.mean([relation(cube) for cube in clouds], axis=0)
    real_slope, real_scatter, _ = relation(real)
    assert scatter == pytest.approx(real_scatter, rel=0.25)
    assert slope == pytest.approx(real_slope, rel=0.15)


# -- bad choices ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"size": 15}, ValueError, "size: expected a whole number from 16 up, got 15"),
        ({"size": 32.0}, TypeError, "size: expected a whole number"),
        ({"size": True}, TypeError, "size: expected a whole number"),
        ({"seed": -1}, ValueError, "seed: expected a whole number from 0 up"),
        ({"seed": None}, TypeError, "seed: expected a whole number"),
        ({"mach_number": -8.0}, ValueError, r"mach_number: expected a number from 0\.5 to 50, got -8"),
        ({"mach_number": float("nan")}, ValueError, "mach_number"),
        ({"mach_number": "8"}, TypeError, "mach_number: expected a number"),
        ({"compressive_fraction": 1.1}, ValueError, "compressive_fraction: expected a number from 0 to 1"),
        ({"turnover_times": 0.0}, ValueError, "turnover_times: expected a number above 0 up to 2"),
        ({"free_fall_times": -0.1}, ValueError, "free_fall_times: expected a number from 0 to 1"),
        ({"pdf_width": 0.0}, ValueError, r"pdf_width: expected a number from 0\.1 to 3"),
        ({"tail_slope": 1.0}, ValueError, "tail_slope: expected a number above 1 up to 10"),
        ({"box_size": 6.4}, TypeError, r"box_size: expected a Quantity .*6\.4 \* u\.pc"),
        ({"box_size": -1 * u.pc}, ValueError, "box_size: expected a positive number"),
        ({"mean_density": 470 * u.pc}, u.UnitsError, "mean_density: expected a unit"),
        ({"flow_temperature": 0 * u.K}, ValueError, "flow_temperature: expected a positive"),
        ({"temperature_law": "cold"}, ValueError, 'expected "barotropic" or "isothermal", got \'cold\''),
    ],
)
def test_a_choice_out_of_range_is_refused(choices, error, message):
    with pytest.raises(error, match=message):
        lab.synthetic_cloud(**({"size": 16} | choices))
