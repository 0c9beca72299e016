"""torch.compile takes the networks as they are."""

from __future__ import annotations

import shutil

import pytest
import torch

from polaris_lab.models import Blueprint, build_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the compiler itself
]


@pytest.mark.parametrize("training", [False, True])
def test_compiled_networks_give_the_same(log_maps, log_target, training):
    if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
        pytest.skip("no C++ compiler (c++, g++, clang++) on the path: torch.compile needs one on the CPU")
    blueprint = Blueprint.unet(
        layers=1, base_filters=32, attention=False, reference_scale=2.0
    )  # the deepest: own backward
    model = build_model(blueprint).fit_constants({"column_density": log_maps}, log_target)
    inputs = {"column_density": log_maps[:2, :, :16, :16].clone()}
    results = []
    for network in (model, torch.compile(model)):
        model.train(training)
        model.zero_grad()
        answer = network(inputs)
        answer.square().mean().backward()
        results.append((answer.detach().clone(), [p.grad.clone() for p in model.parameters()]))
    (plain, plain_gradients), (compiled, gradients) = results
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(gradients, plain_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-2, atol=1e-3 * float(theirs.abs().max() + 1e-3))
