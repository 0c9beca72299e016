"""Regions of maps and which of them touch: superpixels, and the graph of any regions.

A superpixel grows around the centre of one cell of a regular grid: each pixel joins the nearest of the 9 centres
around it, near in place and in value, and the centres move to the means of their pixels, a few times (after Achanta
et al. 2012, SLIC). Only differences of values count, so a map that is brighter everywhere has the same superpixels;
and a pixel cannot join a centre further away than the next cell, so what decides it lies within a known distance.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

OFFSETS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))
"""The 9 cells around a pixel, its own in the middle."""


@dataclasses.dataclass(frozen=True)
class RegionGraph:
    """Which pixels belong to which node, and which nodes touch.

    Attributes
    ----------
    labels : Tensor of int64, shape (N, H, W)
        Node of each pixel, -1 where the map is not finite. Nodes of different images differ.
    nodes : int
        How many; those without pixels included.
    edges : Tensor of int64, shape (2, E)
        From and to; each pair of regions that touch is there in both directions.
    border : Tensor, shape (E,)
        Pixel sides that the two have in common.
    """

    labels: Tensor
    nodes: int
    edges: Tensor
    border: Tensor


@torch.no_grad()
def superpixels(x: Tensor, *, size: int, iterations: int = 2, tolerance: float = 0.3) -> Tensor:
    """Return the superpixel of each pixel.

    Parameters
    ----------
    x : Tensor, shape (N, H, W)
        Maps of logarithms [dex]; NaN where there is no value.
    size : int
        Side of a cell of the grid [pixels]: superpixels have about size^2 pixels.
    iterations : int
        How often centres move and pixels choose again.
    tolerance : float
        Difference of values [dex] that counts as much as a distance of `size` pixels.

    Returns
    -------
    Tensor of int64, shape (N, H, W)
        Number of the cell (in row-major order, image after image) whose centre the pixel has joined; -1 where x is not
        finite.

    Examples
    --------
    >>> superpixels(torch.zeros(1, 2, 4), size=2)
    tensor([[[0, 0, 1, 1],
             [0, 0, 1, 1]]])
    """
    count, height, width = x.shape
    rows, columns = -(-height // size), -(-width // size)
    valid = torch.isfinite(x)  # (N, H, W)
    y = torch.arange(height, device=x.device)[:, None].expand(height, width)  # (H, W)
    z = torch.arange(width, device=x.device)[None, :].expand(height, width)  # (H, W)
    image = torch.arange(count, device=x.device)[:, None, None]  # (N, 1, 1)
    labels = (image * rows + y // size) * columns + z // size  # (N, H, W)
    level = torch.where(valid, x, 0.0).double().sum((1, 2), keepdim=True) / valid.sum(
        (1, 2), keepdim=True
    ).clamp(min=1)  # (N, 1, 1): values of 20 dex would lose digits
    value = torch.where(valid, x.double() - level.round(), 0.0) / tolerance  # (N, H, W)
    features = torch.stack(
        [value, (y / size).double().expand_as(value), (z / size).double().expand_as(value)], dim=-1
    )  # (N, H, W, 3)
    for _ in range(iterations):
        centres, members = region_means(features[valid], labels[valid], count * rows * columns)
        labels = _nearest(features, centres, members, image, (y // size, z // size), (rows, columns))
    return torch.where(valid, labels, -1)  # (N, H, W)


def region_means(values: Tensor, labels: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Return the mean (nodes, F) of the pixels (P, F) of each node (0 for one without), and how many it has (nodes,)."""
    members = torch.zeros(nodes, dtype=values.dtype, device=values.device).index_add(
        0, labels, torch.ones_like(values[:, 0])
    )
    total = torch.zeros(nodes, values.shape[1], dtype=values.dtype, device=values.device)
    return total.index_add(0, labels, values) / members.clamp(min=1)[:, None], members


def _nearest(
    features: Tensor,
    centres: Tensor,
    members: Tensor,
    image: Tensor,
    cell: tuple[Tensor, Tensor],
    grid: tuple[int, int],
) -> Tensor:
    """Return, of the 9 cells around each pixel, the one whose centre is nearest; the first of equals."""
    rows, columns = grid
    best = features.new_full(features.shape[:-1], torch.inf)  # (N, H, W)
    labels = torch.full_like(best, -1, dtype=torch.int64)  # (N, H, W)
    for down, right in OFFSETS:
        row, column = cell[0] + down, cell[1] + right  # (H, W)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)  # (H, W)
        number = (image * rows + row.clamp(0, rows - 1)) * columns + column.clamp(0, columns - 1)  # (N, H, W)
        distance = (features - centres[number]).square().sum(-1)  # (N, H, W)
        nearer = inside & (members[number] > 0) & (distance < best)  # (N, H, W)
        best = torch.where(nearer, distance, best)
        labels = torch.where(nearer, number, labels)
    return labels  # (N, H, W); -1 where no cell around has a pixel


@torch.no_grad()
def region_graph(labels: Tensor, nodes: int) -> RegionGraph:
    """Return which regions touch: those that have a pixel side in common.

    Parameters
    ----------
    labels : Tensor of int64, shape (N, H, W)
        From 0 to nodes - 1, or -1 for none; a region lies in one image.
    nodes : int
        How many numbers there are.

    Examples
    --------
    >>> graph = region_graph(torch.tensor([[[0, 0, 1], [2, -1, 1]]]), 3)
    >>> graph.edges.tolist(), graph.border.tolist()
    ([[0, 0, 1, 2], [1, 2, 0, 0]], [1.0, 1.0, 1.0, 1.0])
    """
    pairs = torch.cat(
        [
            torch.stack([labels[:, 1:].flatten(), labels[:, :-1].flatten()]),
            torch.stack([labels[..., 1:].flatten(), labels[..., :-1].flatten()]),
        ],
        dim=1,
    )  # (2, sides)
    pairs = pairs[:, (pairs[0] != pairs[1]) & (pairs >= 0).all(dim=0)]  # (2, sides between regions)
    pairs = torch.cat([pairs, pairs.flip(0)], dim=1)  # both directions
    keys, border = torch.unique(pairs[0] * nodes + pairs[1], return_counts=True)  # (E,)
    edges = torch.stack([keys // max(nodes, 1), keys % max(nodes, 1)])  # (2, E)
    return RegionGraph(labels=labels, nodes=nodes, edges=edges, border=border.float())
