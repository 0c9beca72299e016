"""Intervals: from the network's own distribution where it has one, brought to the frequencies of the validation set."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from astropy import units as u
from scipy import special

from polaris_lab.datasets import PatchDataset
from polaris_lab.models import Blueprint, Node
from polaris_lab.models.heads import LEVELS
from polaris_lab.observations import Prediction, predict_density
from polaris_lab.observations.intervals import ENDS, RECALIBRATION, log_ends
from polaris_lab.training import Run, TrainingConfig
from polaris_lab.training.losses import register_loss
from tests.observations.conftest import smooth_column, toy_density


def predict(run, observation, **choices):
    return predict_density(run, observation, **{"progress": False, "compare": False, **choices})


def train(folder, blueprint, **choices) -> Run:
    """Return a run of seconds on the toy relation, with the densest gas as a second target."""
    columns = np.stack([smooth_column((32, 32), seed) for seed in range(40)])
    densities = np.stack([toy_density(column, seed) for seed, column in enumerate(columns)])
    dataset = PatchDataset.from_arrays(
        {"column_density": columns},
        {"mass_weighted_density": densities, "max_density": 3 * densities},
        pixel_size=0.02 * u.pc,
        split=["training"] * 30 + ["validation"] * 10,
    )
    made = Run.create(
        folder, blueprint, dataset, TrainingConfig(epochs=4, batch_size=10, device="cpu", **choices)
    )
    made.train(progress=False).validate()
    return made


@register_loss("toy_likelihood", head="gaussian")
def likelihood(raw, target):
    """Return the mean negative log likelihood of each image."""
    return (((target - raw[:, :1]) / raw[:, 1:].exp()) ** 2 / 2 + raw[:, 1:]).flatten(1).mean(dim=1)


@register_loss("toy_quantiles", head="quantiles")
def quantile_loss(raw, target):
    """Return the mean quantile loss of each image."""
    level = torch.tensor(LEVELS)[:, None, None]
    return torch.maximum(level * (target - raw), (level - 1) * (target - raw)).flatten(1).mean(dim=1)


@pytest.fixture(scope="module", params=["gaussian", "quantiles"])
def stating(request, tmp_path_factory):
    """Return a run whose network states its error."""
    settings = {"layers": 1, "base_filters": 4, "reference_scale": 6.0, "head": request.param}
    loss = {"gaussian": "toy_likelihood", "quantiles": "toy_quantiles"}[request.param]
    folder = tmp_path_factory.mktemp("heads") / request.param
    return train(folder, Blueprint.preset("unet", **settings), loss=loss)


def recalibrated(run, folder, stretch: float) -> Run:
    """Return a copy of a run whose distribution is known to be too narrow by a factor."""
    shutil.copytree(run.path, folder)
    levels = [0.005, 0.025, 0.16, 0.5, 0.84, 0.975, 0.995]
    found = {"levels": levels, "probits": (stretch * special.ndtri(levels)).tolist()}
    (folder / RECALIBRATION).write_text(json.dumps(found))
    return Run.open(folder)


def test_the_interval_is_that_of_the_head(stating, observe):
    """Its ends are the quantiles of the raw answer, and the notes say that nobody compared them with errors."""
    column = smooth_column((128, 128), 7)
    found = predict(stating, observe(column))
    model = stating.model()
    inner = (
        slice(model.receptive_margin, -model.receptive_margin),
    ) * 2  # beyond, tiles continue the map by reflection
    with torch.inference_mode():
        raw = model({"column_density": torch.from_numpy(np.log10(column).astype(np.float32))[None, None]})
        head = model.heads[stating.target]
        wanted = {name: head.quantile(raw, level)[0, 0].numpy() for name, level in ENDS.items()}
    for name, values in wanted.items():
        np.testing.assert_allclose(np.log10(getattr(found, name))[inner], values[inner], atol=2e-4)
    assert any("not compared with validation errors" in note for note in found.notes)
    assert "network's own" in found.provenance["interval"]


def test_a_recalibration_moves_the_ends_and_not_the_value(stating, observe, tmp_path):
    observation = observe(smooth_column((32, 32), 7))
    plain = predict(stating, observation)
    wider = predict(recalibrated(stating, tmp_path / "run", 1.5), observation)
    np.testing.assert_array_equal(wider.density, plain.density)
    ratio = np.log10(wider.upper68 / wider.lower68) / np.log10(plain.upper68 / plain.lower68)
    if stating.model().heads[stating.target].kind == "gaussian":
        np.testing.assert_allclose(ratio, 1.5, rtol=1e-2)
    assert np.median(ratio) > 1.2
    assert any("brought to the frequencies" in note for note in wider.notes)


def test_a_damaged_recalibration_is_refused(stating, observe, tmp_path):
    broken = recalibrated(stating, tmp_path / "run", 1.0)
    (broken.path / RECALIBRATION).write_text(json.dumps({"levels": [0.5, 0.1], "probits": [0, 1]}))
    with pytest.raises(ValueError, match=r"recalibration.json: expected increasing levels"):
        predict(broken, observe(smooth_column((32, 32))))


def test_stated_intervals_hold_about_what_they_say(stating, observe):
    """The toy scatters by 0.15 dex that nobody can predict; four epochs learn that roughly."""
    inside = []
    for seed in range(100, 112):
        column = smooth_column((32, 32), seed)
        truth, found = toy_density(column, seed), predict(stating, observe(column))
        inside.append(((found.lower95 <= truth) & (truth <= found.upper95)).mean())
        assert (found.lower95 <= found.lower68).all()
        assert (found.lower68 <= found.density).all()
        assert (found.density <= found.upper68).all()
        assert (found.upper68 <= found.upper95).all()
    assert 0.8 < np.mean(inside) <= 1.0


def test_a_point_head_says_that_its_interval_is_made_of_errors(run, observe):
    found = predict(run, observe(smooth_column((32, 32))))
    assert "errors on validation patches" in found.provenance["interval"]


def test_a_spread_widens_in_square():
    """0.3 dex stated and 0.4 dex between members: 0.5 dex at one sigma."""
    stated = {name: np.array([0.3 * special.ndtri(level)]) for name, level in ENDS.items()}
    ends = log_ends(np.array([3.0]), {**stated, "spread": np.array([0.4])}, [])
    for name, level in ENDS.items():
        np.testing.assert_allclose(ends[name], 3.0 + 0.5 * special.ndtri(level))


# -- several outputs ---------------------------------------------------------------------------------


def test_other_outputs_are_extra_maps(tmp_path_factory, observe, tmp_path):
    """The peak density is three times the mean in this toy; it scales with the pixel as the mean does."""
    blueprint = Blueprint.preset("unet", layers=1, base_filters=4, reference_scale=6.0)
    both = Blueprint(
        inputs=blueprint.inputs,
        nodes=(
            *blueprint.nodes,
            Node("peak", "equivariant_power_law", {}, ("column_density", "contrast")),
            Node("max_density", "add_residual", {}, ("peak", "correction")),
        ),
        output=blueprint.output,
        extra_outputs=("max_density",),
        name="two outputs",
    )
    made = train(tmp_path_factory.mktemp("two") / "run", both)
    column = smooth_column((40, 40), 5)
    near, far = predict(made, observe(column)), predict(made, observe(column, pixel=1.3))
    assert set(near.extra) == {"max_density"}
    ratio = near.extra["max_density"] / near.density
    assert 1.5 < np.median(ratio) < 6
    np.testing.assert_allclose(far.extra["max_density"], near.extra["max_density"] / 1.3, rtol=1e-4)
    again = Prediction.open(near.write_fits(tmp_path / "two.fits"))
    np.testing.assert_array_equal(again.extra["max_density"], near.extra["max_density"])
    assert "max_density" in repr(again)
