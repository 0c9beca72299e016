"""From a blueprint to a module: build, check shapes, count parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.fitting import CHUNK
from polaris_lab.models.node import Node
from polaris_lab.models.registry import Fitted, block_class, input_names


class BlueprintModel(nn.Module):
    """A blueprint with weights: its forward pass is a loop over the nodes. Make one with :func:`build_model`.

    Attributes
    ----------
    blueprint : Blueprint
        What it was built from.
    nodes : ModuleDict
        The blocks by the name of their node.
    receptive_margin : int
        Pixels further than this from an output pixel cannot change it: the margin that a tile needs.
    stride : int
        Origins and sizes of tiles must be multiples of it for the answer not to depend on the tiles. Whole
        images may have any size.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        self.blueprint = blueprint
        self.nodes = nn.ModuleDict(
            {node.name: block_class(node.block)(**node.settings) for node in blueprint.nodes}
        )
        self.receptive_margin = _receptive_margin(blueprint, self.nodes)
        self.stride = math.lcm(*(getattr(block, "stride", 1) for block in self.nodes.values()))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return log10 of the target (N, 1, H, W) for log10 maps (N, 1, H, W) by name.

        Names that the blueprint does not know are left aside. Where a map is NaN the answer is NaN for
        networks that start from a baseline, and other pixels are not spoilt.

        Raises
        ------
        TypeError
            If the maps are not given by name.
        ValueError
            If an input is missing, or not of shape (N, 1, H, W).
        """
        values = self._inputs(inputs)
        for node in self.blueprint.nodes:
            values[node.name] = self.nodes[node.name](*(values[name] for name in node.inputs))
        return values[self.blueprint.output]  # (N, 1, H, W)

    def blocks_named(self, block: str) -> list[nn.Module]:
        """Return the blocks of one kind, in the order of their nodes (none where the blueprint has none)."""
        return [self.nodes[node.name] for node in self.blueprint.nodes if node.block == block]

    def _inputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the blueprint's inputs, checked."""
        if not isinstance(inputs, Mapping):
            raise TypeError(
                f"model: expected log10 maps by name, for example {{{self.blueprint.inputs[0]!r}: tensor}}, got "
                f"{type(inputs).__name__}"
            )
        values = {}
        for name in self.blueprint.inputs:
            if name not in inputs:
                raise ValueError(
                    f"model: expected the inputs {list(self.blueprint.inputs)}, got {sorted(inputs)}; "
                    f"{name!r} is missing"
                )
            x = inputs[name]
            if x.ndim != 4 or x.shape[1] != 1 or 0 in x.shape:
                raise ValueError(f"input {name!r}: expected the shape (N, 1, H, W), got {tuple(x.shape)}")
            values[name] = x
        return values

    @torch.no_grad()
    def fit_constants(self, inputs: Mapping[str, Tensor], target: Tensor) -> BlueprintModel:
        """Fit the constants of the blocks that have any, in float64, in the order of the nodes.

        Parameters
        ----------
        inputs : mapping of str to Tensor, shape (N, 1, H, W)
            log10 of the training maps. NaN pixels take no part.
        target : Tensor, shape (N, 1, H, W)
            log10 of the target.

        Returns
        -------
        BlueprintModel
            Itself.

        Raises
        ------
        ValueError
            If values are constant or none is finite, or constants depend on a node that must be trained
            first: the error names the node.
        """
        values: dict[str, Tensor | None] = dict(self._inputs(inputs))
        for name, x in values.items():
            if x.shape != target.shape:
                raise ValueError(
                    f"fit_constants: expected the target to have the shape of {name!r} {tuple(x.shape)}, "
                    f"got {tuple(target.shape)}"
                )
        for node in self.blueprint.nodes:
            block = self.nodes[node.name]
            arguments = [values[name] for name in node.inputs]
            if isinstance(block, Fitted):
                _fit(block, node, arguments, target)
            values[node.name] = _value(block, arguments)
        return self

    def _repr_html_(self) -> str:
        return self.blueprint._repr_html_()


def build_model(blueprint: Blueprint, *, seed: int = 0) -> BlueprintModel:
    """Return the network of a blueprint with fresh weights.

    Parameters
    ----------
    blueprint : Blueprint
        What to build.
    seed : int
        Of the weights; torch's global random state is left as it was.

    Raises
    ------
    ValueError
        If the shapes of its nodes do not fit together: the error names the node.

    Examples
    --------
    >>> import torch
    >>> model = build_model(Blueprint.unet(layers=2, base_filters=4))
    >>> model({"column_density": torch.full((1, 1, 30, 41), 21.5)}).shape
    torch.Size([1, 1, 30, 41])
    """
    if not isinstance(blueprint, Blueprint):
        raise TypeError(f"build_model: expected a Blueprint, got {type(blueprint).__name__}")
    check_shapes(blueprint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BlueprintModel(blueprint)


def check_shapes(blueprint: Blueprint, size: tuple[int, int] = (64, 64)) -> dict[str, tuple[int, int, int]]:
    """Return the shape (channels, height, width) that each node gives for images of `size` (height, width).

    It runs on torch's meta device: no memory is taken and nothing is computed.

    Raises
    ------
    ValueError
        If a node cannot take its inputs, or the answer is no single map of the size of the input: the
        error names the node.

    Examples
    --------
    >>> check_shapes(Blueprint.unet(layers=2, base_filters=4), (32, 48))["correction"]
    (1, 32, 48)
    """
    with torch.device("meta"):
        model = BlueprintModel(blueprint)
        values = {name: torch.empty(2, 1, *size) for name in blueprint.inputs}
    shapes = {}
    for node in blueprint.nodes:
        try:
            value = model.nodes[node.name](*(values[name] for name in node.inputs))
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"node {node.name!r}: {error}") from error
        values[node.name] = value
        shapes[node.name] = tuple(value.shape[1:])
    if shapes[blueprint.output] != (1, *size):
        raise ValueError(
            f"node {blueprint.output!r}: expected one map of the size of the input, {(1, *size)}, "
            f"got {shapes[blueprint.output]}"
        )
    return shapes


def parameter_count(blueprint: Blueprint) -> int:
    """Return the number of trainable parameters, counted on the meta device.

    Examples
    --------
    >>> parameter_count(Blueprint.unet(layers=4, base_filters=64, convolutions=2))
    31393901
    """
    with torch.device("meta"):
        return sum(p.numel() for p in BlueprintModel(blueprint).parameters() if p.requires_grad)


def _receptive_margin(blueprint: Blueprint, blocks: nn.ModuleDict) -> int:
    """Return the longest sum of margins on a path from an input to the output."""
    reach = dict.fromkeys(blueprint.inputs, 0)
    for node in blueprint.nodes:
        before = max((reach[name] for name in node.inputs), default=0)
        reach[node.name] = before + getattr(blocks[node.name], "receptive_margin", 0)
    return reach[blueprint.output]


def _fit(block: Fitted, node: Node, arguments: list[Tensor | None], target: Tensor) -> None:
    """Fit a block's constants, handing it the inputs that its method `fit` names."""
    given = dict(zip(input_names(node.block)[0], zip(node.inputs, arguments, strict=False), strict=False))
    wanted = {name: given[name] for name in inspect.signature(block.fit).parameters if name != "target"}
    for source, argument in wanted.values():
        if argument is None:
            raise ValueError(
                f"node {node.name!r}: its constants depend on {source!r}, which has weights to be trained; "
                "expected an input that is known before training"
            )
    try:
        block.fit(**{name: argument for name, (_, argument) in wanted.items()}, target=target)
    except ValueError as error:
        raise ValueError(f"node {node.name!r}: {error}") from error


def _value(block: nn.Module, arguments: list[Tensor | None]) -> Tensor | None:
    """Return what a block without trainable weights gives, computed in float64; None for one with weights."""
    known = [argument for argument in arguments if argument is not None]
    if len(known) < len(arguments) or any(True for _ in block.parameters()):
        return None
    parts = zip(*(argument.split(CHUNK) for argument in known), strict=True)
    return torch.cat(
        [block(*(x.double() for x in part)).to(known[0].dtype) for part in parts]
    )  # (N, C, H, W)
