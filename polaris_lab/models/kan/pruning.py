"""Which edges of a KAN of single pixels matter: those that do not are removed, and the error of it is stated."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch
from torch import Tensor

from polaris_lab.models.build import BlueprintModel
from polaris_lab.models.kan.convolution import FullKAN
from polaris_lab.models.kan.curves import front_block, kan_node, learned_curve, normal_points
from polaris_lab.models.kan.networks import PixelKAN

POINTS = 512
"""Points at which the spread of an edge is taken."""


@dataclasses.dataclass(frozen=True)
class Pruning:
    """What was removed, and what it changed.

    Attributes
    ----------
    kept : tuple of ndarray, each of shape (out, in)
        Which edges of each layer are left.
    rms_error, max_error : float
        Difference of the learned curve [dex], over 2 standard deviations of the training pixels about their mean.
    threshold : float
        The share of a node's spread below which an edge was removed.
    """

    kept: tuple[np.ndarray, ...]
    rms_error: float
    max_error: float
    threshold: float

    @property
    def edges(self) -> tuple[int, int]:
        """How many edges are left, of how many."""
        return sum(int(k.sum()) for k in self.kept), sum(k.size for k in self.kept)

    def __repr__(self) -> str:
        left, before = self.edges
        return f"Pruning({left} of {before} edges left, rms {self.rms_error:.2g} dex, max {self.max_error:.2g} dex)"


def prune_kan(model: BlueprintModel, *, threshold: float = 0.03) -> tuple[BlueprintModel, Pruning]:
    """Return a copy of a network without the edges of its KAN that matter least.

    An edge is removed when its spread (standard deviation over the training distribution) is less than `threshold` of
    that of all edges into its node, taken in quadrature, or when nothing takes its node any more. Its mean is kept.

    Parameters
    ----------
    model : BlueprintModel
        As for :func:`polaris_lab.models.kan.learned_curve`; it is not changed.
    threshold : float
        From 0 (nothing goes) to below 1.

    Returns
    -------
    BlueprintModel, Pruning

    Raises
    ------
    ValueError
        If the threshold is out of range, or the network has no curve.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> model = build_model(Blueprint.preset("just_kan", widths=(4,)))
    >>> pruned, report = prune_kan(model, threshold=0.0)
    >>> report.edges, report.max_error
    ((8, 8), 0.0)
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: expected a share from 0 to below 1, got {threshold}; 0.03 is usual")
    node, front = kan_node(model), front_block(model)
    pruned = copy.deepcopy(model)
    kan = pruned.nodes[node.name]
    kept = _prune(kan, threshold)
    mean = float(getattr(front, "mean", 0.0))
    limits = (mean - 2 * float(front.deviation), mean + 2 * float(front.deviation))
    error = learned_curve(pruned, limits=limits).y - learned_curve(model, limits=limits).y  # (points,)
    return pruned, Pruning(
        kept=kept,
        rms_error=float(np.sqrt(np.mean(error**2))),
        max_error=float(np.abs(error).max()),
        threshold=float(threshold),
    )


@torch.no_grad()
def edge_curves(layer: FullKAN, x: Tensor) -> Tensor:
    """Return what each edge of a layer contributes (points, out, in) for its input (1, in, 1, points), in float64."""
    weight = layer.convolution.weight.detach().to("cpu").double()[:, :, 0, 0]  # (out, functions in)
    weight = weight.reshape(len(weight), layer.basis.functions, -1)  # (out, functions, in)
    values = layer.basis.values(normalized(layer, x))  # (1, in, 1, points, functions)
    return torch.einsum("ipf,ofi->poi", values[0, :, 0], weight)  # (points, out, in)


@torch.no_grad()
def normalized(layer: FullKAN, x: Tensor) -> Tensor:
    """Return a layer's input as its curves see it."""
    return copy.deepcopy(layer.normalization).to("cpu").double().eval()(x)  # (1, in, 1, points)


def layer_inputs(kan: PixelKAN, x: Tensor) -> list[Tensor]:
    """Return the input of each layer (1, in, 1, points) for that of the KAN, in float64."""
    kan = copy.deepcopy(kan).to("cpu").double().eval()
    inputs = [x]
    with torch.no_grad():
        for layer in kan.layers[:-1]:
            inputs.append(layer(inputs[-1]))
    return inputs


@torch.no_grad()
def _prune(kan: PixelKAN, threshold: float) -> tuple[np.ndarray, ...]:
    """Remove edges of a KAN in place; return which are left, layer by layer."""
    kept: list[Tensor] = []
    for number, layer in enumerate(kan.layers):
        curves = edge_curves(layer, layer_inputs(kan, normal_points(POINTS))[number])  # (points, out, in)
        spread = curves.std(dim=0)  # (out, in)
        kept.append(spread >= threshold * spread.square().sum(dim=1, keepdim=True).sqrt())
        _remove(layer, ~kept[-1], curves.mean(dim=0))
    for number in reversed(range(len(kept) - 1)):
        taken = kept[number + 1].any(dim=0) | (threshold == 0)  # (out,): nodes that a later layer takes
        kept[number] &= taken[:, None]
        _remove(kan.layers[number], ~kept[number], torch.zeros(kept[number].shape, dtype=torch.float64))
    return tuple(k.numpy() for k in kept)


def _remove(layer: FullKAN, edges: Tensor, mean: Tensor) -> None:
    """Set the weights of edges (out, in) to 0 and put their mean into the offset."""
    weight, bias = layer.convolution.weight, layer.convolution.bias
    edges = edges.to(weight.device)
    weight.view(len(weight), layer.basis.functions, -1).mul_(~edges[:, None])
    bias.add_((mean.to(bias) * edges).sum(dim=1))
