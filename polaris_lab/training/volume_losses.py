"""The loss of a cube: how its gas is shared out along the line of sight, up to the mirror z -> -z."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polaris_lab.training.losses import AUTOMATIC, register_loss


@register_loss("cumulative_volume", head="volume")
def cumulative_volume(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean difference of the cumulative shares of the column, front to back, of each image (N,).

    C_k is the share of the column up to cell k; the loss is the mean over cells and lines of sight of the absolute
    difference: the distance that gas would have to be moved, in units of the depth. An optically thin map does not
    tell the front from the back, so the smaller one of the cube and its mirror image counts, for an image as a whole.

    Parameters
    ----------
    predicted, target : Tensor, shape (N, K, H, W)
        log10 of the density [cm^-3]; lines of sight with a NaN in the target have no weight.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    reference/science.md, section 3.10.

    Examples
    --------
    >>> cube = torch.tensor([3.0, 1.0, 1.0, 0.0]).reshape(1, 4, 1, 1)
    >>> cumulative_volume(cube.flip(1), cube)
    tensor([0.])
    """
    if predicted.shape != target.shape:
        raise ValueError(
            f"cumulative_volume: expected cubes of one shape (N, K, H, W), got {tuple(predicted.shape)} and "
            f"{tuple(target.shape)}; build the dataset with depth_cells={predicted.shape[1]}"
        )
    known = torch.isfinite(target).all(dim=1)  # (N, H, W)
    shares = _shares(torch.where(known[:, None], target, 0.0))  # (N, K, H, W)
    ours = _shares(predicted)
    distances = [_distance(ours, theirs, known) for theirs in (shares, shares.flip(1))]
    return torch.minimum(*distances)  # (N,)


def _shares(cube: Tensor) -> Tensor:
    """Return the share of the column in each cell."""
    return torch.softmax(cube * math.log(10), dim=1)  # (N, K, H, W)


def _distance(first: Tensor, second: Tensor, known: Tensor) -> Tensor:
    """Return the mean distance of the cumulative shares over the known lines of sight (N,)."""
    difference = (first - second).cumsum(dim=1).abs().mean(dim=1)  # (N, H, W)
    total = torch.where(known, difference, 0.0).flatten(1).sum(dim=1)
    return total / known.flatten(1).sum(dim=1)  # (N,)


AUTOMATIC["volume"] = "cumulative_volume"
