"""Line cubes against RADMC-3D, closed forms, limits and symmetries."""

import warnings

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.clouds import SimulationCube
from polaris_lab.radiative_transfer import (
    Line,
    VelocityStepWarning,
    integrated_intensity,
    lte,
    optical_depth,
    synthesize_ppv,
)

ABUNDANCE = 1.4e-6
KMS = u.km / u.s


def over_peak(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def rms(found, expected):
    return np.sqrt(np.mean((found - expected) ** 2.0) / np.mean(expected**2.0))


# -- the reference -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("float64", 1e-5)])
def test_constant_mode_equals_radmc3d(reference, line, precision, tolerance):
    ppv = synthesize_ppv(
        reference.cube,
        line,
        abundance=reference.abundance,
        velocity=reference.velocity,
        turbulent_dispersion=reference.dispersion,
        in_cell_velocity="constant",
        precision=precision,
    )
    assert ppv.data.dtype == precision
    assert over_peak(ppv.data, reference.constant) < tolerance


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_linear_mode_equals_finely_cut_cells(reference, line, precision):
    ppv = synthesize_ppv(
        reference.cube,
        line,
        abundance=reference.abundance,
        velocity=reference.velocity,
        turbulent_dispersion=reference.dispersion,
        precision=precision,
    )
    assert rms(ppv.data, reference.linear) < 1e-4
    assert rms(ppv.data, reference.constant) > 5e-3  # the two modes are not the same thing


def test_optical_depth_cube(reference, line):
    depth = optical_depth(
        reference.cube,
        line,
        abundance=reference.abundance,
        velocity=reference.velocity,
        turbulent_dispersion=reference.dispersion,
        in_cell_velocity="constant",
    )
    assert depth.unit == ""
    assert over_peak(depth.data, reference.depth) < 1e-5


# -- closed forms and limits ---------------------------------------------------------------------------------


def slab(make_cloud, density, temperature=10.0, cells=20, velocity=0.0):
    return make_cloud(np.full((cells, 2, 3), density), temperature, velocity)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["linear", "constant"])
@pytest.mark.parametrize("density", [1.0, 1e3, 1e5, 1e8])
@pytest.mark.parametrize("temperature", [2.0, 10.0, 300.0])
def test_a_uniform_slab_has_a_closed_form(line, density, temperature, mode, precision, make_cloud):
    """T = (J(T) - J(T_bg)) (1 - exp(-tau)), from 1e-4 to beyond 1e4 in optical depth and below the CMB."""
    cube = slab(make_cloud, density, temperature)
    velocity = np.linspace(-2, 2, 81)
    ppv = synthesize_ppv(
        cube,
        line,
        abundance=ABUNDANCE,
        velocity=velocity * KMS,
        turbulent_dispersion=0.2 * KMS,
        in_cell_velocity=mode,
        precision=precision,
    )
    width = lte.line_width(line, temperature, 0.2)
    column = ABUNDANCE * density * 20 * cube.cell_size_cm
    tau = column * lte.integrated_optical_depth(line, temperature) / (np.sqrt(np.pi) * width)
    tau = tau * np.exp(-np.square(velocity / width))
    contrast = lte.equivalent_temperature(line, temperature) - lte.equivalent_temperature(
        line, lte.CMB_TEMPERATURE
    )
    expected = (contrast * -np.expm1(-tau))[:, None, None]
    assert over_peak(ppv.data, expected) < (2e-5 if precision == "float32" else 1e-7)


@pytest.mark.parametrize("mode", ["linear", "constant"])
def test_thin_integral_counts_molecules(line, mode, turbulent_cloud):
    """Whatever the motion: integral of T dv = sum over the cells of f(T) dN, when nothing absorbs."""
    source = turbulent_cloud()
    cube = SimulationCube(
        source.density * 1e-5,
        cell_size=source.cell_size,
        temperature=source.temperature,
        velocity=source.velocity,
    )
    velocity = np.arange(-8, 8, 0.05) * KMS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VelocityStepWarning)
        ppv = synthesize_ppv(
            cube,
            line,
            abundance=ABUNDANCE,
            velocity=velocity,
            turbulent_dispersion=0.1 * KMS,
            in_cell_velocity=mode,
        )
    per_molecule = lte.thin_brightness(line, cube.temperature)
    expected = (per_molecule * cube.density * ABUNDANCE * cube.cell_size_cm).sum(axis=0)
    np.testing.assert_allclose(integrated_intensity(ppv), expected, rtol=3e-4)


def test_thin_integral_forgets_width_and_order(line, make_cloud):
    """The same molecules, shuffled along the line and with another width, give the same integral."""
    rng = np.random.default_rng(1)
    density = rng.uniform(1e-3, 1e-1, (16, 1, 1))
    motion = rng.normal(0, 1, (16, 1, 1))
    order = rng.permutation(16)
    velocity = np.arange(-9, 9, 0.04) * KMS
    found = [
        integrated_intensity(
            synthesize_ppv(
                make_cloud(n, 12.0, v),
                line,
                abundance=ABUNDANCE,
                velocity=velocity,
                turbulent_dispersion=sigma * KMS,
            )
        )[0, 0]
        for n, v, sigma in [
            (density, motion, 0.1),
            (density[order], motion[order], 0.1),
            (density, motion, 0.5),
            (density, 0 * motion, 0.3),
        ]
    ]
    np.testing.assert_allclose(found, found[0], rtol=2e-4)


def test_thick_gas_shows_the_front(line, make_cloud):
    """tau >> 1: the brightness is J(T) - J(T_bg) of the nearest cells, whatever lies behind."""
    kelvin = np.where(np.arange(40) < 20, 12.0, 30.0)[:, None, None]
    ppv = synthesize_ppv(
        make_cloud(np.full((40, 2, 2), 1e7), kelvin, 0.0),
        line,
        abundance=ABUNDANCE,
        velocity=[0.0] * KMS,
        turbulent_dispersion=0.1 * KMS,
    )
    front = lte.equivalent_temperature(line, 12.0) - lte.equivalent_temperature(line, lte.CMB_TEMPERATURE)
    np.testing.assert_allclose(ppv.data, front, rtol=1e-6)


def test_cold_gas_in_front_absorbs_the_line(line, make_cloud):
    """Self-absorption: the observer sits before index 0, so cold gas there cuts the line centre."""
    kelvin = np.where(np.arange(20) < 4, 4.0, 20.0)[:, None, None]
    velocity = np.linspace(-1.5, 1.5, 61) * KMS
    choices = {"abundance": 2e-5, "velocity": velocity, "turbulent_dispersion": 0.15 * KMS}
    density = np.full((20, 2, 2), 2e3)
    absorbed = synthesize_ppv(make_cloud(density, kelvin, 0.0), line, **choices).data[:, 0, 0]
    behind = synthesize_ppv(make_cloud(density, kelvin[::-1], 0.0), line, **choices).data[:, 0, 0]
    assert absorbed[30] < 0.5 * absorbed.max()
    assert behind.argmax() == 30 or behind[30] > 0.95 * behind.max()


def test_gas_colder_than_the_background_is_seen_in_absorption(line, make_cloud):
    ppv = synthesize_ppv(
        slab(make_cloud, 1e4, 2.0),
        line,
        abundance=ABUNDANCE,
        velocity=[0.0] * KMS,
        turbulent_dispersion=0.1 * KMS,
    )
    assert ppv.data.max() < 0
    hot = synthesize_ppv(
        slab(make_cloud, 1e4, 2.0), line, abundance=ABUNDANCE, velocity=[0.0] * KMS, background=0 * u.K
    )
    assert hot.data.min() > 0


def test_positive_velocity_recedes(line):
    """Gas that moves away from the observer stands at positive velocity, on every axis."""
    rng = np.random.default_rng(0)
    density = rng.uniform(10, 100, (6, 7, 8))
    for axis in "zyx":
        cube = SimulationCube(
            density, cell_size=0.1 * u.pc, temperature=0 * density + 10, velocity={axis: 0 * density + 1.5}
        )
        ppv = synthesize_ppv(
            cube, line, abundance=ABUNDANCE, axis=axis, velocity=np.linspace(-3, 3, 61) * KMS
        )
        assert ppv.velocity[ppv.data.sum(axis=(1, 2)).argmax()] == pytest.approx(1.5, abs=0.06)


def test_a_mirrored_cloud_gives_the_mirrored_spectrum(line, turbulent_cloud):
    cube = turbulent_cloud()
    velocity = np.linspace(-6, 6, 121) * KMS
    choices = {"abundance": ABUNDANCE, "velocity": velocity, "turbulent_dispersion": 0.2 * KMS}
    mirrored = SimulationCube(
        cube.density,
        cell_size=cube.cell_size,
        temperature=cube.temperature,
        velocity={"z": -cube.velocity["z"]},
    )
    one = synthesize_ppv(cube, line, **choices).data
    other = synthesize_ppv(mirrored, line, **choices).data
    assert over_peak(other[::-1], one) < 5e-5
    assert over_peak(other, one) > 0.1


@pytest.mark.parametrize(("axis", "order"), [("y", (1, 0, 2)), ("x", (2, 0, 1))])
def test_an_axis_is_a_permutation(line, axis, order, make_cloud, turbulent_cloud):
    """Looking along an axis is looking along z at the cube turned by hand, rows and columns in array order."""
    cube = turbulent_cloud()
    velocity = np.linspace(-5, 5, 60) * KMS
    choices = {"abundance": ABUNDANCE, "velocity": velocity, "turbulent_dispersion": 0.2 * KMS}
    seen = synthesize_ppv(cube, line, axis=axis, **choices)
    turned = make_cloud(
        cube.density.transpose(order), cube.temperature.transpose(order), cube.velocity[axis].transpose(order)
    )
    by_hand = synthesize_ppv(turned, line, **choices)
    assert seen.shape == (60, *turned.shape[1:])
    np.testing.assert_array_equal(seen.data, by_hand.data)


def test_float32_follows_float64(line, turbulent_cloud):
    """Strong turbulence, thick and thin gas, steps of many line widths."""
    for density, speed in [(1e-3, 0.3), (1.0, 1.0), (100.0, 4.0)]:
        source = turbulent_cloud(speed=speed)
        cube = SimulationCube(
            source.density * density,
            cell_size=source.cell_size,
            temperature=source.temperature,
            velocity=source.velocity,
        )
        for mode in ("linear", "constant"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", VelocityStepWarning)
                one, two = (
                    synthesize_ppv(
                        cube,
                        line,
                        abundance=ABUNDANCE,
                        velocity=np.linspace(-5 * speed - 1, 5 * speed + 1, 100) * KMS,
                        turbulent_dispersion=0.05 * KMS,
                        in_cell_velocity=mode,
                        precision=precision,
                    )
                    for precision in ("float32", "float64")
                )
            assert over_peak(one.data, two.data) < 3e-5
            np.testing.assert_allclose(
                integrated_intensity(one), integrated_intensity(two), rtol=1e-4, atol=1e-4 * two.data.max()
            )


@pytest.mark.filterwarnings("ignore::polaris_lab.radiative_transfer.VelocityStepWarning")
@pytest.mark.parametrize("mode", ["linear", "constant"])
def test_float32_follows_float64_in_extreme_gas(mode):
    """Random shapes, lines and gas: densities over ten decades, jumps of thousands of widths, 300 km/s off zero."""
    rng = np.random.default_rng(11)
    for _ in range(25):
        shape = tuple(int(n) for n in rng.integers(1, 30, 3))
        warmest = rng.choice([4.0, 50.0, 3000.0])
        upper = int(rng.integers(1, 6))
        line = Line.named(rng.choice(["12CO", "13CO", "C18O"]), f"{upper}-{upper - 1}")
        motion = rng.normal(0, 1, shape) * 10 ** rng.uniform(-3, 1.5) + rng.choice([0, 50, -300])
        cube = SimulationCube(
            10 ** rng.uniform(0, 6, shape) * 10 ** rng.uniform(-4, 3),
            cell_size=10 ** rng.uniform(-3, 0) * u.pc,
            temperature=rng.uniform(2, warmest, shape),
            velocity={"z": motion},
        )
        choices = {
            "abundance": 1.4e-6,
            "velocity": np.linspace(motion.min() - 1, motion.max() + 1, int(rng.integers(2, 150))) * KMS,
            "turbulent_dispersion": rng.choice([0.0, 0.05, 0.3]) * KMS,
            "in_cell_velocity": mode,
        }
        one, two = (
            synthesize_ppv(cube, line, precision=precision, **choices).data
            for precision in ("float32", "float64")
        )
        assert np.isfinite(one).all()
        assert np.abs(one - two).max() <= 3e-5 * np.abs(two).max() + 1e-9


# -- velocity inside a cell ------------------------------------------------------------------------------------


def cut(make_cloud, cube, pieces):
    """The cube with each cell cut along z, the velocity running linearly from face to face."""
    motion = cube.velocity["z"].astype(float)
    faces = np.concatenate([motion[:1], 0.5 * (motion[1:] + motion[:-1]), motion[-1:]])
    where = (np.arange(pieces) + 0.5) / pieces
    fine = faces[:-1, None] + where[None, :, None, None] * (faces[1:] - faces[:-1])[:, None]
    return make_cloud(
        np.repeat(cube.density, pieces, axis=0) / pieces,  # the cells stay as long: so much less gas in each
        np.repeat(cube.temperature, pieces, axis=0),
        fine.reshape(-1, *motion.shape[1:]),
    )


@pytest.mark.parametrize(("speed", "pieces"), [(0.3, 32), (3.0, 128), (12.0, 512)])
@pytest.mark.parametrize("density", [1.0, 300.0])
def test_linear_mode_equals_cells_cut_finely(line, speed, pieces, density, make_cloud, turbulent_cloud):
    """From gentle gradients to jumps of tens of line widths, thin to very thick."""
    source = turbulent_cloud((12, 4, 4), speed=speed)
    cube = make_cloud(source.density * density, source.temperature, source.velocity["z"])
    choices = {
        "abundance": ABUNDANCE,
        "velocity": np.linspace(-3 * speed - 1, 3 * speed + 1, 151) * KMS,
        "turbulent_dispersion": 0.1 * KMS,
    }
    found = synthesize_ppv(cube, line, **choices).data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VelocityStepWarning)
        fine = synthesize_ppv(
            cut(make_cloud, cube, pieces), line, in_cell_velocity="constant", precision="float64", **choices
        ).data
    assert rms(found, fine) < 1e-3


def test_constant_mode_warns_where_it_fails(line, turbulent_cloud):
    cube = turbulent_cloud(speed=2.0)
    with pytest.warns(VelocityStepWarning, match=r"half a line width between \d+\.\d% of the"):
        synthesize_ppv(
            cube,
            line,
            abundance=ABUNDANCE,
            velocity=np.linspace(-9, 9, 90) * KMS,
            in_cell_velocity="constant",
        )


def test_a_gentle_cloud_gives_no_warning(reference, line):
    synthesize_ppv(
        reference.cube,
        line,
        abundance=reference.abundance,
        velocity=reference.velocity,
        turbulent_dispersion=0.3 * KMS,
        in_cell_velocity="constant",
    )


def test_the_gradient_width_stands_in_for_the_gradient(line, make_cloud):
    """The report's sub-cell width is the rms of the gradient: closer to the truth than nothing, for gentle gradients."""
    motion = np.linspace(-2, 2, 16)[:, None, None] * np.ones((1, 2, 2))
    cube = make_cloud(100.0, 10.0, motion)
    choices = {"abundance": ABUNDANCE, "velocity": np.linspace(-4, 4, 160) * KMS}
    truth = synthesize_ppv(cube, line, **choices).data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VelocityStepWarning)
        plain = synthesize_ppv(cube, line, in_cell_velocity="constant", **choices).data
    report = synthesize_ppv(
        cube, line, in_cell_velocity="constant", turbulent_dispersion="gradient", **choices
    ).data
    assert rms(report, truth) < 0.5 * rms(plain, truth)


def test_gas_of_any_density_stays_finite(make_cloud, line):
    """Gas beyond all reason is a black body and overflows nothing."""
    cube = make_cloud(np.full((4, 2, 2), 1e33), 10.0, np.arange(4.0)[:, None, None])
    for mode in ("linear", "constant"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VelocityStepWarning)
            ppv = synthesize_ppv(
                cube, line, abundance=1.0, velocity=np.linspace(-9, 12, 60) * KMS, in_cell_velocity=mode
            )
        front = lte.equivalent_temperature(line, 10.0) - lte.equivalent_temperature(line, lte.CMB_TEMPERATURE)
        assert np.isfinite(ppv.data).all()
        assert ppv.data.max() == pytest.approx(front, rel=1e-5)
