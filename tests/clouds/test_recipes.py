"""The recipes of synthetic clouds: exact where exactness is promised, near real turbulence within stated bands."""

import numpy as np
import pytest
from astropy import units as u

import polaris_lab as lab
from polaris_lab.clouds.fields import compressive_share, density_quantiles, random_field, rank_order
from polaris_lab.clouds.synthetic import sound_speed

AXES = ("z", "y", "x")
KINDS = ("burgers", "fbm", "cascade")


@pytest.fixture(scope="module")
def clouds():
    return {kind: [lab.synthetic_cloud(64, seed, kind=kind) for seed in (1, 2, 3)] for kind in KINDS}


def slope_of_spectrum(field, first=3, last=16):
    waves = np.meshgrid(*[np.fft.fftfreq(n) * n for n in field.shape], indexing="ij")
    wave = np.sqrt(sum(w**2 for w in waves))
    power = abs(np.fft.fftn(field)) ** 2
    shells = np.arange(first, last + 1)
    means = [power[(wave >= shell - 0.5) & (wave < shell + 0.5)].mean() for shell in shells]
    return np.polyfit(np.log(shells), np.log(means), 1)[0]


def statistics(cube):
    """Slopes of the spectra of n, N and v, and slope and scatter [dex] of <n>_M at fixed N: means of three faces."""
    rows = []
    for axis in AXES:
        maps = lab.project(cube, axis=axis)
        column, density = np.log10(maps.column_density), np.log10(maps.mass_weighted_density)
        slope, offset = np.polyfit(column.ravel(), density.ravel(), 1)
        rows.append(
            (
                slope,
                (density - offset - slope * column).std(),
                column.std(),
                slope_of_spectrum(column),
                slope_of_spectrum(cube.velocity[axis].astype(float)),
            )
        )
    names = ("relation", "scatter", "spread", "log_N", "v")
    found = dict(zip(names, np.mean(rows, axis=0), strict=True))
    density = cube.density.astype(np.float64)
    return found | {
        "ln_n": slope_of_spectrum(np.log(density)),
        "n": slope_of_spectrum(density),
        "sigma": np.log(density).std(),
    }


@pytest.mark.parametrize("kind", ["fbm", "cascade"])
def test_pdf_mean_mach_number_and_frame_are_exact(clouds, kind):
    count = 64**3
    expected = density_quantiles((np.arange(count) + 0.5) / count, width=1.25, tail_slope=2.0)
    expected -= np.log(np.exp(expected).mean())
    for cube in clouds[kind]:
        density = cube.density.astype(np.float64)
        np.testing.assert_allclose(np.sort(np.log(density / 470.0).ravel()), expected, atol=1e-6)
        power = 0.0
        for values in cube.velocity.values():
            assert abs((density * values).sum() / density.sum()) < 1e-4
            power += (density * values.astype(np.float64) ** 2).sum()
        assert np.sqrt(power / density.sum()) * 1e5 / sound_speed(10.0) == pytest.approx(8.0, rel=1e-4)
        velocity = np.stack(list(cube.velocity.values()))
        assert compressive_share(velocity) == pytest.approx(0.3, abs=1e-3)
        assert cube.provenance["source"] == "synthetic"
        assert cube.provenance["recipe"] == kind


@pytest.mark.parametrize("slope", [3.0, 3.7])
def test_a_random_field_has_the_spectrum_asked_for(slope):
    found = []
    for seed in range(8):
        field = random_field(np.random.default_rng(seed), 64, slope=-slope).astype(np.float64)
        found.append(slope_of_spectrum(field))
    assert np.mean(found) == pytest.approx(-slope, abs=0.12)  # of the mean of eight: 0.03
    assert field.mean() == pytest.approx(0, abs=1e-6)
    assert field.std() == pytest.approx(1, rel=1e-5)
    cube = lab.synthetic_cloud(64, kind="fbm", spectral_slope=slope, tail_slope=None)
    assert slope_of_spectrum(np.log(cube.density.astype(float))) == pytest.approx(-slope, abs=0.25)


# Bands: the reference table of recipes (one realisation) widened by the scatter among seeds at 64^3.
BANDS = {
    "fbm": {
        "ln_n": (-3.6, -3.0),
        "n": (-2.9, -1.8),
        "scatter": (0.10, 0.19),
        "relation": (1.0, 1.45),
        "v": (-4.5, -3.5),
    },
    "cascade": {
        "ln_n": (-4.1, -3.0),
        "n": (-2.9, -1.7),
        "scatter": (0.13, 0.24),
        "relation": (1.0, 1.45),
        "v": (-4.5, -3.4),
    },
}


@pytest.mark.parametrize("kind", list(BANDS))
def test_statistics_are_those_of_the_recipe(clouds, kind):
    for cube in clouds[kind]:
        found = statistics(cube)
        for name, (low, high) in BANDS[kind].items():
            assert low < found[name] < high, (kind, name, found)


# Tolerances against real MHD gas of the same Mach number, mean of three seeds. Cubes of 64^3 have half the scales.
TOLERANCES = {
    "burgers": {
        "sigma": 0.15,
        "ln_n": 0.95,
        "n": 0.7,
        "log_N": 0.6,
        "v": 0.8,
        "scatter": 0.05,
        "relation": 0.2,
    },
    "cascade": {
        "sigma": 0.15,
        "ln_n": 0.65,
        "n": 0.6,
        "log_N": 0.6,
        "v": 0.7,
        "scatter": 0.05,
        "relation": 0.2,
    },
    "fbm": {"sigma": 0.15, "ln_n": 0.3, "n": 0.6, "log_N": 0.6, "v": 0.6, "scatter": 0.09, "relation": 0.2},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_statistics_are_near_those_of_mhd_turbulence(shared_data, clouds, kind):
    """PDF width, spectra of ln n, n, log N and v, scatter of <n>_M at fixed N; the real ones: two snapshots' mean."""
    real = []
    for state in ("early", "late"):
        with np.load(shared_data / "simulation" / f"mhd_m8_128_{state}.npz") as file:
            velocity = dict(zip("xyz", file["v_kms"].astype(np.float32), strict=True))
            density = 10.0 ** file["log10_nH"].astype(np.float32)
        real.append(statistics(lab.SimulationCube(density, cell_size=0.05 * u.pc, velocity=velocity)))
    found = [statistics(cube) for cube in clouds[kind]]
    for name, tolerance in TOLERANCES[kind].items():
        expected = np.mean([row[name] for row in real])
        assert np.mean([row[name] for row in found]) == pytest.approx(expected, abs=tolerance), name


@pytest.mark.parametrize("kind", ["fbm", "cascade"])
def test_the_same_seed_gives_the_same_cloud(kind):
    one, two, other = (lab.synthetic_cloud(32, seed, kind=kind) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.density, two.density)
    np.testing.assert_array_equal(one.velocity["y"], two.velocity["y"])
    assert one.provenance == two.provenance
    assert abs(np.corrcoef(np.log(one.density).ravel(), np.log(other.density).ravel())[0, 1]) < 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_a_deep_cloud_is_a_stack_of_different_boxes(kind):
    cube = lab.synthetic_cloud(16, 3, kind=kind, depth=16 * u.pc)
    assert cube.shape == (40, 16, 16)
    assert cube.density.mean(dtype=np.float64) == pytest.approx(470, rel=1e-6)
    first = lab.synthetic_cloud(16, 3, kind=kind)
    ratio = cube.density[:16] / first.density  # one factor: the last box is cut, the mean stays
    assert ratio.max() == pytest.approx(ratio.min(), rel=1e-5)
    boxes = np.log(cube.density[:32]).reshape(2, -1)
    assert abs(np.corrcoef(boxes)[0, 1]) < 0.6
    assert cube.provenance["parameters"]["depth_pc"] == pytest.approx(16)
    thin = lab.synthetic_cloud(16, 3, kind=kind, depth=2.0 * u.pc)
    assert thin.shape == (5, 16, 16)


def test_ranks_are_those_of_a_stable_sort():
    rng = np.random.default_rng(1)
    values = rng.normal(size=100_000).astype(np.float32)
    values[::7] = values[0]
    values[5], values[6] = 0.0, -0.0
    expected = np.argsort(values, kind="stable")
    found = rank_order(values)
    np.testing.assert_array_equal(values[found], values[expected])
    assert len(np.unique(found)) == values.size
    np.testing.assert_array_equal(
        rank_order(values.astype(np.float64)), np.argsort(values.astype(float), kind="stable")
    )


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"kind": "fbn"}, "kind: unknown recipe 'fbn'.*fbm"),
        ({"kind": "fbm", "pdf_width": None}, "pdf_width: expected a number .* has no PDF of its own"),
        ({"kind": "fbm", "turnover_times": 1.0}, 'turnover_times: expected with kind="burgers" only'),
        ({"kind": "cascade", "free_fall_times": 0.1}, 'free_fall_times: expected with kind="burgers" only'),
        ({"kind": "fbm", "spectral_slope": 1.0}, "spectral_slope: expected a number from 2 to 6, got 1"),
        ({"depth": 0.01 * u.pc}, r"depth: expected at least one cell, 0\.4 pc, got 0\.01 pc"),
    ],
)
def test_a_choice_that_does_not_fit_the_recipe_is_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        lab.synthetic_cloud(**({"size": 16} | choices))


@pytest.mark.parametrize("kind", ["fbm", "cascade"])
@pytest.mark.parametrize(
    "choices", [{"compressive_fraction": 0.0}, {"compressive_fraction": 1.0}, {"size": 17}]
)
def test_the_corners_of_the_ranges_give_finite_clouds(kind, choices):
    cube = lab.synthetic_cloud(**({"size": 16, "kind": kind} | choices))
    assert all(np.isfinite(values).all() for values in cube.velocity.values())
    share = compressive_share(np.stack(list(cube.velocity.values())))
    assert share == pytest.approx(choices.get("compressive_fraction", 0.3), abs=2e-3)


@pytest.mark.parametrize("choices", [{"size": 50_000}, {"size": 64, "depth": 1e7 * u.pc}])
def test_a_cloud_that_needs_more_memory_than_there_is_is_refused_with_the_number(choices):
    with pytest.raises(
        MemoryError, match=r"size, depth: expected work that fits into memory.*needs [\d.e+]+ GiB of"
    ):
        lab.synthetic_cloud(kind="fbm", **choices)
