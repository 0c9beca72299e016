"""How far a network looks, and what of an image it need not look at for a part of the answer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from polaris_lab.models.blueprint import Blueprint


def receptive_margin(blueprint: Blueprint, blocks: nn.ModuleDict, *, known: Sequence[str] = ()) -> int:
    """Return the longest sum of margins [pixels] on a path from an input, or from a node that is known, to an output."""
    reach = dict.fromkeys((*blueprint.inputs, *known), 0)
    for node in blueprint.nodes:
        if node.name not in known:
            before = max((reach[name] for name in node.inputs), default=0)
            reach[node.name] = before + getattr(blocks[node.name], "receptive_margin", 0)
    return max(reach[output] for output in blueprint.outputs)


def front_nodes(blueprint: Blueprint, blocks: nn.ModuleDict) -> tuple[str, ...]:
    """Return the nodes without weights that look at a neighbourhood of the inputs themselves, such as a local contrast.

    None for networks with a context, which they may see as a whole.
    """
    if any(name.startswith("context") for name in blueprint.inputs):
        return ()
    return tuple(
        node.name
        for node in blueprint.nodes
        if set(node.inputs) <= set(blueprint.inputs)
        and node.name not in blueprint.outputs
        and getattr(blocks[node.name], "receptive_margin", 0) > 0
        and not any(True for _ in blocks[node.name].parameters())
    )


def trim(
    values: dict[str, Tensor], kept: tuple[slice, slice], *, margin: int, stride: int
) -> tuple[int, int, int, int]:
    """Cut all images of one size down to what a part of the answer needs.

    Parameters
    ----------
    values : dict of Tensor
        Images (N, C, H, W), changed in place; what has another size (a number) stays.
    kept : (slice, slice)
        Rows and columns whose answer is needed.
    margin : int
        Pixels around them that are needed.
    stride : int
        The cuts are multiples of it.

    Returns
    -------
    (int, int, int, int)
        Pixels cut off left, right, above and below.

    Examples
    --------
    >>> import torch
    >>> values = {"x": torch.zeros(1, 1, 64, 64), "scale": torch.zeros(1, 1, 1, 1)}
    >>> trim(values, (slice(0, 32), slice(20, 44)), margin=10, stride=8), values["x"].shape
    ((8, 8, 0, 16), torch.Size([1, 1, 48, 48]))
    """
    height, width = max((x.shape[2:] for x in values.values()), key=lambda shape: shape[0] * shape[1])
    cuts, inside = [], []
    for side, part in zip((height, width), kept, strict=True):
        low, high = (max(0, n - margin) // stride * stride for n in (part.start, side - part.stop))
        cuts.append((low, high))
        inside.append(slice(low, side - high))
    for name, value in values.items():
        if value.shape[2:] == (height, width):
            values[name] = value[(..., *inside)]
    return (*cuts[1], *cuts[0])
