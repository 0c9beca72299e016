"""Averages over the eight symmetries: exact, and right for each head; ensembles."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from polaris_lab.datasets.normalize import inverse_symmetry, symmetry
from polaris_lab.models import Blueprint, build_model
from polaris_lab.models.heads import GaussianHead
from polaris_lab.training import Ensemble, Run, Symmetric
from polaris_lab.training.ensembles import EnsembleModel
from polaris_lab.training.symmetric import average, turned, turned_back


def network(head="point", seed=0, **choices) -> nn.Module:
    blueprint = Blueprint.unet(
        layers=2, base_filters=4, attention=False, reference_scale=2.0, head=head, **choices
    )
    model = build_model(blueprint, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():  # a last layer that starts at zero would hide everything
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def column() -> torch.Tensor:
    return 21.5 + 0.4 * torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("head", ["point", "gaussian", "quantiles"])
def test_a_turned_input_gives_the_turned_answer_to_the_last_bit(head, column):
    plain, model = network(head), Symmetric(network(head))
    with torch.no_grad():
        straight = model({"column_density": column})
        for number in range(8):
            answer = model({"column_density": symmetry(column, number)})
            assert torch.equal(symmetry(answer, inverse_symmetry(number)), straight)
        assert not torch.allclose(
            plain({"column_density": column.flip(-1)}).flip(-1), plain({"column_density": column})
        )


def test_the_value_is_the_mean_of_eight(column):
    model = network()
    with torch.no_grad():
        answers = [
            symmetry(model({"column_density": symmetry(column, n)}), inverse_symmetry(n)) for n in range(8)
        ]
        assert torch.allclose(
            Symmetric(model)({"column_density": column}), torch.stack(answers).mean(0), atol=1e-6
        )


@pytest.mark.parametrize("number", range(8))
def test_images_that_are_not_square_turn_too(number):
    image = torch.rand(1, 2, 5, 8)
    assert torch.equal(turned_back(turned(image, number), number), image)
    square = torch.rand(1, 1, 4, 4)
    assert torch.equal(turned(square, number), symmetry(square, number))


def test_gaussians_add_the_scatter_of_their_means():
    answers = [
        torch.tensor([mean, math.log(sigma)]).reshape(1, 2, 1, 1) for mean, sigma in ((3.0, 0.3), (3.8, 0.1))
    ]
    mixed = average(answers, GaussianHead())
    assert mixed[0, 0].item() == pytest.approx(3.4)
    assert GaussianHead().sigma(mixed).item() ** 2 == pytest.approx((0.09 + 0.01) / 2 + 0.16, rel=1e-5)


def test_it_stands_in_for_its_network(column):
    plain = network("gaussian")
    model = Symmetric(plain)
    assert (model.receptive_margin, model.stride, model.blueprint) == (
        plain.receptive_margin, plain.stride, plain.blueprint,
    )  # fmt: skip
    with torch.no_grad():
        raw = model({"column_density": column})
    assert torch.equal(model.point(raw), raw[:, :1])


def test_an_ensemble_knows_mean_and_disagreement(column):
    members = [network(seed=seed) for seed in range(3)]
    model = EnsembleModel(members)
    with torch.no_grad():
        answers = torch.stack([member({"column_density": column}) for member in members])
        raw = model({"column_density": column})
    assert torch.allclose(model.point(raw), answers.mean(0), atol=1e-6)
    sigma = next(iter(model.heads.values())).sigma(raw)
    assert torch.allclose(sigma, answers.std(0, correction=0), rtol=1e-3)
    with pytest.raises(ValueError, match="expected two networks or more, got 1"):
        EnsembleModel(members[:1])


def test_members_that_know_their_spread_add_it(column):
    members = [network("gaussian", seed=seed) for seed in range(2)]
    model = EnsembleModel(members)
    with torch.no_grad():
        answers = [member({"column_density": column}) for member in members]
        raw = model({"column_density": column})
    head = GaussianHead()
    within = torch.stack([head.sigma(a) ** 2 for a in answers]).mean(0)
    between = torch.stack([head.point(a) for a in answers]).var(0, correction=0)
    assert torch.allclose(head.sigma(raw) ** 2, within + between, rtol=1e-3)


@pytest.mark.slow
def test_an_ensemble_is_trained_as_one_thing_and_goes_on(tmp_path, blueprint, dataset, config):
    config = dataclasses.replace(config, epochs=2)
    ensemble = Ensemble.create(tmp_path / "three", blueprint, dataset, config, seeds=(0, 5))
    assert ensemble.state == "new"
    next(loop := ensemble.runs[1].epochs())
    loop.close()
    assert Ensemble.create(tmp_path / "three", blueprint, dataset, config, seeds=(0, 5)).train(progress=False)
    opened = Ensemble.open(tmp_path / "three")
    assert opened.state == "finished"
    assert [run.config.seed for run in opened.runs] == [0, 5]
    assert "2 of U-Net" in repr(opened)
    prediction = opened.predict()
    each = np.log10([run.validate()[0] for run in opened.runs])
    assert np.log10(prediction.density) == pytest.approx(each.mean(0), abs=1e-4)
    assert prediction.sigma_dex == pytest.approx(each.std(0), abs=1e-4)
    assert prediction.target.shape == prediction.density.shape == (7, 32, 32)
    turned_too = opened.predict(symmetric=True)
    assert (turned_too.sigma_dex > 0).all()
    assert not np.allclose(turned_too.density, prediction.density, rtol=1e-5)


def test_what_is_no_ensemble_is_refused(tmp_path, run, blueprint, dataset, config):
    with pytest.raises(ValueError, match=r"seeds: expected two or more that differ, got \[1, 1\]"):
        Ensemble.create(tmp_path / "e", blueprint, dataset, config, seeds=(1, 1))
    with pytest.raises(FileExistsError, match="no ensemble"):
        Ensemble.create(run.path, blueprint, dataset, config)
    with pytest.raises(FileNotFoundError, match=r"make one with Ensemble\.create"):
        Ensemble.open(run.path)
    made = Ensemble.create(tmp_path / "e", blueprint, dataset, config, seeds=(1, 2))
    with pytest.raises(FileExistsError, match="of these choices"):
        Ensemble.create(made.path, blueprint, dataset, dataclasses.replace(config, epochs=9), seeds=(1, 2))
    with pytest.raises(FileExistsError, match="got one of"):
        Ensemble.create(made.path, blueprint, dataset, config, seeds=(1, 3))
    assert isinstance(made.runs[0], Run)
