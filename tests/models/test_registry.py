"""Blocks by name: what may be registered, and how settings are checked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polaris_lab.models import Blueprint, Node, block_names, build_model, register_block, registry


@pytest.fixture
def clean(monkeypatch):
    """Forget, after the test, what it registered."""
    monkeypatch.setattr(registry, "_BLOCKS", dict(registry._BLOCKS))


class Gain(nn.Module):
    """A user's block with one required setting."""

    def __init__(self, factor: float, offset: float = 0.5, label: str | None = None) -> None:
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, x):
        return self.factor * x + self.offset


def test_own_block_works_like_any_other(clean):
    register_block("gain")(Gain)
    node = Node("mass_weighted_density", "gain", {"factor": 2}, ("column_density",))
    assert node.settings == {"factor": 2.0, "offset": 0.5, "label": None}
    blueprint = Blueprint(("column_density",), (node,), "mass_weighted_density")
    assert Blueprint.from_json(blueprint.to_json()) == blueprint
    out = build_model(blueprint)({"column_density": torch.full((1, 1, 2, 2), 3.0)})
    assert (out == 6.5).all()


def test_own_block_with_constants_is_fitted(clean, log_maps, log_target):
    @register_block("level")
    class Level(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("level", torch.tensor(0.0))

        def forward(self, x):
            return torch.zeros_like(x) + self.level

        def fit(self, *, target):
            self.level.fill_(target.mean())

    blueprint = Blueprint(("column_density",), (Node("n", "level", {}, ("column_density",)),), "n")
    model = build_model(blueprint).fit_constants({"column_density": log_maps}, log_target)
    assert float(model.nodes["n"].level) == pytest.approx(float(log_target.mean()))


def test_blocks_of_the_library_are_known():
    assert {"unet", "add", "standardize", "local_contrast", "power_law", "convolution"} <= set(block_names())


def test_names_are_given_once(clean):
    register_block("gain")(Gain)

    class Other(nn.Module):
        pass

    with pytest.raises(ValueError, match=r"register_block\('gain'\): this name already belongs to .*Gain"):
        register_block("gain")(Other)


def test_running_a_notebook_cell_twice_is_no_conflict(clean):
    """The same class, defined again under the same name, replaces the old one."""
    register_block("gain")(Gain)
    again = type("Gain", (Gain,), {"__module__": Gain.__module__, "__qualname__": Gain.__qualname__})
    register_block("gain")(again)
    assert registry.block_class("gain") is again


@pytest.mark.parametrize("name", ["", "my block", 3, None])
def test_bad_name(name):
    with pytest.raises(ValueError, match="expected a name such as 'my_block'"):
        register_block(name)


def test_only_modules_are_blocks():
    with pytest.raises(TypeError, match=r"expected a subclass of torch.nn.Module, got <class 'dict'>"):
        register_block("mapping")(dict)


def test_settings_need_type_hints():
    class Untyped(nn.Module):
        def __init__(self, factor=1):
            super().__init__()

    with pytest.raises(TypeError, match="expected a type hint for 'factor', got none"):
        register_block("untyped")(Untyped)


def test_settings_need_names():
    class Loose(nn.Module):
        def __init__(self, **anything: int):
            super().__init__()

    with pytest.raises(TypeError, match=r"expected a constructor with named settings, got \*\*anything"):
        register_block("loose")(Loose)


def test_required_setting_is_missing(clean):
    register_block("gain")(Gain)
    with pytest.raises(ValueError, match="node 'n': expected the key 'factor'"):
        Node("n", "gain", {}, ("column_density",))


@pytest.mark.parametrize(
    "read",
    [lambda x: float(x[-1]), lambda x: x.tolist()[-1], lambda x: x.numpy()[-1]],
    ids=["item", "list", "numpy"],
)
def test_a_block_that_reads_its_tensors_is_refused_with_the_remedy(clean, read):
    """Shapes are checked on the meta device, where tensors have no numbers."""

    @register_block("reads_numbers")
    class Reads(nn.Module):
        def __init__(self, size: int = 4) -> None:
            super().__init__()
            self.last = read(torch.linspace(0, 1, size))

        def forward(self, x):
            return x * self.last

    with pytest.raises(ValueError, match=r"node 'n': expected a block .*; compute them with math or numpy"):
        Node("n", "reads_numbers", {}, ("column_density",))
