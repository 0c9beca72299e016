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
from torch.nn import functional

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
    filled = (0, columns * size - width, 0, rows * size - height)
    x = functional.pad(x, filled, value=torch.nan)  # (N, R size, C size): whole cells
    valid = torch.isfinite(x)  # (N, R size, C size)
    # Values of 20 dex would lose digits. A whole number: tiles of one map leave the same differences.
    total = torch.where(valid, x, 0.0).double().sum((1, 2), keepdim=True)  # (N, 1, 1)
    level = (total / valid.sum((1, 2), keepdim=True).clamp(min=1)).round()  # (N, 1, 1)
    value = torch.where(valid, x.double() - level, 0.0) / tolerance  # (N, R size, C size)
    places = (torch.arange(n * size, device=x.device).double() / size for n in (rows, columns))
    row, column = torch.meshgrid(*places, indexing="ij")  # (R size, C size)
    features = torch.stack([value, row.expand_as(value), column.expand_as(value)])  # (3, N, R size, C size)
    features = features.view(3, count, rows, size, columns, size)
    numbers = torch.arange(count * rows * columns, device=x.device).view(count, rows, 1, columns, 1)
    labels = numbers.expand(features.shape[1:])  # (N, R, size, C, size)
    weight = valid.double().reshape(-1, 1)  # (pixels, 1)
    for _ in range(iterations):
        seen = torch.cat([features.reshape(3, -1).T * weight, weight], dim=1)  # (pixels, 4)
        sums = torch.zeros(numbers.numel(), 4, dtype=torch.float64, device=x.device)
        sums = sums.index_add(0, labels.reshape(-1), seen).view(count, rows, columns, 4)
        labels = _nearest(features, sums, numbers)
    labels = labels.reshape(count, rows * size, columns * size)
    return torch.where(valid, labels, -1)[:, :height, :width]  # (N, H, W)


def region_means(values: Tensor, labels: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Return the mean (nodes, F) of the pixels (P, F) of each node (0 for one without), and how many it has (nodes,)."""
    members = torch.zeros(nodes, dtype=values.dtype, device=values.device).index_add(
        0, labels, torch.ones_like(values[:, 0])
    )
    total = torch.zeros(nodes, values.shape[1], dtype=values.dtype, device=values.device)
    return total.index_add(0, labels, values) / members.clamp(min=1)[:, None], members


def _nearest(features: Tensor, sums: Tensor, numbers: Tensor) -> Tensor:
    """Return, of the 9 cells around each pixel, the one whose centre is nearest; the first of equals.

    Parameters
    ----------
    features : Tensor, shape (3, N, R, size, C, size)
        Value, row and column of the pixels, cell by cell.
    sums : Tensor, shape (N, R, C, 4)
        Sums of those over the pixels of each centre, and their number.
    numbers : Tensor, shape (N, R, 1, C, 1)
        Of the cells.
    """
    rows, columns = sums.shape[1:3]
    centres = sums[..., :3] / sums[..., 3:]  # (N, R, C, 3): NaN for a centre without pixels, never nearer
    centres = functional.pad(centres, (0, 0, 1, 1, 1, 1), value=torch.nan)  # (N, R + 2, C + 2, 3)
    best = torch.full_like(features[0], torch.inf)  # (N, R, size, C, size)
    labels = numbers.expand(best.shape)  # (N, R, size, C, size)
    for down, right in OFFSETS:
        centre = centres[:, 1 + down : 1 + down + rows, 1 + right : 1 + right + columns]  # (N, R, C, 3)
        value, row, column = centre[:, :, None, :, None].unbind(-1)  # each (N, R, 1, C, 1)
        distance = (features[0] - value) ** 2 + (features[1] - row) ** 2 + (features[2] - column) ** 2
        nearer = distance < best  # (N, R, size, C, size)
        best = torch.where(nearer, distance, best)
        labels = torch.where(nearer, numbers + down * columns + right, labels)
    return labels  # (N, R, size, C, size)


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
