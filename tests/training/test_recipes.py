"""Recipes of pretrained networks: what they are shown, that each step is kept, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from astropy import units as u

from polaris_lab.clouds.projection import project
from polaris_lab.clouds.simulation import SimulationCube
from polaris_lab.datasets import PatchDataset
from polaris_lab.training import Run, predict
from polaris_lab.training.recipes import load_recipe, recipe_names
from polaris_lab.training.recipes.choices import CloudChoices, CloudGroup, PatchChoices, Recipe, Refinement
from polaris_lab.training.recipes.gas import CELL_PC, boxes, faces, make_faces
from polaris_lab.training.recipes.patches import draw_scene, make_patches, observe
from polaris_lab.training.recipes.shipping import halved, pretrained, ship
from polaris_lab.training.recipes.work import train_run
from polaris_lab.training.scope import FILE, Scope, length_ratio, scope_of

TINY = Recipe(
    name="tiny",
    description="a recipe of seconds",
    clouds=CloudChoices(seed=5, groups=(CloudGroup("copula", 16, 2, 1),), cores_per_128=64),
    patches=PatchChoices(seed=1, size=16, training=12, validation=8),
    preset={
        "name": "context_unet", "inputs": ["column_density", "pixel_size", "depth"], "layers": 1, "base_filters": 2,
        "attention": False, "head": "gaussian",
    },
    training={"epochs": 2, "batch_size": 4, "input_dropout": 0.5, "device": "cpu"},
    refinement=Refinement(
        PatchChoices(seed=2, size=16, training=8, validation=8, clean=1.0), {"epochs": 1, "batch_size": 4, "device": "cpu"}
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("recipe")


@pytest.fixture(scope="module")
def shipped(work):
    """Return a run of the tiny recipe, as it is shipped."""
    return ship(train_run(TINY, work, workers=1, progress=False), TINY, work / "tiny")


@pytest.fixture(scope="module")
def files(work):
    return make_faces(TINY.clouds, work / "clouds", workers=1)


def test_faces_hold_the_projections_of_their_box():
    """Two half boxes together are the box: N, <n>_M and n_max of its projection."""
    density = np.random.default_rng(0).lognormal(5, 1, (16, 16, 16)).astype(np.float32)
    cube = SimulationCube(density, cell_size=CELL_PC * u.pc)
    found = faces(density)
    for number, axis in enumerate("zyx"):
        true, (column, square, peak) = project(cube, axis=axis), np.moveaxis(found[number], 1, 0)
        column, square = column.sum(axis=0), square.sum(axis=0)
        np.testing.assert_allclose(column, true.column_density, rtol=1e-5)
        np.testing.assert_allclose(square * 1e20 / column, true.mass_weighted_density, rtol=1e-5)
        np.testing.assert_allclose(peak.max(axis=0), true.max_density)


def test_boxes_of_training_and_validation_are_others_and_not_those_of_the_benchmarks():
    recipe = load_recipe("default")
    numbers = {
        part: {(b.kind, b.number) for b in boxes(recipe.clouds, part)} for part in ("training", "validation")
    }
    assert not numbers["training"] & numbers["validation"]
    assert recipe.clouds.seed != 0  # the seed of common_work and of clouds.suite.ensemble


def test_cores_are_in_the_second_version_only(files):
    plain, cored = np.load(files["training"][0][1])
    assert (cored[:, :, 0] >= plain[:, :, 0] * (1 - 1e-5)).all()  # cores add gas
    assert (cored[:, :, 2].max() / plain[:, :, 2].max()) > 2


def test_made_clouds_are_not_made_again(files, work, monkeypatch):
    from polaris_lab.training.recipes import gas

    monkeypatch.setattr(gas, "_make", lambda task: pytest.fail("a cloud that is there was made again"))
    assert make_faces(TINY.clouds, work / "clouds", workers=1) == files


def test_patches_are_physical(files):
    """<n>_M is between N/L and n_max; without a beam the column is the true one."""
    clean = dataclasses.replace(TINY.patches, clean=1.0)
    loaded = [(box, np.load(path)) for box, path in files["training"]]
    for number in range(12):
        scene = draw_scene(np.random.default_rng(number), loaded, number % 2, clean)
        mean = scene.column / (scene.depth_pixels * clean.pixel_size_pc * u.pc.to(u.cm))
        assert (scene.density >= mean * (1 - 1e-4)).all()
        assert (scene.peak >= scene.density * (1 - 1e-5)).all()
        assert scene.beam_pixels == 0


def test_patches_are_the_same_for_the_same_seed(files):
    first, second = (make_patches(files, TINY.patches) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert make_patches(files, dataclasses.replace(TINY.patches, seed=2)).fingerprint != first.fingerprint
    clouds = {part: set(first.table["cloud"][first.indices(part)]) for part in ("training", "validation")}
    assert not clouds["training"] & clouds["validation"]


def test_noise_and_zero_level_are_as_large_as_asked_for():
    column = np.full((64, 64), 1e22)
    loud = PatchChoices(seed=0, size=64, training=1, validation=1, largest_noise=0.1, largest_zero_level=0.2)
    seen = [observe(np.random.default_rng(k), column, 2.0, loud) / 1e22 for k in range(40)]
    assert all(0.004 < s.std() < 0.11 for s in seen)
    shifts = np.abs([np.median(s) - 1 for s in seen])
    assert 0.1 < shifts.max() < 0.22
    assert (shifts < 0.01).sum() > 10  # half of them have none


def test_a_second_call_trains_nothing(shipped, work, monkeypatch):
    monkeypatch.setattr(Run, "train", lambda *_, **__: pytest.fail("a finished run was trained again"))
    assert train_run(TINY, work, workers=1, progress=False).state == "finished"


def test_a_killed_training_goes_on_where_it_was(shipped, work, tmp_path):
    """The same weights come out, whether or not it was stopped between two epochs."""
    import shutil

    for part in work.iterdir():
        if part.name.startswith(("clouds", "patches")):
            shutil.copytree(part, tmp_path / part.name)

    def one_epoch(run, **_):
        next(iter(run.epochs()))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "train", one_epoch)
        with pytest.raises(KeyboardInterrupt):
            train_run(TINY, tmp_path, workers=1, progress=False)
    again = ship(train_run(TINY, tmp_path, workers=1, progress=False), TINY, tmp_path / "tiny")
    assert again.fingerprint == shipped.fingerprint
    for name, values in shipped.model().state_dict().items():
        assert torch.equal(again.model().state_dict()[name], values), name


def test_what_is_shipped_opens_without_its_dataset(shipped):
    run = Run.open(shipped.path)
    assert run.state == "finished"
    assert run.description.dataset.path == "patches.zarr"  # no path of the machine that made it
    assert {"metrics", "calibration", "training_ranges"} <= set(run.validation())
    assert scope_of(run) == Scope((0.01, 0.2), (0.05, 0.2), 4.0, TINY.fingerprint)
    half = [p for p in run.model().parameters() if p.ndim > 1]
    assert half
    assert all(torch.equal(p, p.half().float()) for p in half)


def test_a_refinement_begins_with_the_weights_of_the_first_training(shipped, work):
    first, second = sorted(work.glob("run_*"))
    start = Run.open(second).description.start_from
    assert start["fingerprint"] == Run.open(first).fingerprint
    assert (shipped.path / "history_first.jsonl").read_text() == (first / "history.jsonl").read_text()
    assert (shipped.path / "history.jsonl").read_text() == (second / "history.jsonl").read_text()
    assert shipped.description.start_from["path"] == first.name  # no path of the machine that made it


def test_an_unfinished_run_is_not_shipped(work, shipped, tmp_path):
    with pytest.raises(ValueError, match="finished"):
        ship(
            Run.create(tmp_path / "new", shipped.blueprint, _patches(work), shipped.config),
            TINY,
            tmp_path / "out",
        )


def test_halved_weights_keep_their_constants():
    weights = {"kernel": torch.full((2, 2), 1 / 3), "offset": torch.tensor(-18.1234567)}
    found = halved(weights)
    assert found["kernel"].dtype == torch.float16
    assert torch.equal(found["offset"], weights["offset"])
    with pytest.raises(ValueError, match="kernel"):
        halved({"kernel": torch.full((2, 2), 1e6)})


def test_density_falls_as_lengths_grow(shipped, work):
    """Pixels, depth and all lengths twice as long, columns kept: exactly half of the density."""
    data = _patches(work)
    rows = data.indices("validation")
    column, depth = data.read("column_density", rows), data.read("depth", rows)

    def at(scale):
        pixel = data.pixel_size_pc * scale
        twice = PatchDataset.from_arrays(
            {"column_density": column, "depth": depth * scale, "pixel_size": np.full(len(rows), pixel)},
            {"mass_weighted_density": column / 1e18},
            pixel_size=pixel * u.pc, split=["validation"] * len(rows),
        )  # fmt: skip
        return predict(shipped, twice).density

    np.testing.assert_allclose(at(2.0) * 2.0, at(1.0), rtol=1e-5)


def test_pixels_outside_of_the_scope_are_refused(shipped):
    assert length_ratio(shipped, 0.1) == 0.5
    with pytest.raises(ValueError, match=r"0\.01 to 0\.2 pc"):
        length_ratio(shipped, 0.5)


def test_a_run_without_a_scope_counts_in_its_own_pixels(shipped, tmp_path):
    import shutil

    shutil.copytree(shipped.path, tmp_path / "plain")
    (tmp_path / "plain" / FILE).unlink()
    assert length_ratio(Run.open(tmp_path / "plain"), 0.5) == 1.0


def test_a_scope_says_where_it_extrapolates():
    scope = Scope((0.01, 0.2), (0.05, 0.2), 4.0)
    assert scope.extrapolation(0.1) == ""
    assert "EXTRAPOLATED" in scope.extrapolation(0.02)
    with pytest.raises(ValueError, match="resolved_pc"):
        Scope((0.01, 0.2), (0.2, 0.05), 4.0)
    with pytest.raises(ValueError, match="widest_beam_pixels"):
        Scope((0.01, 0.2), (0.05, 0.2), 0.5)


def test_recipes_by_name():
    assert "default" in recipe_names()
    with pytest.raises(ValueError, match="did you mean 'default'"):
        load_recipe("defualt")
    with pytest.raises(FileNotFoundError):
        load_recipe("nowhere.json")
    with pytest.raises(ValueError, match="unknown name"):
        pretrained("nothing")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"clouds": {"seed": 1, "groups": []}}, "groups"),
        ({"clouds": {"seed": 1, "groups": [{"kind": "cubes", "size": 16, "training": 1, "validation": 1}]}}, "kind"),
        ({"clouds": {"seed": 1, "groups": [{"kind": "suite", "size": 15, "training": 1, "validation": 1}]}}, "size"),
        ({"clouds": {"seed": 1, "groups": [{"kind": "suite", "size": 16, "training": 0, "validation": 1}]}}, "training"),
        ({"patches": {"seed": 1, "size": 8, "training": 1, "validation": 1}}, "patches"),
        ({"patches": {"seed": 1, "size": 16, "training": 1, "validation": 1, "clean": 2.0}}, "clean"),
        ({"patches": {"seed": 1, "size": 16, "training": 1, "validation": 1, "pixel_range_pc": [0.1, 0.2]}}, "pixel"),
        ({"preset": {"layers": 3}}, "preset"),
        ({"training": {"epochs": 0}}, "epochs"),
        ({"refinement": {"patches": dataclasses.asdict(TINY.patches), "training": {"epochs": 0}}}, "epochs"),
        ({"schema": 99}, "schema"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_is_refused(change, match):
    values = {"schema": 1, **dataclasses.asdict(TINY), **change}
    with pytest.raises((ValueError, TypeError), match=match):
        Recipe.from_dict(values)


def _patches(work):
    return Run.open(max(work.glob("run_*"))).dataset()
