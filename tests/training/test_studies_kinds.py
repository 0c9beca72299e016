"""Studies of the training set, of the pixel, and a search."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.training import (
    Run,
    Study,
    TrainingConfig,
    finish_study,
    kan_variants,
    search,
    sweep,
    training_set_size,
    working_scale,
)
from polaris_lab.training.metrics import scores
from polaris_lab.training.studies.derived import block_mean, coarse_map, coarsen, subset

SETTINGS = {"layers": 1, "base_filters": 2, "attention": False, "reference_scale": 2.0}
TRAINING = TrainingConfig(epochs=2, batch_size=2, device="cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> PatchDataset:
    """Eight patches of 8 x 8 pixels for training and two for validation, of two clouds."""
    rng = np.random.default_rng(0)
    column = 10 ** (21.5 + 0.3 * rng.normal(size=(10, 8, 8)))
    return PatchDataset.from_arrays(
        {"column_density": column},
        {"mass_weighted_density": column / 1e18 * 10 ** rng.normal(0, 0.1, column.shape)},
        pixel_size=0.05 * u.pc,
        split=["training"] * 8 + ["validation"] * 2,
        cloud=["a"] * 8 + ["b"] * 2,
        path=tmp_path_factory.mktemp("small") / "data.zarr",
    )


# -- training-set size ---------------------------------------------------------------------------------


def test_subsets_are_nested_and_keep_the_validation_patches(small, tmp_path):
    found = {n: subset(small, n, seed=3, path=tmp_path / f"{n}.zarr") for n in (2, 4, 7)}
    rows = {n: set(data.indices("training").tolist()) for n, data in found.items()}
    assert [len(rows[n]) for n in (2, 4, 7)] == [2, 4, 7]
    assert rows[2] < rows[4] < rows[7]
    for data in found.values():
        assert data.indices("validation").tolist() == small.indices("validation").tolist()
        assert (data.read("column_density") == small.read("column_density")).all()
    other = subset(small, 4, seed=4, path=tmp_path / "other.zarr")
    assert set(other.indices("training").tolist()) != rows[4]
    assert subset(small, 4, seed=3, path=tmp_path / "4.zarr").fingerprint == found[4].fingerprint
    with pytest.raises(FileExistsError, match="got others"):
        subset(small, 4, seed=4, path=tmp_path / "4.zarr")
    with pytest.raises(ValueError, match=r"from 1 to 8.*got 9"):
        subset(small, 9, seed=0, path=tmp_path / "9.zarr")
    assert len(small.indices("training")) == 8  # linked files, but the table is a copy
    assert small.indices("training").tolist() == PatchDataset.open(small.path).indices("training").tolist()


def test_training_set_size(small, tmp_path):
    runs = list(
        training_set_size(
            small, TRAINING, sizes=(2, 4, 8), seeds=(0, 1), settings=SETTINGS, path=tmp_path / "size"
        )
    )
    assert len(runs) == 6
    table = Study.open(tmp_path / "size").table()
    assert table["training_patches"].tolist() == [2, 2, 4, 4, 8, 8]
    assert [run.description.dataset.training_patches for run in runs] == [2, 2, 4, 4, 8, 8]
    whole = next(run for run in runs if run.name == "training_patches_8-seed_0")
    assert whole.dataset_fingerprint == small.fingerprint
    alone = Run.create(tmp_path / "alone", whole.blueprint, small, whole.config).train(progress=False)
    assert alone.best.validation_loss == whole.best.validation_loss
    assert list(training_set_size(small, TRAINING, sizes=(2, 4), seeds=(0, 1), settings=SETTINGS,
                                  path=tmp_path / "size")) == []  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((9,), "sizes: expected whole numbers from 1 to 8.*got 9"),
        ((1,), "sizes: expected at least a batch of 2 patches, got 1; take a batch_size of 1"),
        ((2.5,), "sizes: expected whole numbers"),
        ((), "sizes: expected one value or more"),
    ],
)
def test_bad_sizes(small, tmp_path, sizes, message):
    with pytest.raises(ValueError, match=message):
        training_set_size(small, TRAINING, sizes=sizes, settings=SETTINGS, path=tmp_path / "size")


# -- working scale -------------------------------------------------------------------------------------


def test_coarsening_keeps_the_mass_and_the_mean_over_mass():
    rng = np.random.default_rng(1)
    column, density = 10 ** rng.normal(22, 0.5, (3, 8, 8)), 10 ** rng.normal(3, 1, (3, 8, 8))
    coarse = block_mean(column, 4)
    mean = coarse_map("mass_weighted_density", density, column, 4)
    assert coarse.shape == (3, 2, 2)
    np.testing.assert_allclose(coarse.sum(axis=(1, 2)) * 16, column.sum(axis=(1, 2)))
    np.testing.assert_allclose((coarse * mean).sum(axis=(1, 2)) * 16, (column * density).sum(axis=(1, 2)))
    by_hand = (column[0, :4, 4:] * density[0, :4, 4:]).sum() / column[0, :4, 4:].sum()
    assert mean[0, 0, 1] == pytest.approx(by_hand)
    assert coarse_map("max_density", density, column, 8)[1, 0, 0] == density[1].max()
    np.testing.assert_allclose(
        coarse_map("mass_weighted_density", mean, coarse, 2),
        coarse_map("mass_weighted_density", density, column, 8),
    )
    with pytest.raises(ValueError, match="got 'centroid_velocity'; leave it out"):
        coarse_map("centroid_velocity", density, column, 2)


def test_a_coarser_dataset_keeps_clouds_and_split(small, tmp_path):
    coarse = coarsen(small, 2, ("column_density", "mass_weighted_density"), tmp_path / "c.zarr")
    assert coarse.patch_size == 4
    assert coarse.pixel_size_pc == pytest.approx(0.1)
    assert (coarse.table["split"] == small.table["split"]).all()
    assert (coarse.table["cloud"] == small.table["cloud"]).all()
    with pytest.raises(ValueError, match="divide the patch of 8 pixels, got 3"):
        coarsen(small, 3, ("column_density",), tmp_path / "d.zarr")


def test_working_scale(small, tmp_path):
    runs = list(working_scale(small, TRAINING, pixel_factors=(1, 2), settings=SETTINGS, path=tmp_path / "s"))
    assert [run.pixel_size_pc for run in runs] == pytest.approx([0.05, 0.1])
    table = Study.open(tmp_path / "s").table()
    cells = table[["trained_factor", "applied_factor", "treatment"]].to_numpy().tolist()
    assert cells == [
        [1, 1, "retrain"], [1, 2, "apply"],
        [2, 1, "apply"], [2, 1, "downsample"], [2, 2, "retrain"],
    ]  # fmt: skip
    np.testing.assert_allclose(table["applied_pixel_size_pc"], [0.05, 0.1, 0.05, 0.05, 0.1])
    coarse_run = runs[1]
    predicted, _ = coarse_run.validate()
    fine = small.read("mass_weighted_density", small.indices("validation"))
    by_hand = scores(predicted.repeat(2, axis=1).repeat(2, axis=2), fine)["rmse_dex"]
    assert table.query("treatment == 'downsample'")["rmse_dex"].item() == pytest.approx(by_hand)
    assert table["rmse_dex"].nunique() == 5
    grid = Study.open(tmp_path / "s").grid()
    assert np.isnan(grid.sel(trained_factor=1, applied_factor=1, treatment="downsample", statistic="mean"))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ((1, 3), "divide the patch of 8 pixels, got 3"),
        ((1,), "expected two sizes of pixels"),
        ((1, 0), "got 0"),
    ],
)
def test_bad_factors(small, tmp_path, factors, message):
    with pytest.raises(ValueError, match=message):
        working_scale(small, TRAINING, pixel_factors=factors, settings=SETTINGS, path=tmp_path / "s")


# -- search --------------------------------------------------------------------------------------------

SPACE = {"base_filters": [2, 4], "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


def test_a_search_goes_on_where_it_was_left(small, tmp_path):
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    how = {"space": SPACE, "settings": {**SETTINGS}, "path": tmp_path / "search", "pruning": False}
    first = [run.name for run in itertools.islice(search(small, TRAINING, trials=3, **how), 2)]
    rest = [run.name for run in search(small, TRAINING, trials=3, **how)]
    more = [run.name for run in search(small, TRAINING, trials=4, **how)]
    assert first + rest + more == [f"trial_{number:04d}-seed_0" for number in range(4)]
    table = Study.open(tmp_path / "search").table()
    assert table["trial"].tolist() == [0, 1, 2, 3]
    assert table["training.learning_rate"].nunique() == 4
    from polaris_lab.training.studies.trials import storage

    kept = optuna.load_study(study_name="search", storage=storage(tmp_path / "search"))
    assert [trial.value for trial in kept.trials] == table["validation_loss"].tolist()
    assert [trial.params["base_filters"] for trial in kept.trials] == table["base_filters"].tolist()
    with pytest.raises(
        FileExistsError, match=r"more\.metric: 'validation_loss' in the folder, 'rmse_dex' now"
    ):
        search(small, TRAINING, trials=4, metric="rmse_dex", **how)
    with pytest.raises(ValueError, match="got a search; take table"):
        Study.open(tmp_path / "search").grid()


def test_a_trial_that_is_behind_is_pruned(small, tmp_path):
    """Of two learning rates the worse one is ended before its last epoch, when four trials are known to compare with."""
    pytest.importorskip("optuna", reason="optuna is not installed")
    training = TrainingConfig(epochs=4, batch_size=2, device="cpu", schedule="constant", augment=False)
    space = {"training.learning_rate": [0.01, 1e-9]}
    list(
        search(
            small, training, trials=12, space=space, settings=SETTINGS, path=tmp_path / "s", sampler_seed=1
        )
    )
    table = Study.open(tmp_path / "s").table()
    pruned = table[table["state"] == "pruned"]
    assert len(table) == 12
    assert len(pruned) > 0
    whole = table[table["state"] == "finished"].groupby("training.learning_rate")["validation_loss"].mean()
    assert (pruned["training.learning_rate"] == whole.idxmax()).all()
    assert (pruned["epochs"] < 4).all()


def test_a_trial_is_the_mean_over_its_seeds(small, tmp_path):
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    runs = list(
        search(small, TRAINING, trials=2, space=SPACE, settings=SETTINGS, seeds=(0, 1), path=tmp_path / "s",
               metric="rmse_dex")
    )  # fmt: skip
    assert len(runs) == 4
    from polaris_lab.training.studies.trials import storage

    kept = optuna.load_study(study_name="search", storage=storage(tmp_path / "s"))
    means = Study.open(tmp_path / "s").summary("rmse_dex")["mean"].tolist()
    assert [trial.value for trial in kept.trials] == pytest.approx(means)


def test_a_search_that_diverges_counts_the_trial(small, tmp_path):
    pytest.importorskip("optuna", reason="optuna is not installed")
    training = TrainingConfig(epochs=1, batch_size=2, device="cpu", optimizer="sgd", gradient_clip=None)
    space = {"training.learning_rate": [1e30]}
    assert list(search(small, training, trials=2, space=space, settings=SETTINGS, path=tmp_path / "s")) == []
    assert Study.open(tmp_path / "s").table()["state"].tolist() == ["failed", "failed"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"space": {}}, ValueError, "space: expected one setting to search"),
        ({"space": [1]}, TypeError, "space: expected ranges by name"),
        ({"space": {"layer": [1]}}, ValueError, "did you mean 'layers'"),
        ({"space": {"layers": {"low": 2}}}, ValueError, 'expected a list, or {"low"'),
        ({"space": {"layers": {"low": 3, "high": 2}}}, ValueError, "low below high"),
        ({"space": {"layers": {"low": "a", "high": 2}}}, TypeError, "expected numbers as low and high"),
        (
            {"space": {"training.learning_rate": {"low": 0.0, "high": 1.0, "log": True}}},
            ValueError,
            "above 0 with log",
        ),
        ({"space": {"layers": {"low": 0, "high": 2}}}, ValueError, "cell layers=0: "),
        ({"space": {"training.loss": ["mse", "huber(0.1)"]}}, ValueError, "expected one loss for all trials"),
        ({"trials": 0}, ValueError, "trials: expected a whole number"),
        ({"metric": "rmse"}, ValueError, "metric: unknown name 'rmse': did you mean 'rmse_dex'"),
    ],
)
def test_bad_searches(small, tmp_path, changes, error, message):
    pytest.importorskip("optuna", reason="optuna is not installed")
    choices = {"space": SPACE, "settings": {}, "path": tmp_path / "s"} | changes
    with pytest.raises(error, match=message):
        search(small, TRAINING, **choices)
    assert not (tmp_path / "s").exists()


def test_without_optuna_the_error_says_how_to_get_it(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'polaris-lab\[lab\]'"):
        search(small, TRAINING, space=SPACE, path=tmp_path / "s")


# -- going on from the folder alone --------------------------------------------------------------------


def studies(small, path):
    """Return generators of a study of each kind on a grid, with two seeds."""
    given = {"seeds": (0, 1), "settings": SETTINGS}
    some = {name: value for name, value in SETTINGS.items() if name != "base_filters"}
    varied = {"training.learning_rate": (1e-3, 2e-3), "base_filters": (2, 3)}
    return {
        "sweep": sweep(small, TRAINING, path=path / "sweep", varied=varied, **{**given, "settings": some}),
        "size": training_set_size(small, TRAINING, path=path / "size", sizes=(4, 8), **given),
        "scale": working_scale(small, TRAINING, path=path / "scale", pixel_factors=(1, 2), **given),
        "kan": kan_variants(small, TRAINING, path=path / "kan", variants=("unet", "just_kan"),
                            seeds=(0, 1), settings={"reference_scale": 2.0}),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["sweep", "size", "scale", "kan"])
def test_a_study_is_finished_from_its_folder(small, tmp_path, kind):
    runs = studies(small, tmp_path)[kind]
    next(runs)
    runs.close()
    before = Study.open(tmp_path / kind)
    planned = before.description["cells"]
    assert before.state == "stopped"
    list(finish_study(tmp_path / kind, small))  # a study of subsets alone does not know the whole
    after = Study.open(tmp_path / kind)
    assert after.state == "finished"
    assert after.description["cells"] == planned
    assert (after.table()["state"] == "finished").all()
    assert list(finish_study(tmp_path / kind, small)) == []


def test_what_cannot_be_finished_is_refused(small, tmp_path):
    runs = studies(small, tmp_path)["size"]
    next(runs)
    runs.close()
    with pytest.raises(FileNotFoundError, match="expected the folder of a study"):
        finish_study(tmp_path / "nowhere")
    going = finish_study(tmp_path / "size", small)
    next(going)
    (tmp_path / "size" / "stop").touch()  # asks to stop: nothing more is begun
    assert list(going) == []
    assert Study.open(tmp_path / "size").state == "stopped"
    assert not Study.open(tmp_path / "size").request_stop()
