"""The curves inside any Kolmogorov-Arnold network: those of one layer, pruned, and ready for formulas.

Where single pixels go through a KAN there is one curve N -> n (:func:`polaris_lab.models.kan.learned_curve`). In K-Net and
U-KAN the curves stand between features: each tells what one feature adds to another.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from polaris_lab.config import did_you_mean
from polaris_lab.models.build import BlueprintModel
from polaris_lab.models.kan.convolution import FullKAN

RANGE = 3.0
"""Curves are read from minus this to plus this, in standard deviations of the feature over the training set."""


@dataclasses.dataclass(frozen=True)
class LayerCurves:
    """The curves of one layer.

    Attributes
    ----------
    layer : str
        Its path, such as "correction.unet.last.layer".
    x : ndarray, shape (points,)
        A feature in standard deviations about its mean, over the training set.
    y : ndarray, shape (points, out, in)
        What each feature adds to each output of the layer, where it has this value in all pixels of the kernel. Of K-Net's
        last layer the output is the correction of the answer [dex].
    """

    layer: str
    x: np.ndarray
    y: np.ndarray

    @property
    def spread(self) -> np.ndarray:
        """How much each curve matters (out, in): its standard deviation for a normally distributed feature."""
        weight = np.exp(-0.5 * self.x**2)[:, None, None]
        mean = (weight * self.y).sum(axis=0) / weight.sum()
        return np.sqrt((weight * (self.y - mean) ** 2).sum(axis=0) / weight.sum())

    def strongest(self, count: int = 6) -> list[tuple[int, int]]:
        """Return the curves that matter most, as (out, in) from 0, the first one most.

        Examples
        --------
        >>> x = np.linspace(-3, 3, 20)
        >>> curves = LayerCurves("last", x, np.stack([0.1 * x, x], axis=-1)[:, None])
        >>> curves.strongest(1)
        [(0, 1)]
        """
        order = np.argsort(-self.spread, axis=None)[:count]
        return [
            (int(out), int(number))
            for out, number in zip(*np.unravel_index(order, self.spread.shape), strict=True)
        ]

    def __repr__(self) -> str:
        return f"LayerCurves({self.layer}: {self.y.shape[2]} features to {self.y.shape[1]}, {len(self.x)} points)"


@dataclasses.dataclass(frozen=True)
class LayerPruning:
    """What was removed from the layers of a network, and what it changed.

    Attributes
    ----------
    kept : dict of ndarray, each of shape (out, in)
        Which curves of each layer are left, by its path.
    rms_error, max_error : float
        Difference of the answer [dex] on the maps that were given.
    threshold : float
        The share of an output's spread below which a curve was removed.
    """

    kept: Mapping[str, np.ndarray]
    rms_error: float
    max_error: float
    threshold: float

    @property
    def curves(self) -> tuple[int, int]:
        """How many curves are left, of how many."""
        return sum(int(k.sum()) for k in self.kept.values()), sum(k.size for k in self.kept.values())

    def __repr__(self) -> str:
        left, before = self.curves
        return f"LayerPruning({left} of {before} curves left, rms {self.rms_error:.2g} dex, max {self.max_error:.2g} dex)"


def kan_layers(model: BlueprintModel) -> dict[str, FullKAN]:
    """Return the layers of curves in a network by their path, in the order of its nodes.

    Those of the form "bottleneck" are none: they mix the channels before and after the curves.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> list(kan_layers(build_model(Blueprint.preset("knet", layers=2, base_filters=4))))
    ['correction.unet.last.layer']
    """
    return {name: part for name, part in model.nodes.named_modules() if isinstance(part, FullKAN)}


@torch.no_grad()
def layer_curves(model: BlueprintModel, layer: str | None = None, *, points: int = 121) -> LayerCurves:
    """Return the curves of one layer of a Kolmogorov-Arnold network.

    Parameters
    ----------
    model : BlueprintModel
        Such as K-Net or U-KAN; trained. It is not changed.
    layer : str, optional
        Its path (:func:`kan_layers` lists them); the last one by default.
    points : int
        How many, evenly spaced over 3 standard deviations.

    Raises
    ------
    ValueError
        If the network has no such layer, or there are too few points.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> layer_curves(build_model(Blueprint.preset("knet", layers=2, base_filters=4)))
    LayerCurves(correction.unet.last.layer: 4 features to 1, 121 points)
    """
    layers = kan_layers(model)
    if not layers:
        raise ValueError(
            f"layer_curves: expected a network with a layer of curves, got {model.blueprint.name!r}, which has none (or of the "
            'form "bottleneck" only); the presets knet, ukan, just_kan and unet_and_kan have them'
        )
    layer = list(layers)[-1] if layer is None else layer
    if layer not in layers:
        raise ValueError(f"layer: unknown path {layer!r}: {did_you_mean(layer, list(layers))}")
    if points < 8:
        raise ValueError(f"points: expected at least 8, got {points}")
    x = torch.linspace(-RANGE, RANGE, points, dtype=torch.float64, device="cpu")  # (points,)
    kan = copy.deepcopy(layers[layer]).to("cpu").double()
    y = torch.einsum("pf,ofi->poi", kan.basis.values(x), _weight(kan).sum(dim=-1))
    return LayerCurves(layer, x.numpy(), y.numpy())  # (points,), (points, out, in)


@torch.no_grad()
def prune_layers(
    model: BlueprintModel, inputs: Mapping[str, Tensor], *, threshold: float = 0.03, layer: str | None = None
) -> tuple[BlueprintModel, LayerPruning]:
    """Return a copy of a network without the curves that matter least, and what that changes of its answer.

    A curve is removed when its spread is less than `threshold` of that of all curves of its output, taken in quadrature.
    Its mean is kept.

    Parameters
    ----------
    model : BlueprintModel
        As for :func:`layer_curves`; it is not changed.
    inputs : mapping of str to Tensor
        Maps on which the error is taken, as for the network's ``forward``; such as those of the validation patches.
    threshold : float
        From 0 (nothing goes) to below 1.
    layer : str, optional
        One layer alone; all of them by default.

    Raises
    ------
    ValueError
        As :func:`layer_curves`; if the threshold is out of range, or no pixel of the maps is valid.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> model = build_model(Blueprint.preset("knet", layers=2, base_filters=4))
    >>> _, report = prune_layers(model, {"column_density": torch.full((1, 1, 16, 16), 21.5)}, threshold=0.0)
    >>> report.curves, report.max_error
    ((4, 4), 0.0)
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: expected a share from 0 to below 1, got {threshold}; 0.03 is usual")
    whole, pruned = (copy.deepcopy(model).eval() for _ in range(2))
    chosen = [layer_curves(model, layer).layer] if layer is not None else list(kan_layers(model))
    chosen = chosen or [layer_curves(model).layer]  # says that there is none
    parts = kan_layers(pruned)
    kept = {}
    for name in chosen:
        curves = layer_curves(model, name)
        least = threshold * np.sqrt((curves.spread**2).sum(axis=1, keepdims=True))  # (out, 1)
        kept[name] = curves.spread >= least
        _remove(parts[name], torch.from_numpy(~kept[name]), curves)
    before, after = (network.point(network(inputs)).double() for network in (whole, pruned))
    error = (after - before)[torch.isfinite(before)]
    if not len(error):
        raise ValueError(
            "inputs: expected maps with valid pixels, got NaN everywhere; take those of validation patches"
        )
    return pruned, LayerPruning(
        kept=kept,
        rms_error=float(error.square().mean().sqrt()),
        max_error=float(error.abs().max()),
        threshold=float(threshold),
    )


def _weight(layer: FullKAN) -> Tensor:
    """Return the weights (out, functions, in, pixels of the kernel)."""
    weight = layer.convolution.weight  # (out, functions in, k, k)
    return weight.reshape(len(weight), layer.basis.functions, -1, weight.shape[-1] ** 2)


def _remove(layer: FullKAN, curves: Tensor, found: LayerCurves) -> None:
    """Set the weights of curves (out, in) to 0 and put their mean into the offset."""
    share = np.exp(-0.5 * found.x**2)
    mean = torch.from_numpy(np.tensordot(share / share.sum(), found.y, axes=1))  # (out, in)
    weight, bias = layer.convolution.weight, layer.convolution.bias
    left = ~curves.to(weight.device)[:, None, :, None]  # (out, 1, in, 1)
    weight.view(len(weight), layer.basis.functions, curves.shape[1], -1).mul_(left)
    bias.add_((mean * curves).sum(dim=1).to(bias))
