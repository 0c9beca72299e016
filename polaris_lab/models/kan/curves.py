"""The curve N -> n that a Kolmogorov-Arnold network of single pixels has learned, as data."""

from __future__ import annotations

import copy
import dataclasses
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from polaris_lab.models.build import BlueprintModel
from polaris_lab.models.contrast import LocalContrast
from polaris_lab.models.kan.networks import PixelKAN
from polaris_lab.models.node import Node
from polaris_lab.models.reference import Standardize

NEUTRAL = {"add": 0.0, "multiply": 1.0}
"""What another network's half counts for when the KAN's is looked at alone, by the block that joins them."""


@dataclasses.dataclass(frozen=True)
class LearnedCurve:
    """A curve of one variable, read off a network.

    Attributes
    ----------
    abscissa : {"column_density", "contrast"}
        What it depends on: log10 N_H [cm^-2], or the local contrast of log10 N_H [dex] for scale-equivariant networks.
    x : ndarray, shape (points,)
        The abscissa.
    y : ndarray, shape (points,)
        log10 of the density [cm^-3]; against the contrast, log10 of n / N [cm^-1].
    quantity : str
        Which density, such as "mass_weighted_density".
    trained : tuple of float
        Two standard deviations of the training pixels about their mean, on the abscissa. Beyond them the curve
        extrapolates: at most in proportion to x upwards, to a constant downwards.
    """

    abscissa: str
    x: np.ndarray
    y: np.ndarray
    quantity: str
    trained: tuple[float, float]

    def __repr__(self) -> str:
        low, high = self.x[0], self.x[-1]
        return (
            f"LearnedCurve({self.quantity} of {self.abscissa} {low:.2f} .. {high:.2f}, {len(self.x)} points)"
        )


def learned_curve(
    model: BlueprintModel, *, limits: tuple[float, float] | None = None, points: int = 200
) -> LearnedCurve:
    """Return the curve that the KAN of single pixels in a network stands for.

    Of ``just_kan`` it is the whole network. Of ``unet_and_kan`` it is the KAN's half, with the U-Net's set to 0 (of a
    product: to 1).

    Parameters
    ----------
    model : BlueprintModel
        With one "pixel_kan" node that takes the column density alone; trained. It is not changed.
    limits : tuple of float, optional
        Ends of the abscissa: log10 N_H [cm^-2], or the contrast [dex]; by default 3 standard deviations of the
        training pixels about their mean.
    points : int
        How many, evenly spaced.

    Raises
    ------
    ValueError
        If there is no such node, it takes more than one map, or the limits do not increase.

    Examples
    --------
    >>> from polaris_lab.models import Blueprint, build_model
    >>> learned_curve(build_model(Blueprint.preset("just_kan")), limits=(20, 23), points=50)
    LearnedCurve(mass_weighted_density of column_density 20.00 .. 23.00, 50 points)
    """
    node, front = kan_node(model), front_block(model)
    mean, deviation = _statistics(front)
    low, high = (mean - 3 * deviation, mean + 3 * deviation) if limits is None else limits
    if not low < high:
        raise ValueError(f"limits: expected two numbers that increase, such as (20, 23), got {limits}")
    if points < 2:
        raise ValueError(f"points: expected at least 2, got {points}")
    x = np.linspace(low, high, points)
    seen = torch.from_numpy((x - mean) / deviation).reshape(1, 1, 1, -1)  # (1, 1, 1, points)
    absolute = isinstance(front, Standardize)
    level = torch.from_numpy(x if absolute else np.zeros(points)).reshape(1, 1, 1, -1)  # (1, 1, 1, points)
    answer = _answer(model, node, seen, level)  # (points,)
    return LearnedCurve(
        abscissa="column_density" if absolute else "contrast",
        x=x,
        y=answer,
        quantity=model.blueprint.output,
        trained=(mean - 2 * deviation, mean + 2 * deviation),
    )


def kan_node(model: BlueprintModel) -> Node:
    """Return the node of the KAN of single pixels, which takes one map.

    Raises
    ------
    ValueError
        If there is none, or several, or it takes more than one map.
    """
    nodes = [node for node in model.blueprint.nodes if isinstance(model.nodes[node.name], PixelKAN)]
    if len(nodes) != 1:
        raise ValueError(
            f"learned_curve: expected a network with one node 'pixel_kan', got {len(nodes)} in "
            f"{model.blueprint.name!r}; the presets just_kan and unet_and_kan have one, layer_curves shows those of others"
        )
    if model.nodes[nodes[0].name].in_channels != 1:
        raise ValueError(
            f"learned_curve: expected a KAN of one map, got {model.nodes[nodes[0].name].in_channels} in node "
            f"{nodes[0].name!r}; a function of several variables is no curve"
        )
    return nodes[0]


def front_block(model: BlueprintModel) -> Standardize | LocalContrast:
    """Return the block through which the KAN sees the column density."""
    source = kan_node(model).inputs[0]
    block = dict(model.nodes.items()).get(source)
    if not isinstance(block, Standardize | LocalContrast):
        raise ValueError(
            "learned_curve: expected a KAN that takes a node 'standardize' or 'local_contrast', got "
            f"{source!r}; the presets just_kan and unet_and_kan are built so"
        )
    return block


def normal_points(count: int) -> Tensor:
    """Return `count` quantiles of the standard normal distribution: how the KAN's input is distributed, roughly."""
    levels = (np.arange(count) + 0.5) / count
    values = [NormalDist().inv_cdf(float(level)) for level in levels]
    return torch.tensor(values, dtype=torch.float64, device="cpu").reshape(1, 1, 1, -1)  # (1, 1, 1, count)


def _statistics(front: Standardize | LocalContrast) -> tuple[float, float]:
    """Return the mean and standard deviation of the training pixels on the abscissa."""
    return float(front.mean) if isinstance(front, Standardize) else 0.0, float(front.deviation)


@torch.no_grad()
def _answer(model: BlueprintModel, kan: Node, seen: Tensor, level: Tensor) -> np.ndarray:
    """Run the nodes of single pixels in float64 on a row of pixels; return log10 of the density (points,)."""
    blueprint = model.blueprint
    values = dict.fromkeys(blueprint.inputs, torch.full_like(level, torch.nan))
    values[blueprint.inputs[0]] = level
    values[kan.inputs[0]] = seen
    for node in blueprint.nodes:
        block = model.nodes[node.name]
        if node.name in values or getattr(block, "receptive_margin", 0) > 0:
            continue
        if node.block in NEUTRAL and kan.name in node.inputs:
            neutral = torch.full_like(values[kan.name], NEUTRAL[node.block])
            arguments = [values.get(name, neutral) for name in node.inputs]
        elif all(name in values for name in node.inputs):
            arguments = [values[name] for name in node.inputs]
        else:
            continue
        on_cpu = copy.deepcopy(block).to("cpu").double().eval()
        values[node.name] = on_cpu(*arguments)
    raw = values[blueprint.output]  # (1, C, 1, points)
    return model.heads[blueprint.output].point(raw).flatten().numpy()
