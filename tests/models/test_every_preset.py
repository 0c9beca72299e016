"""What every preset owes, at its tiny settings: presets that are registered later are tested too.

Of the symmetries of the square: a network by itself has none (its kernels have directions), but the mean of its
answers over the 8 turns and mirrors of a map turns and mirrors with the map. That is tested here, also for
networks with several inputs, of which every one is turned; that plain U-Nets break the symmetry by their
kernels alone is tested in test_unet.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from polaris_lab.models import Blueprint, build_model, check_shapes, load_model, preset_names, save_model
from polaris_lab.models.inputs import LINE_CHANNELS, shape_of
from polaris_lab.models.presets import tiny_settings
from polaris_lab.quantities import is_logarithmic

SIDE = 32
BOTH = ["mass_weighted_density", "max_density"]
VARIANTS = {
    "unet with two outputs": {"outputs": BOTH, "residual_blocks": True},
    "unet within bounds": {"outputs": BOTH, "bounds": True, "head": "quantiles"},
    "unet with a Gaussian": {"head": "gaussian", "convolutions": 2},
    "unet with absolute values": {"scale_equivariant": False, "residual": False},
}
CASES = [*preset_names(), *VARIANTS]


def tiny(name: str) -> Blueprint:
    preset = "unet" if name in VARIANTS else name
    return Blueprint.preset(preset, **tiny_settings(preset), **VARIANTS.get(name, {}))


def smooth(channels: int, seed: int, side: int = SIDE) -> Tensor:
    """Two images of smooth random structure with zero mean and unit deviation."""
    noise = torch.randn(2, channels, side + 8, side + 8, generator=torch.Generator().manual_seed(seed))
    image = torch.nn.functional.avg_pool2d(noise, 9, stride=1)  # (2, C, side, side)
    return image / image.std()


def example(model, seed: int = 3) -> dict[str, Tensor]:
    """Inputs of every quantity that the model takes, two of each."""
    inputs = {}
    for number, name in enumerate(model.blueprint.inputs):
        image = smooth(model.channels[name] or LINE_CHANNELS, seed + number)
        if name == "column_density":
            inputs[name] = 21.5 + 0.4 * image
        elif shape_of(name) == "scalar":
            inputs[name] = 0.5 + 0.2 * image[:, :1, :1, :1]
        else:
            inputs[name] = image if is_logarithmic(name) else image.abs()
    return inputs


def targets(model) -> Tensor | dict[str, Tensor]:
    """A density for every output: one map, or as many as an output without a spread has channels."""
    shapes = check_shapes(model.blueprint, (SIDE, SIDE))
    values = {}
    for number, name in enumerate(model.blueprint.outputs):
        channels = shapes[name][0] if model.heads[name].kind == "point" else 1
        values[name] = 3 + 0.5 * smooth(channels, 40 + number)
    return values if model.blueprint.extra_outputs else values[model.blueprint.output]


def loss(model, inputs: Mapping[str, Tensor], target) -> Tensor:
    """One number through which every weight that matters can be felt."""
    if getattr(model, "is_generative", False):
        return model.training_loss(inputs, target, torch.Generator().manual_seed(5)).mean()
    raw = model(inputs)
    answers = raw if isinstance(raw, Mapping) else {model.blueprint.output: raw}
    wanted = target if isinstance(target, Mapping) else {model.blueprint.output: target}
    return sum((answers[name] - wanted[name]).square().mean() for name in answers)


def fitted(name: str, seed: int = 0):
    model = build_model(tiny(name), seed=seed)
    return model.fit_constants(example(model), targets(model))


def answers(raw) -> dict[str, Tensor]:
    return dict(raw) if isinstance(raw, Mapping) else {"": raw}


def equal(first, second) -> bool:
    first, second = answers(first), answers(second)
    return first.keys() == second.keys() and all(
        torch.equal(torch.nan_to_num(first[key], nan=-9.0), torch.nan_to_num(second[key], nan=-9.0))
        for key in first
    )


@pytest.fixture(scope="module")
def from_source(tmp_path_factory):
    """What the Python source of every preset answers, each executed in one other process, with the model's weights."""
    folder = tmp_path_factory.mktemp("sources")
    for name in CASES:
        model = fitted(name).eval()
        (folder / f"{name}.py").write_text(model.blueprint.to_python())
        save_file(
            {key: value.contiguous() for key, value in model.state_dict().items()}, folder / f"{name}.weights"
        )
        save_file(example(model), folder / f"{name}.inputs")
    script = """
import pathlib, sys, torch
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.py")):
    scope = {"__name__": "exported"}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    network = scope["Network"]()
    network.load_state_dict(load_file(path.with_suffix(".weights")))
    with torch.no_grad():
        raw = network.eval()(**load_file(path.with_suffix(".inputs")))
    raw = raw if isinstance(raw, dict) else {"": raw}
    save_file({"answer" + key: value.contiguous() for key, value in raw.items()}, path.with_suffix(".answer"))
assert "polaris_lab.models.blueprint" not in scope
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr

    def read(name: str) -> dict[str, Tensor]:
        saved = load_file(folder / f"{name}.answer")
        return {key.removeprefix("answer"): value for key, value in saved.items()}

    return read


@pytest.mark.parametrize("name", CASES)
class TestEveryPreset:
    """Forward, backward, shapes, round trips, symmetry, live parameters."""

    def test_forward_gives_the_shapes_that_were_announced(self, name):
        model = fitted(name).eval()
        announced = check_shapes(model.blueprint, (SIDE, SIDE))
        with torch.no_grad():
            raw = answers(model(example(model)))
        assert len(raw) == len(model.blueprint.outputs)
        for output in model.blueprint.outputs:
            answer = raw[output if model.blueprint.extra_outputs else ""]
            assert answer.shape == (2, *announced[output])
            assert torch.isfinite(answer).all()

    def test_it_trains_a_step(self, name):
        """A step downhill on one batch lowers the loss of that batch."""
        model = fitted(name).train()
        inputs, target = example(model), targets(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        before = loss(model, inputs, target)
        before.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            after = loss(model, inputs, target)
        assert torch.isfinite(after)
        assert float(after) <= float(before.detach()) + 1e-6

    def test_gradient_reaches_every_parameter(self, name, disturb):
        """In evaluation, where a normalisation does not cancel the offset before it; from weights that are nowhere 0."""
        model = disturb(fitted(name))
        generator = torch.Generator().manual_seed(8)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
        for seed in (3, 13):
            loss(model, example(model, seed), targets(model)).backward()
        dead = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert dead == []

    def test_json_round_trip(self, name):
        blueprint = tiny(name)
        again = Blueprint.from_json(blueprint.to_json())
        assert again == blueprint
        assert again.fingerprint == blueprint.fingerprint

    def test_python_round_trip(self, name, from_source):
        model = fitted(name).eval()
        with torch.no_grad():
            expected = model(example(model))
        got = from_source(name)
        assert equal(got if model.blueprint.extra_outputs else got[""], expected)

    def test_disk_round_trip(self, name, tmp_path):
        model = fitted(name).eval()
        again = load_model(save_model(tmp_path / "model.safetensors", model))
        assert again.blueprint == model.blueprint
        with torch.no_grad():
            assert equal(again(example(model)), model(example(model)))

    def test_mean_over_the_square_turns_with_the_map(self, name):
        model = fitted(name).eval().double()
        inputs = {key: value.double() for key, value in example(model).items()}
        moves = [(turns, mirror) for turns in range(4) for mirror in (False, True)]

        def move(x, turns, mirror):
            x = x.flip(-1) if mirror else x
            return torch.rot90(x, turns, (-2, -1))

        def back(x, turns, mirror):
            x = torch.rot90(x, -turns, (-2, -1))
            return x.flip(-1) if mirror else x

        def mean(given):
            with torch.no_grad():
                raw = [
                    {
                        k: back(v, *m)
                        for k, v in answers(model({n: move(x, *m) for n, x in given.items()})).items()
                    }
                    for m in moves
                ]
            return {key: sum(answer[key] for answer in raw) / 8 for key in raw[0]}

        expected = mean(inputs)
        for turns, mirror in ((1, False), (0, True)):
            turned = mean({key: move(value, turns, mirror) for key, value in inputs.items()})
            for key, value in expected.items():
                torch.testing.assert_close(turned[key], move(value, turns, mirror), rtol=0, atol=1e-9)

    def test_summary_counts_its_parameters_and_operations(self, name):
        blueprint = tiny(name)
        count = sum(p.numel() for p in build_model(blueprint).parameters())
        assert f"{count:,} parameters" in blueprint.summary((SIDE, SIDE))

    def test_features_of_every_node(self, name):
        model = fitted(name).eval()
        maps = model.features(example(model))
        assert {node.name for node in model.blueprint.nodes} <= set(maps)
