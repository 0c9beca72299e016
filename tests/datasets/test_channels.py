"""Channels of a training set: surroundings, places, temperature, scalars, estimators and the gas itself."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray
from astropy import units as u

from polaris_lab import PatchConfig, PatchDataset, SimulationCube, build_dataset, column_density
from polaris_lab.clouds import project
from polaris_lab.config import from_dict
from polaris_lab.datasets import channels
from polaris_lab.datasets.channels import context_window, gas_columns, mass_weighted_temperature
from polaris_lab.datasets.growing import GrowingDataset, partial_path
from polaris_lab.datasets.normalize import symmetry, symmetry_of
from polaris_lab.datasets.recipe import _decisive
from polaris_lab.units import PARSEC

INPUTS = ("temperature", "context_column_density", "context_mask", "position", "pixel_size", "depth")
QUANTITIES = ("column_density", "mass_weighted_density", *INPUTS, "density_cube")
CONFIG = PatchConfig(
    patch_size=12, validation_fraction=0.3, quantities=QUANTITIES, context_width=2, depth_cells=16
)


def build(cubes, path, config=CONFIG, **choices):
    return build_dataset(cubes, config, path, progress=False, **choices)


@pytest.fixture(scope="module")
def dataset(gas, tmp_path_factory):
    """Return a dataset with every channel; leave it as it is."""
    return build(gas, tmp_path_factory.mktemp("channels") / "gas.zarr")


# -- by hand -----------------------------------------------------------------------------------------


def test_temperature_by_hand():
    """Two cells on a line, 1 cm^-3 at 100 K and 3 cm^-3 at 20 K: (100 + 60) / 4 = 40 K, along each axis."""
    for axis, shape in {"z": (2, 1, 1), "y": (1, 2, 1), "x": (1, 1, 2)}.items():
        density, temperature = np.array([1.0, 3.0]).reshape(shape), np.array([100.0, 20.0]).reshape(shape)
        cube = SimulationCube(density, cell_size=1 * u.pc, temperature=temperature)
        assert mass_weighted_temperature(cube, axis=axis) == pytest.approx(40.0, rel=1e-7)
    with pytest.raises(ValueError, match="expected a temperature"):
        mass_weighted_temperature(SimulationCube(density, cell_size=1 * u.pc))


def test_context_by_hand():
    """A face of 6 x 8 pixels, patches of 2, a field of 4 in pixels of 2 x 2."""
    face = np.arange(48.0).reshape(6, 8)
    middle, mask = context_window(face, (2, 3), 2, 2)  # rows 1 to 4, columns 2 to 5
    assert np.array_equal(middle, [[14.5, 16.5], [30.5, 32.5]])
    assert np.array_equal(mask, np.full((2, 2), 0.25))
    corner, mask = context_window(face, (4, 6), 2, 2)  # moved back: rows 2 to 5, columns 4 to 7
    assert np.array_equal(corner, [[24.5, 26.5], [40.5, 42.5]])
    assert np.array_equal(mask, [[0, 0], [0, 1]])
    known = np.arange(8) >= 5  # of the columns 4 .. 7 the first is unknown
    part, _ = context_window(face, (4, 6), 2, 2, known[None])
    assert np.array_equal(part, [[25.0, 26.5], [41.0, 42.5]])
    none, _ = context_window(face, (4, 6), 2, 2, np.zeros((1, 8), bool))
    assert np.isnan(none).all()


def test_a_field_larger_than_the_face_is_blank_beyond_it():
    face = np.ones((4, 8))
    context, mask = context_window(face, (0, 0), 2, 4)  # a field of 8 x 8: rows -1 .. 6 or -3 .. 4 do not fit
    assert context.shape == (2, 2)
    assert np.isfinite(context).all()  # each coarse pixel of 4 x 4 still meets the face
    narrow, mask = context_window(np.ones((2, 8)), (0, 0), 2, 4)  # rows -3 .. 4
    assert np.array_equal(narrow, np.ones((2, 2)))
    assert mask.sum() * 4**2 == pytest.approx(2**2)  # in pixels of the face: the patch
    blank, mask = context_window(np.ones((2, 2)), (0, 0), 2, 8)  # 16 x 16 in pixels of 8
    assert mask.sum() * 8**2 == pytest.approx(2**2)
    assert np.isfinite(blank).sum() == np.count_nonzero(mask)


def test_the_mask_finds_the_patch_wherever_it_lies():
    """The mask adds up to the patch, and its centre of gravity is the patch's centre."""
    face = np.ones((40, 40))
    for origin in [(0, 0), (3, 17), (28, 28), (13, 1)]:
        _, mask = context_window(face, origin, 8, 3)
        assert mask.sum() * 9 == pytest.approx(64)
        start = [min(max(first - 8, 0), 16) for first in origin]
        centres = (np.arange(8) + 0.5) * 3
        for axis in (0, 1):
            weight = mask.sum(axis=1 - axis)
            assert (weight * centres).sum() / weight.sum() + start[axis] == pytest.approx(
                origin[axis] + 4, abs=0.25
            )  # a coarse pixel cut by the edge counts at its centre


def test_gas_in_layers_keeps_the_column():
    """Layers are means of cells: the column stays, and the first layer is the first along the axis."""
    density = np.arange(1.0, 1 + 4 * 6 * 8).reshape(4, 6, 8)
    cube = SimulationCube(density, cell_size=0.1 * u.pc)
    assert np.array_equal(gas_columns(cube, "z", (1, 2), 3, None), density[:, 1:4, 2:5])
    assert np.array_equal(gas_columns(cube, "y", (1, 2), 3, 2)[0], density[1:4, 0:3, 2:5].mean(axis=1))
    for axis, depth in {"z": 4, "y": 6, "x": 8}.items():
        layers = gas_columns(cube, axis, (0, 1), 4, 2)
        column = layers.astype(np.float64).sum(axis=0) * (depth // 2) * 0.1 * PARSEC
        assert column == pytest.approx(column_density(cube, axis=axis)[0:4, 1:5], rel=1e-6)


# -- stored ------------------------------------------------------------------------------------------


def test_what_is_stored(gas, dataset):
    assert dataset.inputs == ("column_density", *INPUTS)
    assert dataset.targets == ("mass_weighted_density", "density_cube")
    count = len(dataset)
    shapes = {name: dataset.read(name).shape for name in (*dataset.inputs, *dataset.targets)}
    assert shapes["position"] == (count, 2, 12, 12)
    assert shapes["density_cube"] == (count, 16, 12, 12)
    assert shapes["pixel_size"] == shapes["depth"] == (count,)
    assert all(
        shapes[name] == (count, 12, 12) for name in ("temperature", "context_mask", "context_column_density")
    )
    assert [dataset.unit(name) for name in INPUTS] == ["K", "cm-2", "1", "pc", "pc", "pc"]
    assert dataset.read("pixel_size") == pytest.approx(0.05)
    assert dataset.read("depth") == pytest.approx(48 * 0.05)
    with xarray.open_zarr(dataset.path, consolidated=False) as opened:
        assert opened["density_cube"].dims == ("patch", "layer", "y", "x")
        assert opened["depth"].dims == ("patch",)
        assert opened["temperature"].attrs["units"] == "K"


def test_all_channels_are_cut_with_the_window_of_the_maps(gas, dataset):
    for axis in ("z", "y"):
        heat = mass_weighted_temperature(gas, axis=axis)
        for number in np.flatnonzero(dataset.table["line_of_sight"] == axis):
            row, column = dataset.table["origin"][number]
            window = heat[row : row + 12, column : column + 12].astype(np.float32)
            assert np.array_equal(dataset.read("temperature", [number])[0], window)
            place = dataset.read("position", [number])[0]
            assert place[:, 0, 0] == pytest.approx(((np.array([row, column]) + 0.5) - 24) * 0.05, abs=1e-6)
            assert np.allclose(np.diff(place[0], axis=0), 0.05, atol=1e-6)
            assert np.allclose(np.diff(place[1], axis=1), 0.05, atol=1e-6)


def test_the_gas_closes_the_column_and_gives_the_target(dataset):
    layer_cm = 48 // 16 * 0.05 * PARSEC
    gas = dataset.read("density_cube").astype(np.float64)
    column = dataset.read("column_density").astype(np.float64)
    assert np.abs(gas.sum(axis=1) * layer_cm / column - 1).max() < 1e-6
    coarse = (gas**2).sum(axis=1) / gas.sum(axis=1)  # of layers: below that of cells
    assert (coarse <= dataset.read("mass_weighted_density") * (1 + 1e-6)).all()


def test_no_gas_of_the_other_side_enters(gas, tmp_path):
    """Change the gas in the slab: contexts of training patches stay as they are, bit for bit, and vice versa."""
    first = build(gas, tmp_path / "first.zarr", replace(CONFIG, slab_position=0.0))
    slab = first.manifest["selection"]["gas"]["slab"]
    layers = slice(slab["start"], slab["stop"])

    def changed(where, name):
        density = np.array(gas.density)
        density[:, :, where] *= 1.001
        cube = SimulationCube(density, cell_size=gas.cell_size, temperature=gas.temperature, name="gas")
        return build(cube, tmp_path / name, replace(CONFIG, slab_position=0.0))

    rest = np.ones(48, bool)
    rest[layers] = False
    for side, where in (("training", layers), ("validation", rest)):
        other = changed(where, f"{side}.zarr")
        rows = first.indices(side)
        assert np.array_equal(other.table["origin"], first.table["origin"])
        for name in ("context_column_density", "temperature", "column_density"):
            before, after = first.read(name, rows), other.read(name, rows)
            assert np.array_equal(before, after, equal_nan=True), name
    context = first.read("context_column_density", first.indices("validation"))
    assert np.isnan(context).any()
    assert np.isfinite(context).any(axis=(1, 2)).all()


def test_building_resumes_with_every_channel(gas, dataset, tmp_path, monkeypatch):
    append = GrowingDataset.append

    def die(self, arrays, row):
        if len(self.records) == 3:
            raise KeyboardInterrupt
        append(self, arrays, row)

    path = tmp_path / "gas.zarr"
    monkeypatch.setattr(GrowingDataset, "append", die)
    with pytest.raises(KeyboardInterrupt):
        build(gas, path)
    assert partial_path(path).exists()
    monkeypatch.undo()
    again = build(gas, path)
    assert again.fingerprint == dataset.fingerprint
    for name in (*dataset.inputs, *dataset.targets):
        assert np.array_equal(again.read(name), dataset.read(name), equal_nan=True)
    copy = again.save(tmp_path / "copy.zarr")
    assert np.array_equal(copy.read("density_cube"), again.read("density_cube"))
    assert from_dict(PatchConfig, again.manifest["config"]) == CONFIG


def test_older_recipes_keep_their_fingerprint():
    """Choices that came later do not enter it while they are left alone."""
    assert not {"learned", "context_width", "depth_cells"} & set(_decisive(PatchConfig()))
    assert _decisive(CONFIG)["context_width"] == 2


def test_number_of_components_as_a_target():
    names = ("column_density", "number_of_components")
    config = PatchConfig(quantities=names, learned=("number_of_components",))
    assert (config.inputs, config.targets) == (names[:1], names[1:])
    assert PatchConfig(quantities=(*names, "max_density")).targets == ("max_density",)


# -- estimators --------------------------------------------------------------------------------------


def test_an_estimator_sees_its_own_side(gas, tmp_path, monkeypatch):
    """Its map is made once for each side of the slab, and cut with the window of the maps."""
    seen = []

    def fit_estimator(name, column_density, target, *, pixel_size_pc):
        def estimator(column_density, *, pixel_size_pc):
            seen.append((name, column_density.shape, pixel_size_pc))
            return column_density / column_density.mean()  # not local: it shows what was given

        return estimator

    monkeypatch.setitem(sys.modules, "polaris_lab.estimators", SimpleNamespace(fit_estimator=fit_estimator))
    quantities = ("column_density", "mass_weighted_density", "aviator_density")
    config = replace(
        CONFIG, quantities=quantities, depth_cells=None, slab_position=0.0, lines_of_sight=("z",)
    )
    dataset = build(gas, tmp_path / "estimated.zarr", config)
    slab = dataset.manifest["selection"]["gas"]["slab"]
    thickness = slab["stop"] - slab["start"]
    assert sorted(shape for _, shape, _ in seen) == [(48, thickness), (48, 48 - thickness)]
    assert {(name, size) for name, _, size in seen} == {("aviator_background", 0.05)}
    column = project(gas, axis="z").column_density
    for side, part in (("training", column[:, slab["stop"] :]), ("validation", column[:, : slab["stop"]])):
        rows = dataset.indices(side)
        expected = dataset.read("column_density", rows) / part.mean()
        assert np.allclose(dataset.read("aviator_density", rows), expected, rtol=1e-5)


@pytest.mark.parametrize("name", list(channels.ESTIMATOR_CHANNELS))
def test_the_real_estimators_as_channels(gas, tmp_path, name):
    if not hasattr(pytest.importorskip("polaris_lab.estimators"), "fit_estimator"):
        pytest.skip("there are no such estimators yet")
    config = replace(CONFIG, quantities=("column_density", "mass_weighted_density", name), depth_cells=None,
                     lines_of_sight=("z",), split_by="shuffle")  # fmt: skip
    dataset = build(gas, tmp_path / "real.zarr", config)
    ratio = np.log10(dataset.read(name) / dataset.read("mass_weighted_density"))
    assert np.isfinite(ratio).all()
    assert np.abs(np.median(ratio)) < 1.0  # the right unit: a factor of ten would be another quantity


# -- symmetries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(8))
def test_positions_turn_with_the_map(number):
    """Turn a whole face about its centre: the positions of the turned face are what positions are."""
    place = channels.position((6, 6), (0, 0), 6, 0.5)
    assert np.allclose(symmetry_of("position", place, number), place)
    part = channels.position((6, 6), (0, 1), 3, 0.5)
    turned = symmetry_of("position", part, number)
    radius = np.hypot(*part)
    assert np.allclose(np.hypot(*turned), symmetry(radius, number))
    assert np.allclose(np.abs(np.diff(turned[0], axis=0)), 0.5)  # still rows along rows


def test_a_vector_needs_two_components():
    with pytest.raises(ValueError, match=r"position: expected two components \(..., 2, n, n\)"):
        symmetry_of("position", np.zeros((3, 4, 4)), 1)


# -- bad input ---------------------------------------------------------------------------------------


def test_bad_choices():
    for error, match, changes in [
        (ValueError, "quantities: unknown 'temprature'", {"quantities": ("column_density", "temprature")}),
        (ValueError, "context_width: expected at least 2", {"context_width": 1}),
        (TypeError, "context_width: expected a whole number", {"context_width": 2.5}),
        (ValueError, "depth_cells: expected at least 1", {"depth_cells": 0}),
        (ValueError, 'depth_cells: expected "density_cube"', {"quantities": QUANTITIES[:2]}),
        (ValueError, "learned: unknown 'column_density'", {"learned": ("column_density",)}),
        (ValueError, "learned: expected names out of", {"learned": ("number_of_components",)}),
        (ValueError, "at least one density to learn", {"quantities": ("column_density", "temperature"),
                                                       "depth_cells": None}),
    ]:  # fmt: skip
        with pytest.raises(error, match=match):
            replace(CONFIG, **changes)


def test_clouds_that_lack_what_a_channel_needs(gas, tmp_path):
    bare = SimulationCube(gas.density, cell_size=gas.cell_size, name="bare")
    with pytest.raises(ValueError, match='"temperature", got bare without one'):
        build(bare, tmp_path / "bare.zarr")
    with pytest.raises(ValueError, match=r"expected a divisor of the 48 cells of gas along z, got 7; .* 6"):
        build(gas, tmp_path / "seven.zarr", replace(CONFIG, depth_cells=7))
    flat = SimulationCube(
        gas.density[:36], cell_size=gas.cell_size, temperature=gas.temperature[:36], name="flat"
    )
    with pytest.raises(ValueError, match="expected one depth for density_cube, got 36 and 48 cells"):
        build(flat, tmp_path / "flat.zarr", replace(CONFIG, depth_cells=None))
    cold = np.array(gas.temperature)
    cold[3, 4, 5] = np.nan
    with pytest.raises(ValueError, match="temperature: expected"):
        build(
            SimulationCube(gas.density, cell_size=gas.cell_size, temperature=cold, name="cold"),
            tmp_path / "c.zarr",
        )


# -- one's own arrays --------------------------------------------------------------------------------


def test_own_channels_and_missing_images(images, tmp_path):
    inputs, targets = images
    rng = np.random.default_rng(0)
    context = rng.lognormal(50.0, 0.5, (10, 16, 16))
    context[:, :3] = np.nan  # beyond the map
    line = rng.normal(size=(10, 16, 16))
    line[4] = np.nan  # nobody observed it
    own = {"depth": np.array([np.nan, *range(1, 10)]), **inputs, "integrated_intensity": line,
           "context_column_density": context, "position": rng.normal(size=(10, 2, 16, 16))}  # fmt: skip
    gas = np.ones((10, 5, 16, 16))
    choices = {"pixel_size": 0.05 * u.pc, "split": 0.2}
    dataset = PatchDataset.from_arrays(own, {**targets, "density_cube": gas}, **choices)
    assert dataset.patch_size == 16
    again = dataset.save(tmp_path / "own.zarr")
    for name, values in own.items():
        assert np.array_equal(again.read(name), values.astype(np.float32), equal_nan=True)
    assert again.read("density_cube").shape == gas.shape

    def refused(match, **changes):
        with pytest.raises(ValueError, match=match):
            PatchDataset.from_arrays({**own, **changes}, targets, **choices)

    holed = line.copy()
    holed[2, 3, 4] = np.nan
    refused(r"integrated_intensity: expected finite values .* got nan in image 2", integrated_intensity=holed)
    refused(r"depth: expected positive finite values in pc, got 0.0 in image 0 \(", depth=np.zeros(10))
    refused(r"depth: expected the shape of column_density \(10,\), got \(9,\)", depth=np.ones(9))
    refused(r"shape \(n, component, y, x\)", position=line)
    column = inputs["column_density"].copy()
    column[1] = np.nan
    refused("column_density: expected positive finite", column_density=column)
