"""What reaches the nodes of a blueprint: its inputs, checked, with NaN where an optional one is missing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.generative.drawn import baselines_of
from polaris_lab.quantities import quantity, quantity_names

LINE_CHANNELS = 16
"""Channels of a cube of which no block says how many it takes, where shapes are only checked."""


def shape_of(name: str) -> str:
    """Return "map", "cube", "maps" or "scalar"; a quantity that nobody registered is a map."""
    return quantity(name).shape if name in quantity_names() else "map"


def input_channels(blueprint: Blueprint, blocks: nn.ModuleDict) -> dict[str, int | None]:
    """Return the channels of each input: 1, or for cubes what the first block that takes it says; None if none does."""
    channels: dict[str, int | None] = {}
    for name in blueprint.inputs:
        channels[name] = 1
        if shape_of(name) in ("cube", "maps"):
            said = (getattr(blocks[n.name], "in_channels", None) for n in blueprint.nodes if name in n.inputs)
            channels[name] = next((count for count in said if count is not None), None)
    return channels


def placeholders(
    blueprint: Blueprint, channels: Mapping[str, int | None], size: tuple[int, ...]
) -> dict[str, Tensor]:
    """Return empty inputs for two images of `size`, on the default device."""
    return {
        name: torch.empty(
            2, channels[name] or LINE_CHANNELS, *([1] * len(size) if shape_of(name) == "scalar" else size)
        )
        for name in blueprint.inputs
    }


def checked_values(
    blueprint: Blueprint, inputs: Mapping[str, Tensor], channels: Mapping[str, int | None]
) -> dict[str, Tensor]:
    """Return the blueprint's inputs by name, checked.

    Raises
    ------
    TypeError
        If the inputs are not given by name, or one is no tensor of floating point numbers.
    ValueError
        If an input is missing or of another shape than its quantity has.
    """
    if not isinstance(inputs, Mapping):
        raise TypeError(
            f"model: expected log10 maps by name, for example {{{blueprint.inputs[0]!r}: tensor}}, got "
            f"{type(inputs).__name__}"
        )
    values: dict[str, Tensor] = {}
    for name in blueprint.inputs:
        if name in inputs:
            values[name] = _checked(name, inputs[name], channels[name])
        elif name not in blueprint.optional_inputs:
            raise ValueError(
                f"model: expected the inputs {list(blueprint.inputs)}, got {sorted(inputs)}; {name!r} is missing"
            )
    first = next(x for name, x in values.items() if shape_of(name) != "scalar")
    for name, x in values.items():
        if len(x) != len(first):
            raise ValueError(
                f"input {name!r}: expected as many images as there are maps, {len(first)}, got {len(x)}; repeat what is the "
                "same for all of them with expand"
            )
    for name in blueprint.inputs:
        if name not in values:
            side = (1,) * (first.ndim - 2) if shape_of(name) == "scalar" else first.shape[2:]
            values[name] = first.new_full((len(first), channels[name] or LINE_CHANNELS, *side), torch.nan)
    return values


def _checked(name: str, x: Tensor, channels: int | None) -> Tensor:
    """Return an input, or say which shape was expected of it."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(
            f"input {name!r}: expected a tensor of floating point numbers, got {kind}; give "
            "torch.as_tensor(values, dtype=torch.float32)"
        )
    shape = shape_of(name)
    if shape == "scalar":
        if x.ndim != 4 or x.shape[1:] != (1, 1, 1) or len(x) == 0:
            raise ValueError(
                f"input {name!r}: expected one number an image, the shape (N, 1, 1, 1), got {tuple(x.shape)}"
            )
        return x
    if x.ndim != 4 or 0 in x.shape or (channels is not None and x.shape[1] != channels):
        wanted = f"(N, {'C' if channels is None else channels}, H, W)"
        raise ValueError(f"input {name!r}: expected the shape {wanted}, got {tuple(x.shape)}")
    return x


def check_targets(
    blueprint: Blueprint, values: Mapping[str, Tensor | None], targets: Mapping[str, Tensor]
) -> None:
    """Refuse targets that are missing, or not of the size of the maps."""
    for output in blueprint.outputs:
        if output not in targets:
            raise ValueError(
                f"fit_constants: expected the targets {list(blueprint.outputs)}, got {sorted(targets)}"
            )
        target = targets[output]
        for name, x in values.items():
            if shape_of(name) == "map" and (len(x), *x.shape[2:]) != (len(target), *target.shape[2:]):
                raise ValueError(
                    f"fit_constants: expected the target to have the shape of {name!r} {tuple(x.shape)}, "
                    f"got {tuple(target.shape)}"
                )


def first_output(blueprint: Blueprint) -> dict[str, str]:
    """Return for each node the first output that depends on it (the main one if none does).

    Of outputs that are drawn together each has a baseline of its own, which is fitted to it.
    """
    serves: dict[str, str] = {}
    for output in reversed(blueprint.outputs):
        needed = {output}
        for node in reversed(blueprint.nodes):
            if node.name in needed:
                needed.update(node.inputs)
                serves[node.name] = output
    serves.update(baselines_of(blueprint))
    return {node.name: serves.get(node.name, blueprint.output) for node in blueprint.nodes}
