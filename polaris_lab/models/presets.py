"""Blueprints by name: the report's networks with the blocks that make them see physics."""

from __future__ import annotations

import math
from collections.abc import Sequence

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.node import Node


def unet(
    layers: int = 4,
    base_filters: int = 64,
    attention: bool = True,
    *,
    convolutions: int = 1,
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    dropout: float = 0.0,
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
) -> Blueprint:
    """Return the blueprint of a U-Net from log column density to log density.

    Parameters
    ----------
    layers, base_filters, attention, convolutions, dropout
        The network: see :class:`polaris_lab.models.unet.UNet`. The report's is 4 layers of 64 filters with
        attention gates and dropout 0.05. Dropout is off by default; with few training maps, 0.05 guards
        against learning them by heart (0.00-0.007 dex better on unseen clouds after training on three).
    residual : bool
        Learn what a power law, fitted to the training pixels, leaves over (0.013-0.015 dex better than
        learning the density itself).
    scale_equivariant : bool
        Look at log N minus its local mean, and answer relative to log N: then N -> lambda N gives
        lambda n exactly, and the network meets no column density that it has not seen. Without it a network
        does not carry over to clouds of another column density.
    reference_scale : float
        Standard deviation of the Gaussian of the local mean [pixels of the training set].
    inputs : sequence of str
        The first is the column density; others are standardised and given to the network as more channels.
    output : str
        The target.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type: the error names it.

    Examples
    --------
    >>> unet(layers=3, base_filters=16, residual=False).node("baseline")
    Node(name='baseline', block='offset', settings={}, inputs=('column_density',))
    """
    _check_arguments(residual=residual, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    inputs = tuple(inputs) if not isinstance(inputs, str) else (inputs,)
    if not inputs:
        raise ValueError('unet: expected at least one input, got none; the first is "column_density"')
    column_density, *others = inputs
    nodes = []
    if scale_equivariant:
        settings = {"scale": float(reference_scale)}
        nodes.append(Node("contrast", "local_contrast", settings, (column_density,)))
    else:
        nodes.append(Node("standardized", "standardize", {}, (column_density,)))
    channels = [nodes[0].name]
    for other in others:
        nodes.append(Node(f"{other}_standardized", "standardize", {}, (other,)))
        channels.append(nodes[-1].name)
    if others:
        nodes.append(Node("channels", "concatenate", {}, tuple(channels)))
    settings = {
        "in_channels": len(inputs),
        "layers": layers,
        "base_filters": base_filters,
        "attention": attention,
        "convolutions": convolutions,
        "dropout": dropout,
    }
    nodes.append(Node("correction", "unet", settings, (nodes[-1].name,)))
    nodes += _head(column_density, output, residual=residual, scale_equivariant=scale_equivariant)
    name = f"U-Net {base_filters} x {layers}" + (" with attention" if attention else "")
    return Blueprint(inputs=inputs, nodes=tuple(nodes), output=output, name=name)


def _head(column_density: str, output: str, *, residual: bool, scale_equivariant: bool) -> list[Node]:
    """Return the nodes that turn the network's correction into the log density."""
    if not residual and not scale_equivariant:
        return [Node(output, "destandardize", {}, ("correction",))]
    if not scale_equivariant:
        baseline = Node("baseline", "power_law", {}, (column_density,))
    elif residual:
        baseline = Node("baseline", "equivariant_power_law", {}, (column_density, "contrast"))
    else:
        baseline = Node("baseline", "offset", {}, (column_density,))
    return [baseline, Node(output, "add_residual", {}, ("baseline", "correction"))]


def _check_arguments(*, residual: bool, scale_equivariant: bool, reference_scale: float) -> None:
    for name, value in (("residual", residual), ("scale_equivariant", scale_equivariant)):
        if not isinstance(value, bool):
            raise TypeError(f"{name}: expected True or False, got {value!r}")
    if isinstance(reference_scale, bool) or not isinstance(reference_scale, int | float):
        raise TypeError(f"reference_scale: expected a number of pixels, got {reference_scale!r}")
    if not (reference_scale > 0 and math.isfinite(reference_scale)):
        raise ValueError(f"reference_scale: expected a positive number of pixels, got {reference_scale}")
