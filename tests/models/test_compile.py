"""torch.compile takes the networks as they are, and they say the same: answers, losses and gradients."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from polaris_lab.models import Blueprint, BlueprintModel, build_model, preset_names
from polaris_lab.training.devices import compiled
from tests.models.test_every_preset import example, fitted, targets

pytestmark = [
    pytest.mark.slow,
    # of the compiler itself:
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]
SMALLEST = {
    "unet": {"layers": 1, "base_filters": 2, "attention": True},
    "just_kan": {"widths": (3,)},
}
"""What the code generator of torch.compile is tried on: it takes a minute and more for a network of two layers."""


@pytest.fixture(autouse=True)
def _no_memory():
    """Each network is traced anew."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def needs_a_compiler() -> None:
    if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
        pytest.skip("no C++ compiler (c++, g++, clang++) on the path: torch.compile needs one on the CPU")


def answer(model: BlueprintModel, compile_with: Callable, inputs: dict[str, Tensor], target) -> tuple:
    """The loss and the gradients of a network, one part of which is compiled: its answer, or its own loss."""
    model.zero_grad()
    if model.is_generative:
        measure = compile_with(model.training_loss)
        value = measure(inputs, target, torch.Generator().manual_seed(5)).mean()
    else:
        raw = compile_with(model)(inputs)
        answers, wanted = (x if isinstance(x, dict) else {"": x} for x in (raw, target))
        value = sum((answers[name] - wanted[name]).square().mean() for name in answers)
    value.backward()
    return value.detach().clone(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def check_the_same(model: BlueprintModel, compile_with: Callable, inputs, target, rtol: float) -> None:
    plain, gradients = answer(model, lambda network: network, inputs, target)
    other, others = answer(model, compile_with, inputs, target)
    assert gradients
    torch.testing.assert_close(other, plain, rtol=rtol, atol=1e-6)
    for mine, theirs in zip(others, gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-2, atol=1e-3 * float(theirs.abs().max() + 1e-3))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_traced(name):
    """Forward and backward, without the code generator: nothing in a network is hidden from the compiler."""
    model = fitted(name).train()
    check_the_same(
        model,
        lambda network: torch.compile(network, backend="aot_eager"),
        example(model),
        targets(model),
        rtol=1e-4,
    )


@pytest.mark.parametrize("name", list(SMALLEST))
def test_generated_code_gives_the_same(name):
    """Also with the local mean of its default scale, whose memory the generated code once wrote over."""
    needs_a_compiler()
    model = build_model(Blueprint.preset(name, **SMALLEST[name]))
    inputs, target = example(model), targets(model)
    model.fit_constants(inputs, target).train()
    check_the_same(model, torch.compile, inputs, target, rtol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_compiled_networks_give_the_same(log_maps, log_target, training):
    """As training compiles them; the deepest level has a backward pass of its own."""
    needs_a_compiler()
    blueprint = Blueprint.unet(layers=1, base_filters=32, attention=False, reference_scale=2.0)
    model = build_model(blueprint).fit_constants({"column_density": log_maps}, log_target)
    inputs = {"column_density": log_maps[:2, :, :16, :16].clone()}
    results = []
    for network in (model, compiled(model, torch.device("cpu"))):
        model.train(training)
        model.zero_grad()
        answer = network(inputs)
        answer.square().mean().backward()
        results.append((answer.detach().clone(), [p.grad.clone() for p in model.parameters()]))
    (plain, plain_gradients), (other, gradients) = results
    torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(gradients, plain_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-2, atol=1e-3 * float(theirs.abs().max() + 1e-3))
