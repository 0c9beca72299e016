"""One's own line cubes in training sets, and what is refused: clouds that cannot shine, lines that cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u

from polaris_lab import PatchConfig, PatchDataset, SimulationCube, build_dataset
from polaris_lab.config import fingerprint, from_dict, to_dict
from polaris_lab.datasets import EmissionConfig

KMS = u.km / u.s
LINE = EmissionConfig(velocity_min_km_s=-2.4, velocity_max_km_s=2.4, channel_width_km_s=0.1)
QUANTITIES = ("column_density", "mass_weighted_density", "ppv_cube")
CONFIG = PatchConfig(patch_size=12, validation_fraction=0.3, quantities=QUANTITIES, emission=LINE)


def build(cubes, path, config=CONFIG):
    return build_dataset(cubes, config, path, progress=False)


# -- one's own line cubes ----------------------------------------------------------------------------


@pytest.fixture
def own(images):
    """Ten pairs of images and line cubes of six channels, with noise around zero."""
    cubes = np.random.default_rng(0).normal(size=(10, 6, 16, 16))
    inputs = {"ppv_cube": cubes, **images[0]}
    choices = {"pixel_size": 0.05 * u.pc, "split": 0.2, "velocity": np.linspace(-1, 1.5, 6) * KMS}
    return inputs, images[1], choices


def test_own_cubes_in_memory_and_on_disk(own, tmp_path):
    inputs, targets, choices = own
    memory = PatchDataset.from_arrays(inputs, targets, **choices)
    for dataset in (memory, memory.save(tmp_path / "own.zarr"), PatchDataset.open(tmp_path / "own.zarr")):
        assert dataset.patch_size == 16
        assert dataset.inputs == ("ppv_cube", "column_density")
        assert dataset.unit("ppv_cube") == "K"
        assert dataset.velocity == pytest.approx(np.linspace(-1, 1.5, 6))
        assert np.array_equal(dataset.read("ppv_cube", [7, 2]), inputs["ppv_cube"][[7, 2]].astype(np.float32))
        assert dataset.read("ppv_cube", []).shape == (0, 6, 16, 16)
    kelvin = {**inputs, "ppv_cube": inputs["ppv_cube"] * 1e3 * u.mK}
    faster = {**choices, "velocity": choices["velocity"].to("m/s") * 1.1}
    converted = PatchDataset.from_arrays(kelvin, targets, **choices)
    assert np.allclose(converted.read("ppv_cube"), memory.read("ppv_cube"), rtol=1e-6)
    assert PatchDataset.from_arrays(inputs, targets, **faster).fingerprint != memory.fingerprint


def test_bad_own_cubes(own):
    inputs, targets, choices = own

    def refused(error, match, cube=None, **changes):
        given = inputs if cube is None else {**inputs, "ppv_cube": cube}
        with pytest.raises(error, match=match):
            PatchDataset.from_arrays(given, targets, **{**choices, **changes})

    cubes = inputs["ppv_cube"]
    refused(TypeError, r"velocity: expected a Quantity", velocity=np.arange(6.0))
    refused(TypeError, r"velocity: expected a Quantity", velocity=None)
    refused(u.UnitsError, "got frequencies", velocity=np.arange(1, 7) * u.GHz)
    refused(ValueError, r"6 channels of ppv_cube \(n, v, y, x\), got 5", velocity=np.arange(5) * KMS)
    refused(ValueError, "ascending", velocity=np.arange(6)[::-1] * KMS)
    refused(ValueError, r"shape \(n, v, y, x\), got \(10, 16, 16\)", cube=cubes[:, 0])
    refused(ValueError, r"square images, got 16 x 6 pixels", cube=np.moveaxis(cubes, 1, -1))
    refused(ValueError, r"shape of ppv_cube \(9, 16, 16\), got \(10", cube=cubes[:9])
    holed = cubes.copy()
    holed[3, 1, 2, 4] = np.nan
    refused(ValueError, r"finite values in K, got nan in image 3 at \[v=1, y=2, x=4\]", cube=holed)
    maps = {"column_density": inputs["column_density"]}
    with pytest.raises(ValueError, match='velocity: expected line cubes "ppv_cube"'):
        PatchDataset.from_arrays(maps, targets, **choices)


# -- bad input ---------------------------------------------------------------------------------------


def without(gas, *, temperature=None, axes=()):
    return SimulationCube(
        gas.density,
        cell_size=gas.cell_size,
        temperature=temperature,
        velocity={axis: gas.velocity[axis] for axis in axes},
        name="bare",
    )


def test_clouds_that_cannot_shine(gas, tmp_path):
    """Refused before anything is written; a component that no face needs is not asked for."""
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"a temperature \[K\] .* got bare without one; build it with"):
        build(without(gas, axes=("z", "y")), folder / "set.zarr")
    with pytest.raises(
        ValueError, match=r'velocity along "y".*got bare, which carries "z"; .*lines_of_sight'
    ):
        build(without(gas, temperature=gas.temperature, axes=("z",)), folder / "set.zarr")
    with pytest.raises(ValueError, match="carries none"):
        build([gas, without(gas, temperature=gas.temperature)], folder / "set.zarr")
    assert list(folder.iterdir()) == []
    enough = without(gas, temperature=gas.temperature, axes=("z",))
    assert len(build(enough, folder / "z.zarr", replace(CONFIG, lines_of_sight=("z", "x")))) > 2


@pytest.mark.parametrize(("field", "value"), [("temperature", 0.0), ("temperature", np.nan), ("vz", np.inf)])
def test_bad_gas_in_a_file_is_found_before_anything_is_written(gas, tmp_path, field, value):
    arrays = {"temperature": gas.temperature.copy(), "vz": gas.velocity["z"].copy()}
    arrays[field][3, 4, 5] = value
    for name, values in arrays.items():
        np.save(tmp_path / f"{name}.npy", values)
    lazy = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in arrays}
    density = np.save(tmp_path / "n.npy", gas.density) or np.load(tmp_path / "n.npy", mmap_mode="r")
    cube = SimulationCube(
        density, cell_size=gas.cell_size, temperature=lazy["temperature"], velocity={"z": lazy["vz"]}
    )
    with pytest.raises(ValueError, match=r"finite values in cloud, got .*; mend these cells"):
        build(cube, tmp_path / "set.zarr", replace(CONFIG, lines_of_sight=("z",)))
    assert not list(tmp_path.glob("set*"))


def test_choices_that_contradict_each_other():
    with pytest.raises(ValueError, match="quantity of the line among quantities"):
        PatchConfig(emission=LINE)
    with pytest.raises(TypeError, match="emission: expected an EmissionConfig"):
        PatchConfig(quantities=QUANTITIES, emission={"line": "13CO"})
    with pytest.raises(ValueError, match="at least one density to learn"):
        PatchConfig(quantities=("column_density", "ppv_cube"))
    with pytest.raises(ValueError, match="did you mean 'ppv_cube'"):
        PatchConfig(quantities=("column_density", "mass_weighted_density", "ppv"))
    assert PatchConfig(quantities=QUANTITIES).line_emission == EmissionConfig()
    assert PatchConfig().line_emission is None


@pytest.mark.parametrize(
    ("choices", "match"),
    [
        ({"line": "13C0"}, "did you mean '13CO'"),
        ({"transition": "9-8"}, "transition"),
        ({"abundance": -1e-6}, "abundance: expected a finite number above 0"),
        ({"channel_width_km_s": 0.0}, "channel_width_km_s: expected a finite number above 0"),
        (
            {"velocity_min_km_s": 2.0, "velocity_max_km_s": 1.0},
            "more than velocity_min_km_s, got 1.0 and 2.0",
        ),
        ({"turbulent_dispersion_km_s": -0.1}, "turbulent_dispersion_km_s: expected a finite number from 0"),
        ({"turbulent_dispersion_km_s": "gradient"}, 'expected in_cell_velocity="constant"'),
        ({"in_cell_velocity": "lineal"}, "did you mean 'linear'"),
        ({"channel": "center"}, "did you mean 'centre'"),
        ({"background_K": -1.0}, "background_K"),
        ({"einstein_a_per_s": float("nan")}, "einstein_a_per_s"),
    ],
)
def test_bad_lines(choices, match):
    with pytest.raises(ValueError, match=match):
        EmissionConfig(**choices)
    for name, value in choices.items():
        if isinstance(value, float):
            with pytest.raises(TypeError, match=f"{name}: expected a number"):
                EmissionConfig(**{name: [value]})


def test_whole_numbers_make_the_same_line():
    whole, real = EmissionConfig(channel_width_km_s=1), EmissionConfig(channel_width_km_s=1.0)
    assert fingerprint(whole) == fingerprint(real)
    assert from_dict(EmissionConfig, to_dict(whole)) == real


def test_channels_that_cannot_be(gas, tmp_path):
    with pytest.raises(ValueError, match="channel_width_km_s: expected at most 4096 channels, got 480001"):
        build(gas, tmp_path / "set.zarr", replace(CONFIG, emission=replace(LINE, channel_width_km_s=1e-5)))
    beyond = EmissionConfig(velocity_min_km_s=50.0)
    with pytest.raises(ValueError, match="first channel below the last, got 50 and"):
        build(gas, tmp_path / "set.zarr", replace(CONFIG, emission=beyond))
    assert list(tmp_path.iterdir()) == []
