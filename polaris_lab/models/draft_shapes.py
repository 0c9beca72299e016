"""What each node of a draft gives, as far as it is wired: shapes and parameters, on the meta device."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import torch
from torch import nn

from polaris_lab.models.draft import Draft, DraftNode
from polaris_lab.models.heads import PointHead
from polaris_lab.models.inputs import LINE_CHANNELS, shape_of
from polaris_lab.models.node import on_meta
from polaris_lab.models.registry import block_class


@dataclasses.dataclass(frozen=True)
class Seen:
    """One node as it stands."""

    shape: tuple[int, ...] | None = None
    """(channels, height, width) that it gives; None while that is not known."""
    parameters: int = 0
    """Trainable parameters."""
    error: str = ""
    """Why it cannot take its inputs."""


def look(draft: Draft, size: tuple[int, int] = (64, 64)) -> dict[str, Seen]:
    """Return what is known of every input and node, for images of `size` (height, width).

    Nothing is computed and no memory is taken; what was seen before is remembered, so that a change costs what
    depends on it.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint
    >>> seen = look(Draft.of(Blueprint.unet(layers=2, base_filters=4)))
    >>> seen["correction"].shape, seen["correction"].parameters
    ((1, 64, 64), 3821)
    """
    nodes = draft.ordered()
    blocks = {node.name: _block(node) for node in nodes}
    seen = {name: Seen(_input_shape(draft, name, blocks, size)) for name in draft.inputs}
    for node in nodes:
        block, parameters, error = blocks[node.name]
        shapes = tuple(seen[source].shape if source in seen else None for source in node.sources)
        shape = None
        if not error and not node.missing and None not in shapes:
            shape, error = _run(block, shapes)
        if shape is not None and not error and node.name in draft.outputs:
            error = _answer_error(block, shape, size)
        seen[node.name] = Seen(shape, parameters, error)
    return seen


def _input_shape(draft: Draft, name: str, blocks: dict[str, Any], size: tuple[int, int]) -> tuple[int, ...]:
    """Return the shape of an input: one channel, or for cubes what the first block that takes it says."""
    kind = shape_of(name)
    if kind == "scalar":
        return (1, 1, 1)
    if kind == "map":
        return (1, *size)
    takers = (node for node in draft.nodes if name in node.sources)
    said = (getattr(blocks[node.name][0], "in_channels", None) for node in takers)
    return (next((count for count in said if isinstance(count, int)), LINE_CHANNELS), *size)


def _block(node: DraftNode) -> tuple[nn.Module | None, int, str]:
    """Return a block on the meta device, its trainable parameters, and what it says of its settings."""
    block, _kind, words = on_meta(block_class(node.block), json.dumps(node.settings, sort_keys=True))
    count = sum(p.numel() for p in block.parameters() if p.requires_grad) if block is not None else 0
    return block, count, words


@functools.lru_cache(maxsize=1024)
def _run(block: nn.Module, shapes: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...] | None, str]:
    """Return the shape that a block gives for two images of these shapes, or what it says against them."""
    try:
        with torch.device("meta"), torch.no_grad():
            answer = block(*(torch.empty(2, *shape) for shape in shapes))
    except (RuntimeError, TypeError, ValueError) as error:
        return None, str(error)
    return tuple(answer.shape[1:]), ""


def _answer_error(block: nn.Module, shape: tuple[int, ...], size: tuple[int, int]) -> str:
    """Return what is wrong with a shape as the answer of the network."""
    head = getattr(block, "head", PointHead())
    expected = (head.channels, *size)
    what = "one map" if head.channels == 1 else f"{head.channels} maps ({head.kind})"
    return (
        ""
        if shape == expected
        else f"output: expected {what} of the size of the input, {expected}, got {shape}"
    )
