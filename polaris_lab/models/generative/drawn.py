"""Which outputs of a blueprint are drawn, and by which node: one map each, drawn together where there are several."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.generative.protocol import Generative
from polaris_lab.models.node import Node
from polaris_lab.models.registry import block_class

SELECT = "select_channels"
"""The block that takes the channel of one output from what is drawn."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """The node that draws, and the outputs in the order of its channels."""

    node: str
    outputs: tuple[str, ...]

    def stacked(self, target: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return the targets as the channels (N, C, H, W) that the node learns.

        Examples
        --------
        >>> both = {"b": torch.ones(1, 1, 2, 2), "a": torch.zeros(1, 1, 2, 2)}
        >>> Drawn("samples", ("a", "b")).stacked(both)[0, :, 0, 0]
        tensor([0., 1.])
        """
        if isinstance(target, Tensor):
            return target
        return torch.cat([target[name] for name in self.outputs], dim=1)  # (N, C, H, W)

    def split(self, drawn: Tensor) -> Tensor | dict[str, Tensor]:
        """Return samples (S, N, C, H, W) by output, each (S, N, 1, H, W); as they are if there is one output."""
        if len(self.outputs) == 1:
            return drawn
        return {name: drawn[:, :, [channel]] for channel, name in enumerate(self.outputs)}


def drawn_outputs(blueprint: Blueprint) -> Drawn | None:
    """Return which node draws the outputs of a blueprint; None if it answers without drawing.

    Raises
    ------
    ValueError
        If some outputs are drawn and others are not, or they are not all channels of one node: the error names the node.
    """
    sources = {name: _source(blueprint, name) for name in blueprint.outputs}
    found = [source for source in sources.values() if source is not None]
    if not found:
        return None
    node = found[0][0]
    for name, source in sources.items():
        if source is None or source[0] != node:
            block = blueprint.node(name).block
            raise ValueError(
                f"node {name!r}: expected one channel of what {node!r} draws, as the other outputs are drawn together "
                f"(block {SELECT!r}), got the block {block!r}; let one node draw all outputs, or leave this one out"
            )
    if len(found) == 1 and node == blueprint.output:
        return Drawn(node, (blueprint.output,))
    channels = blueprint.node(node).settings.get("channels", 1)
    order = sorted(sources, key=lambda name: sources[name][1])
    if [sources[name][1:] for name in order] != [(channel, 1) for channel in range(channels)]:
        taken = {name: list(range(first, first + count)) for name, (_, first, count) in sources.items()}
        raise ValueError(
            f"node {node!r}: expected each of its {channels} channels to be taken by one output, got {taken}; "
            f"set channels={len(sources)}, and first to 0, 1 ... (count=1)"
        )
    return Drawn(node, tuple(order))


def baselines_of(blueprint: Blueprint) -> dict[str, str]:
    """Return for each baseline of outputs that are drawn together, by its node, the output that it is fitted to."""
    drawn = drawn_outputs(blueprint)
    if drawn is None or len(drawn.outputs) == 1:
        return {}
    nodes = {node.name: node for node in blueprint.nodes}
    stacked = nodes.get(nodes[drawn.node].inputs[0])
    if stacked is None or stacked.block != "concatenate" or len(stacked.inputs) != len(drawn.outputs):
        return {}
    return dict(zip(stacked.inputs, drawn.outputs, strict=True))


def _source(blueprint: Blueprint, output: str) -> tuple[str, int, int] | None:
    """Return the node that draws an output, and its first channel and their number; None if none does."""
    nodes = {node.name: node for node in blueprint.nodes}
    node = nodes[output]
    if _draws(node):
        return output, 0, 1
    if node.block == SELECT and node.inputs[0] in nodes and _draws(nodes[node.inputs[0]]):
        return node.inputs[0], node.settings["first"], node.settings["count"]
    return None


def _draws(node: Node) -> bool:
    return issubclass(block_class(node.block), Generative)
