"""Patches of a cloud: fates, splits and reproducibility."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

from polaris_lab import PatchConfig, SimulationCube, project, propose_patches
from polaris_lab.datasets.propose import _quantiles, acceptance
from polaris_lab.datasets.scoring import acceptance_probability, score_windows
from polaris_lab.datasets.split import face_axes


@pytest.fixture(scope="module")
def config():
    return PatchConfig(patch_size=16)


@pytest.fixture(scope="module")
def proposals(cube, config):
    return propose_patches(cube, config)


def test_every_candidate_has_one_fate(proposals):
    counts = proposals.counts()
    assert sum(counts.values()) == len(proposals.scores)
    assert counts["accepted"] == len(proposals) == len(proposals.accepted["score"])
    assert counts["too close"] > 0
    assert counts["across the slab"] > 0
    assert f"{counts['accepted']} accepted" in proposals.summary()
    assert f"too close {counts['too close']}" in proposals.summary()


def test_it_fills_the_faces_and_says_so(proposals):
    """96 cells hold 6 patches of 16: 36 a face, less those across the slab."""
    assert len(proposals) >= 2 * 30
    assert len(proposals.notes) == 2
    assert "line of sight z: random placement jammed" in proposals.summary()
    assert "packed anew" in repr(proposals)
    assert proposals.packed_faces == ("z", "y")


def test_a_face_that_is_not_packed_is_not_said_to_be(cube):
    alone = propose_patches(cube, PatchConfig(patch_size=16, patches_per_face=2, split_by="shuffle"))
    assert alone.packed_faces == ()


def test_scores_are_those_of_the_maps(proposals, cube):
    for axis in ("z", "y"):
        projection = project(cube, axis=axis)
        maps = score_windows(projection.column_density, projection.mass_weighted_density, 16)
        rows = proposals.table["line_of_sight"] == axis
        at = tuple(proposals.table["origin"][rows].T)
        assert np.array_equal(proposals.scores[rows], maps.total[at])
    expected = acceptance_probability(proposals.scores, steepness=2, offset=1)
    assert np.allclose(proposals.table["probability"], expected)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_no_gas_is_on_both_sides_of_a_slab(cube, axis):
    """Mark every cell that a patch sees: training and validation share none."""
    proposals = propose_patches(cube, PatchConfig(patch_size=16, slab_axis=axis))
    seen = {side: np.zeros(cube.shape, bool) for side in ("training", "validation")}
    rows = proposals.accepted
    assert axis not in rows["line_of_sight"]
    for line_of_sight, (row, column), split in zip(
        rows["line_of_sight"], rows["origin"], rows["split"], strict=True
    ):
        window = {line_of_sight: slice(None)}
        window.update(
            zip(
                face_axes(str(line_of_sight)),
                (slice(row, row + 16), slice(column, column + 16)),
                strict=True,
            )
        )
        seen[str(split)][window["z"], window["y"], window["x"]] = True
    assert seen["training"].any()
    assert seen["validation"].any()
    assert not (seen["training"] & seen["validation"]).any()


def test_patches_are_cut_where_the_table_says(proposals, cube):
    patches = proposals.patches("mass_weighted_density")
    rows = proposals.accepted
    assert patches.shape == (len(proposals), 16, 16)
    for number in (0, len(proposals) - 1):
        face = project(cube, axis=str(rows["line_of_sight"][number])).mass_weighted_density
        row, column = rows["origin"][number]
        assert np.array_equal(patches[number], face[row : row + 16, column : column + 16].astype(np.float32))


def test_column_density_is_in_cgs(make_cube):
    """Trap: a cell length in parsec gives pc cm^-3, 3e18 times too little."""
    cube = SimulationCube(np.full((32, 32, 32), 100.0), cell_size=0.1 * u.pc)
    config = PatchConfig(patch_size=8, split_by="shuffle", low_density_fraction=1.0)
    patches = propose_patches(cube, config).patches("column_density")
    assert patches == pytest.approx(100 * 32 * 0.1 * 3.0857e18, rel=1e-4)


def test_the_same_seed_and_name_give_the_same(cube, make_cube, config):
    first, second = propose_patches(cube, config), propose_patches(cube, config)
    for column, values in first.table.items():
        assert np.array_equal(values, second.table[column])
    other = propose_patches(cube, PatchConfig(patch_size=16, seed=1))
    assert not np.array_equal(other.table["origin"][:9], first.table["origin"][:9])
    renamed = propose_patches(make_cube(name="mist"), config)
    assert not np.array_equal(renamed.table["origin"][:9], first.table["origin"][:9])


def test_empty_margins_are_left_out(make_cube):
    """A cloud in the middle of a nearly empty box: no patch consists of the margin."""
    density = np.full((96, 96, 96), 1.0)
    density[24:72, 24:72, 24:72] = make_cube(shape=(48, 48, 48)).density
    cube = SimulationCube(density, cell_size=0.05 * u.pc)
    config = PatchConfig(patch_size=16, split_by="shuffle")
    proposals = propose_patches(cube, config)
    assert proposals.counts()["too diffuse"] > 0
    rows = proposals.accepted
    assert (rows["diffuse_fraction"] <= 0.5).all()
    assert ((rows["origin"] > 24 - 16) & (rows["origin"] < 72)).all()
    everything = propose_patches(
        cube, PatchConfig(patch_size=16, split_by="shuffle", low_density_fraction=1.0)
    )
    assert len(everything) > len(proposals)


def test_quantiles_do_not_depend_on_the_scores_themselves(cube):
    """Ten times the weights is ten times the score: absolute acceptance changes, by quantile nothing does."""
    light = {"weights": (1.0, 0.5, 5.0)}
    heavy = {"weights": (10.0, 5.0, 50.0)}
    choices = {"patch_size": 16, "split_by": "shuffle"}
    by_quantile = [
        propose_patches(cube, PatchConfig.by_quantile(**choices, **part)) for part in (light, heavy)
    ]
    assert np.array_equal(by_quantile[0].table["fate"], by_quantile[1].table["fate"])
    absolute = [propose_patches(cube, PatchConfig(**choices, **part)) for part in (light, heavy)]
    assert (absolute[1].table["probability"][:50] > absolute[0].table["probability"][:50]).all()


def test_quantile_of_the_median_is_taken_every_second_time(cube):
    proposals = propose_patches(cube, PatchConfig.by_quantile(patch_size=16))
    total = np.concatenate([face.scores.total.ravel() for face in proposals.faces])
    probability = acceptance(np.quantile(total, [0.0, 0.5, 1.0]), proposals.config, proposals.score_quantiles)
    assert probability == pytest.approx([0.0293, 0.5, 0.9707], abs=1e-3)


def test_a_selective_filter_prefers_rich_patches(cube):
    choices = {"patch_size": 16, "split_by": "shuffle", "patches_per_face": 6}
    picky = propose_patches(cube, PatchConfig.by_quantile(steepness=30, offset=0.8, **choices))
    anything = propose_patches(cube, PatchConfig(steepness=0, **choices))
    assert picky.accepted["quantile"].mean() > 0.75
    assert 0.2 < anything.accepted["quantile"].mean() < 0.7
    assert len(picky) == len(anything) == 18


def test_shuffle_and_held_out(cube):
    shuffled = propose_patches(cube, PatchConfig(patch_size=16, split_by="shuffle"))
    share = (shuffled.accepted["split"] == "validation").mean()
    assert share == pytest.approx(0.2, abs=0.01)
    assert set(shuffled.accepted["line_of_sight"]) == {"x", "y", "z"}
    config = PatchConfig(patch_size=16, split_by="cloud")
    assert set(propose_patches(cube, config).accepted["split"]) == {"training"}
    assert set(propose_patches(cube, config, held_out=True).accepted["split"]) == {"validation"}


@pytest.mark.parametrize(
    "changes",
    [
        {"steepness": 9.0, "offset": 0.2},
        {"patch_size": 24, "validation_fraction": 0.3},
        {"weights": (0.0, 1.0, 0.0)},
        {"low_column_density": 0.8},
        {"weights": (2.0, 0.0, 1.0), "low_column_density": 0.6, "steepness": 4.0},
    ],
)
def test_reconsidering_is_proposing_again(cube, proposals, changes):
    again = proposals.reconsider(**changes)
    afresh = propose_patches(cube, again.config)
    for column, values in afresh.table.items():
        assert np.array_equal(values, again.table[column])


def test_a_slider_that_comes_back_finds_what_was_there(proposals):
    """Scores weighed anew are weighed from their parts, not from what a former weight left of them."""
    there_and_back = proposals.reconsider(weights=(0.0, 0.0, 3.0)).reconsider(
        weights=proposals.config.weights
    )
    assert np.array_equal(there_and_back.scores, proposals.scores)
    assert np.array_equal(there_and_back.score_quantiles, proposals.score_quantiles)


@pytest.mark.parametrize("length", [1, 2, 1000, 4321])
def test_quantiles_are_those_of_numpy(length):
    values = np.random.default_rng(0).lognormal(size=length)
    assert _quantiles(values, 1001) == pytest.approx(np.quantile(values, np.linspace(0, 1, 1001)), rel=1e-12)
    assert _quantiles(values, 1001)[[0, -1]].tolist() == [values.min(), values.max()]


def test_every_candidate_has_its_reason(cube):
    config = PatchConfig.by_quantile(patch_size=16, low_density_fraction=0.2, low_column_density=0.6)
    proposals = propose_patches(cube, config)
    words = {
        "accepted": "kept",
        "too close": "overlaps",
        "too diffuse": "too diffuse",
        "across the slab": "across the slab",
        "score": "score refused",
        "repacked": "jammed",
    }
    fates = proposals.table["fate"].tolist()
    assert set(fates) >= {"accepted", "too close", "too diffuse", "across the slab", "score"}
    for number, fate in enumerate(fates):
        assert proposals.reason(number).startswith(words[fate])
    diffuse = fates.index("too diffuse")
    assert f"{100 * proposals.table['diffuse_fraction'][diffuse]:.3g} %" in proposals.reason(diffuse)
    assert "the 20 % allowed" in proposals.reason(diffuse)
    for number in (-1, len(fates), True):
        with pytest.raises(ValueError, match=f"expected a candidate from 0 to {len(fates) - 1}"):
            proposals.reason(number)


def test_reconsidering_needs_the_face(proposals):
    with pytest.raises(ValueError, match="call propose_patches with the cube"):
        proposals.reconsider(split_by="shuffle")


def test_boxes_need_not_be_cubes(make_cube):
    cube = make_cube(shape=(32, 48, 96))
    proposals = propose_patches(cube, PatchConfig(patch_size=16))
    assert proposals.face("z").shape == (48, 96)
    assert proposals.face("y").shape == (32, 96)
    assert len(proposals) > 10


def test_html_counts_the_fates(proposals):
    assert "<th style" in proposals._repr_html_()
    assert str(proposals.counts()["too close"]) in proposals._repr_html_()


# -- bad input ---------------------------------------------------------------------------------------


def test_a_patch_larger_than_the_cube(cube, make_cube):
    with pytest.raises(ValueError, match="got 128 pixels on a face of 96 x 96"):
        propose_patches(cube, PatchConfig(patch_size=128, split_by="shuffle"))
    with pytest.raises(ValueError, match=r"line of sight y\); take patch_size <= 32"):
        propose_patches(make_cube(shape=(32, 64, 64)), PatchConfig(patch_size=48, split_by="shuffle"))


def test_a_slab_thinner_than_a_patch(cube):
    with pytest.raises(ValueError, match=r"a slab of at least one patch, 32 cells, got 0.2 of 96 cells"):
        propose_patches(cube, PatchConfig(patch_size=32))


def test_other_things_than_cubes(cube):
    with pytest.raises(TypeError, match="cube: expected a SimulationCube, got ndarray"):
        propose_patches(np.ones((9, 9, 9)))
    with pytest.raises(TypeError, match="config: expected a PatchConfig, got dict"):
        propose_patches(cube, {"patch_size": 16})
    with pytest.raises(ValueError, match="unknown quantity 'max_density'"):
        propose_patches(cube, PatchConfig(patch_size=16)).patches("max_density")


def test_cells_behind_are_those_that_patches_project(cube, proposals):
    """Zeroing the gas behind the training patches empties their column density and that of no validation patch."""
    training, validation = (proposals.cells_behind(split) for split in ("training", "validation"))
    assert not (training & validation).any()
    without = np.where(training, 1e-9, cube.density[...]).astype(np.float32)
    emptied = project(SimulationCube(without, cell_size=cube.cell_size), axis="z").column_density
    whole = project(cube, axis="z").column_density
    rows = proposals.accepted
    for axis, (row, column), split in zip(rows["line_of_sight"], rows["origin"], rows["split"], strict=True):
        if axis == "z":
            window = np.s_[row : row + 16, column : column + 16]
            share = emptied[window] / whole[window]
            assert (share < 1e-6).all() if split == "training" else np.allclose(share, 1, rtol=1e-5)


def test_a_shuffled_split_shares_gas(cube):
    shuffled = propose_patches(cube, PatchConfig(patch_size=16, split_by="shuffle"))
    assert (shuffled.cells_behind("training") & shuffled.cells_behind("validation")).any()


def test_cells_behind_refuses_another_split(proposals):
    with pytest.raises(ValueError, match="split: unknown split 'test'"):
        proposals.cells_behind("test")
