"""Several outputs of one generative network: drawn together, each about a baseline of its own."""

from __future__ import annotations

import pytest
import torch

from polaris_lab.models import Blueprint, Node, build_model

OUTPUTS = ("mass_weighted_density", "max_density", "number_of_components")
SIZES = {"layers": 1, "base_filters": 4, "reference_scale": 4.0}
STEPS = {"flow_matching": 4, "diffusion": 4, "bridge": 4, "invertible": 1}


def maps(seed: int) -> torch.Tensor:
    return torch.randn(2, 1, 21, 29, generator=torch.Generator().manual_seed(seed))


def fitted(name: str, outputs: tuple[str, ...] = OUTPUTS):
    inputs = {"column_density": 21.5 + 0.4 * maps(0)}
    law = 3 + 1.5 * (inputs["column_density"] - 21.5)
    targets = {
        "mass_weighted_density": law + 0.1 * maps(1),
        "max_density": 2 * law - 1 + 0.1 * maps(2),
        "number_of_components": 2 + 0.3 * maps(3),
        "volume_weighted_density": law - 0.6 + 0.1 * maps(4),
    }
    targets = {output: targets[output] for output in outputs}
    model = build_model(Blueprint.preset(name, **SIZES, outputs=outputs))
    return model.fit_constants(inputs, targets).eval(), inputs, targets


@pytest.mark.parametrize("name", list(STEPS))
def test_all_outputs_are_drawn(name):
    """A density follows N -> 10 N in every sample, a number of components does not; every weight is felt."""
    model, inputs, targets = fitted(name)
    drawn = model.sample(inputs, samples=3, steps=STEPS[name], seed=1)
    denser = model.sample(
        {"column_density": inputs["column_density"] + 1}, samples=3, steps=STEPS[name], seed=1
    )
    assert tuple(drawn) == OUTPUTS
    for output, shift in zip(OUTPUTS, (1, 1, 0), strict=True):
        assert drawn[output].shape == (3, 2, 1, 21, 29)
        assert drawn[output].std(dim=0).mean() > 0.01
        torch.testing.assert_close(denser[output], drawn[output] + shift, rtol=0, atol=1e-4)
    model.training_loss(inputs, targets, torch.Generator().manual_seed(0)).mean().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_each_output_has_a_baseline_of_its_own():
    """<n>_M ~ N^1.5 and n_max ~ N^3: beyond N itself the second slope is four times the first."""
    model, _, _ = fitted("flow_matching")
    slope, steeper = (float(model.weights(f"{name}_baseline")["slope"]) for name in OUTPUTS[:2])
    assert steeper == pytest.approx(4 * slope, rel=0.1)


def test_the_order_of_the_channels_is_free():
    """Outputs may be listed in another order than they are drawn in."""
    blueprint = Blueprint.preset("flow_matching", **SIZES, outputs=OUTPUTS[:2])
    turned = Blueprint(
        blueprint.inputs, blueprint.nodes, OUTPUTS[1], extra_outputs=OUTPUTS[:1], name=blueprint.name
    )
    inputs, model, other = (
        {"column_density": 21.5 + 0.4 * maps(0)},
        build_model(blueprint),
        build_model(turned),
    )
    targets = {name: 3 + number + 0.2 * maps(number) for number, name in enumerate(OUTPUTS[:2])}
    first, second = (m.fit_constants(inputs, targets).sample(inputs, samples=1) for m in (model, other))
    assert all(torch.equal(first[name], second[name]) for name in OUTPUTS[:2])


def graph(*nodes: Node, extra: tuple[str, ...] = ("max_density",)) -> Blueprint:
    front = (
        Node("seen", "local_contrast", {"scale": 4.0}, ("column_density",)),
        Node("guess", "offset", {}, ("column_density",)),
    )
    return Blueprint(("column_density",), (*front, *nodes), "mass_weighted_density", extra_outputs=extra)


def flow(name: str, channels: int = 1) -> Node:
    settings = {"layers": 1, "base_filters": 4, "channels": channels}
    return Node(name, "flow_matching", settings, ("guess", "seen"))


def test_outputs_that_are_not_drawn_together_are_refused():
    with pytest.raises(
        ValueError, match=r"node 'max_density': expected one channel .*'flow_matching'; let one node"
    ):
        build_model(graph(flow("mass_weighted_density"), flow("max_density")))
    add = Node("max_density", "add", {}, ("mass_weighted_density", "guess"))
    with pytest.raises(ValueError, match=r"node 'max_density': expected one channel .* got the block 'add'"):
        build_model(graph(flow("mass_weighted_density"), add))


def test_channels_that_no_output_takes_are_refused():
    first = Node("mass_weighted_density", "select_channels", {}, ("samples",))
    with pytest.raises(
        ValueError, match=r"node 'samples': expected each of its 2 channels .*; set channels=1"
    ):
        build_model(graph(flow("samples", 2), first, extra=()))


THREE = ("max_density", "mass_weighted_density", "volume_weighted_density")


@pytest.mark.parametrize("name", list(STEPS))
def test_no_sample_contradicts_itself(name):
    """<n>_V <= <n>_M <= n_max in every pixel of every sample, whatever the weights say."""
    model, inputs, _ = fitted(name, THREE)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.generative.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    drawn = model.sample(inputs, samples=20, steps=STEPS[name], seed=2)
    assert drawn["max_density"].std(dim=0).max() > 0.05  # it draws something
    assert bool((drawn["max_density"] >= drawn["mass_weighted_density"]).all())
    assert bool((drawn["mass_weighted_density"] >= drawn["volume_weighted_density"]).all())
    with torch.no_grad():
        answer = model(inputs)
    assert bool((answer["max_density"] >= answer["mass_weighted_density"]).all())


def test_the_drawn_distances_are_those_of_the_targets():
    """A network that answers 0 gives the middle of the targets: none is shifted by the way in which it is learnt."""
    model, inputs, targets = fitted("invertible", THREE)
    with torch.no_grad():
        model.nodes["samples"].network.last.weight.zero_()
        for step in model.nodes["samples"].steps:
            for parameter in step.layers[-1].parameters():
                parameter.zero_()
        answer = model(inputs)
    for output in THREE:
        assert float((answer[output] - targets[output]).median()) == pytest.approx(0, abs=0.05)
        assert float((answer[output] - targets[output]).std()) < 0.3


def test_a_single_density_is_drawn_as_before():
    node = Blueprint.preset("flow_matching", **SIZES).node("mass_weighted_density")
    assert node.settings["above"] == []
    several = Blueprint.preset("flow_matching", **SIZES, outputs=("max_density", "number_of_components"))
    assert several.node("samples").settings["above"] == []


def test_an_order_that_is_none_is_refused():
    for above in ((0, -1), (-1, 1), (-1,), (-1, -2)):
        settings = {"layers": 1, "base_filters": 4, "channels": 2, "above": above}
        with pytest.raises(ValueError, match=r"node 'samples': above: expected for each of 2 channels"):
            Node("samples", "flow_matching", settings, ("guess", "seen"))


def test_targets_that_contradict_the_order_are_refused():
    """Swapped targets are found before anything is trained; equal ones (uniform gas) are not."""
    model, inputs, targets = fitted("flow_matching")
    swapped = {**targets, "max_density": targets["mass_weighted_density"] - 0.5}
    with pytest.raises(
        ValueError, match=r"node 'samples': expected channel 1 .* nowhere below channel 0, got 100 %"
    ):
        model.fit_constants(inputs, swapped)
    model.fit_constants(inputs, {**targets, "max_density": targets["mass_weighted_density"]})
    loss = model.training_loss(
        inputs, {**targets, "max_density": targets["mass_weighted_density"]}, torch.Generator()
    )
    assert torch.isfinite(loss).all()
