"""Networks of several inputs on the sky: what a map has, what it lacks, what is taken off it, and how much that matters."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from astropy import units as u

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint, Node, build_model
from polaris_lab.observations import Observation, Quality
from polaris_lab.observations.sensitivity import sensitivity
from polaris_lab.training import Run, TrainingConfig
from tests.observations.conftest import smooth_column, toy_density
from tests.observations.test_predict import dex, predict, stand_in

TINY = {"layers": 1, "base_filters": 4, "reference_scale": 3.0}


@pytest.fixture(scope="module")
def dataset():
    """Columns, a line that goes with the square of the column, and a depth that thins the gas."""
    columns = np.stack([smooth_column((32, 32), seed) for seed in range(40)])
    depth = 10 ** np.random.default_rng(0).uniform(-0.3, 0.3, 40)
    densities = np.stack([toy_density(c, seed) / depth[seed] for seed, c in enumerate(columns)])
    return PatchDataset.from_arrays(
        {
            "column_density": columns,
            "integrated_intensity": (columns / 1e21) ** 2,
            "depth": depth,
            "pixel_size": np.full(40, 0.02),
        },
        {"mass_weighted_density": densities},
        pixel_size=0.02 * u.pc,
        split=["training"] * 30 + ["validation"] * 10,
    )


def trained(dataset, folder, **settings) -> Run:
    blueprint = Blueprint.preset("multi_input", **{**TINY, **settings})
    config = TrainingConfig(epochs=6, batch_size=10, learning_rate=5e-3, device="cpu")
    made = Run.create(folder, blueprint, dataset, config)
    made.train(progress=False).validate()
    return made


@pytest.fixture(scope="module")
def with_line(dataset, tmp_path_factory):
    """Return a run that may have the line and must be told nothing."""
    folder = tmp_path_factory.mktemp("line") / "run"
    return trained(dataset, folder, inputs=("column_density", "integrated_intensity"))


@pytest.fixture(scope="module")
def with_depth(dataset, tmp_path_factory):
    """Return a run that may be told the depth."""
    return trained(
        dataset, tmp_path_factory.mktemp("depth") / "run", inputs=("column_density", "pixel_size", "depth")
    )


def beside(observation: Observation, line: np.ndarray) -> Observation:
    """Return a map with a line image beside it, as `with_line` would put it there."""
    new = copy.copy(observation)
    new.line = SimpleNamespace(
        inputs=lambda: {"integrated_intensity": line}, observed=np.isfinite(line), notes=()
    )
    return new


# -- lines -------------------------------------------------------------------------------------------


def test_the_line_beside_the_map_reaches_the_network(with_line, observe):
    column = smooth_column((64, 64), 3)
    alone = predict(with_line, observe(column))
    both = predict(with_line, beside(observe(column), (column / 1e21) ** 2))
    other = predict(with_line, beside(observe(column), 3 * (column / 1e21) ** 2))
    assert dex(both.density, alone.density).max() > 1e-3
    assert dex(both.density, other.density).max() > 1e-3
    assert any("without integrated_intensity" in note for note in alone.notes)
    assert not any("without" in note for note in both.notes)
    assert both.provenance["inputs"] == "column_density integrated_intensity"
    assert alone.provenance["inputs"] == "column_density"


def test_a_line_on_part_of_the_map_leaves_the_rest_as_without(with_line, observe):
    """Where the optional line is missing the answer is that without; every pixel is answered."""
    column = smooth_column((128, 64), 3)
    line = (column / 1e21) ** 2
    line[64:] = np.nan
    part = predict(with_line, beside(observe(column), line))
    alone = predict(with_line, observe(column))
    assert np.isfinite(part.density).all()
    margin = with_line.model().receptive_margin
    np.testing.assert_allclose(part.density[64 + margin :], alone.density[64 + margin :], rtol=1e-4)


def test_a_line_that_the_network_cannot_do_without(dataset, tmp_path, observe):
    needs = trained(
        dataset, tmp_path / "run", inputs=("column_density", "integrated_intensity"), optional_inputs=()
    )
    column = smooth_column((48, 48), 3)
    with pytest.raises(
        ValueError, match=r"needs 'integrated_intensity' \(K km s-1\), which the map .*observation.with_line"
    ):
        predict(needs, observe(column))
    line = (column / 1e21) ** 2
    line[:10] = np.nan
    found = predict(needs, beside(observe(column), line))
    np.testing.assert_array_equal(np.isnan(found.density), np.isnan(line))
    assert found.flagged(Quality.BLANK)[12].all()
    finer = predict(needs, beside(observe(column, pixel=0.4), line))
    np.testing.assert_array_equal(np.isnan(finer.density), np.isnan(line))


def test_a_line_outside_the_training_set_is_flagged(with_line, observe):
    column = smooth_column((64, 64), 3)
    found = predict(with_line, beside(observe(column), 1e6 * (column / 1e21) ** 2))
    assert found.flagged(Quality.INPUT_RANGE).mean() > 0.9
    assert any("another input outside the training set" in note for note in found.notes)


def test_a_cube_of_other_channels_is_refused(run, observe):
    blueprint = Blueprint.preset(
        "multi_input", **TINY, inputs=("column_density", "ppv_cube"), velocity_channels=6, line_features=4
    )
    made = stand_in(run, blueprint=blueprint, model=lambda: build_model(blueprint))
    seen = observe(smooth_column((40, 40)))
    seen.line = SimpleNamespace(
        inputs=lambda: {"ppv_cube": np.zeros((5, 40, 40))}, observed=np.ones((40, 40), bool)
    )
    with pytest.raises(ValueError, match=r"'ppv_cube' with 6 channels, got 5; .*velocity="):
        predict(made, seen)


def test_what_no_map_has_is_named(run, observe):
    """A context that only a dataset carries."""
    blueprint = SimpleNamespace(
        inputs=("column_density", "context_column_density"),
        optional_inputs=(),
        name="context",
        output=run.target,
    )
    model = copy.copy(run.model())
    model.blueprint = blueprint
    with pytest.raises(ValueError, match="needs 'context_column_density'"):
        predict(stand_in(run, blueprint=blueprint, model=lambda: model), observe(smooth_column((40, 40))))


# -- numbers -----------------------------------------------------------------------------------------


def test_a_deeper_cloud_is_thinner(with_depth, observe):
    """In training n ~ 1 / depth, of which six epochs learn the sign; without a depth it says so."""
    observation = observe(smooth_column((48, 48), 3))
    thin, thick = (predict(with_depth, observation, depth=depth * u.pc) for depth in (0.6, 1.8))
    assert (thin.density > thick.density).mean() > 0.8
    unknown = predict(with_depth, observation)
    assert any("without depth" in note for note in unknown.notes)
    assert thin.provenance["depth_pc"] == 0.6
    assert np.isfinite(unknown.density).all()


def test_lengths_are_told_in_the_pixels_that_the_network_counts_in(with_depth, observe):
    """A cloud of the same columns, all lengths 1.3 times as long, is 1.3 times thinner: the depth is a length too."""
    column = smooth_column((48, 48), 3)
    near = predict(with_depth, observe(column), depth=1 * u.pc)
    far = predict(with_depth, observe(column, pixel=1.3), depth=1.3 * u.pc)
    np.testing.assert_allclose(far.density, near.density / 1.3, rtol=1e-4)


@pytest.mark.parametrize("depth", [1.0, 1 * u.s])
def test_a_depth_that_is_no_length(with_depth, observe, depth):
    with pytest.raises((TypeError, u.UnitsError), match="depth: expected"):
        predict(with_depth, observe(smooth_column((40, 40))), depth=depth)


def test_a_depth_for_a_network_that_takes_none(run, observe):
    with pytest.raises(ValueError, match=r"depth: expected a run whose network takes the depth"):
        predict(run, observe(smooth_column((40, 40))), depth=1 * u.pc)


# -- foreground --------------------------------------------------------------------------------------


def test_a_foreground_is_taken_off_before(run, observe):
    column = smooth_column((64, 64), 3)
    shifted = predict(run, observe(column + 3e20), foreground=3e20 / u.cm**2)
    np.testing.assert_allclose(shifted.density, predict(run, observe(column)).density, rtol=1e-4)
    assert shifted.provenance["foreground_cm2"] == pytest.approx(3e20)
    assert any("foreground of N_H = 3e+20" in note for note in shifted.notes)
    as_map = predict(run, observe(column + 3e20), foreground=np.full(column.shape, 3e16) / u.mm**2 / 1e-2)
    np.testing.assert_allclose(as_map.density, shifted.density, rtol=1e-4)


def test_pixels_behind_more_foreground_than_they_hold_are_blank_and_flagged(run, observe):
    column = smooth_column((64, 64), 3)
    level = float(np.percentile(column, 20))
    found = predict(run, observe(column), foreground=level / u.cm**2)
    lost = column * 0.95 < level
    np.testing.assert_array_equal(np.isnan(found.density), lost)
    np.testing.assert_array_equal(found.flagged(Quality.FOREGROUND), lost)
    assert any("hold little more than the foreground" in note for note in found.notes)


@pytest.mark.parametrize(
    ("foreground", "words"),
    [
        (1e20, "foreground: expected a column density"),
        (1 * u.pc, "foreground: expected a unit"),
        (-1e20 / u.cm**2, "0 cm.-2 or more"),
        (1e26 / u.cm**2, "leaves no pixel"),
        (np.ones((3, 3)) * 1e20 / u.cm**2, "the shape of the map"),
    ],
)
def test_a_foreground_that_makes_no_sense(run, observe, foreground, words):
    with pytest.raises((TypeError, ValueError, u.UnitsError), match=words):
        predict(run, observe(smooth_column((40, 40))), foreground=foreground)


# -- sensitivity -------------------------------------------------------------------------------------


@pytest.fixture
def power_law(run):
    """Return a run whose network is a power law in N of slope 1.6, without a network."""
    column = np.stack([smooth_column((32, 32), seed) for seed in range(4)])
    density = 10 ** (2.5 + 1.6 * (np.log10(column) - 21.3))
    blueprint = Blueprint(
        inputs=("column_density",),
        nodes=(Node(run.target, "power_law", {}, ("column_density",)),),
        output=run.target,
    )
    logs = [torch.from_numpy(np.log10(values))[:, None] for values in (column, density)]
    model = build_model(blueprint).fit_constants({"column_density": logs[0]}, logs[1])
    return stand_in(run, blueprint=blueprint, model=lambda: model)


def test_the_sensitivity_of_a_power_law_is_known(power_law, observe):
    """n ~ (N - F)^1.6: d log10 n / dF = -1.6 / (ln 10 (N - F)), and steeper behind a foreground."""
    column = smooth_column((64, 64), 3)
    found = sensitivity(power_law, observe(column))
    assert found.depth is None
    np.testing.assert_allclose(found.foreground, -1.6 / np.log(10) / (column / 1e21), rtol=0.05)
    behind = sensitivity(power_law, observe(column), foreground=2e20 / u.cm**2)
    left = column / 1e21 - 0.2
    clear = left > 0.2  # a finite step is small there
    np.testing.assert_allclose(behind.foreground[clear], -1.6 / np.log(10) / left[clear], rtol=0.05)


def test_the_sensitivity_to_the_depth(with_depth, observe):
    observation = observe(smooth_column((48, 48), 3))
    found = sensitivity(with_depth, observation, depth=1 * u.pc)
    near, far = (predict(with_depth, observation, depth=10**step * u.pc).density for step in (-0.05, 0.05))
    np.testing.assert_allclose(found.depth, np.log10(far / near) / 0.1, atol=1e-4)
    assert np.nanmedian(found.depth) < 0
    assert "depth" in repr(found)
