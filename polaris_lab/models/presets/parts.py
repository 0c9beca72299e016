"""What presets share: the nodes before a network, which show it the map, and those after it, which give the density."""

from __future__ import annotations

import math
from collections.abc import Sequence

from polaris_lab.config import did_you_mean
from polaris_lab.models.heads import HEADS, LEVELS
from polaris_lab.models.node import Node


def front(
    inputs: Sequence[str], *, scale_equivariant: bool, reference_scale: float
) -> tuple[list[Node], str]:
    """Return the nodes that show a network its inputs as one image, and the name of the node that gives it.

    Parameters
    ----------
    inputs : sequence of str
        The first is the column density; each gives one channel.
    scale_equivariant : bool
        Show log N minus its local mean ("contrast"), else standardised over the training set.
    reference_scale : float
        Standard deviation of the Gaussian of the local mean [pixels].
    """
    column_density, *others = inputs
    if scale_equivariant:
        nodes = [Node("contrast", "local_contrast", {"scale": float(reference_scale)}, (column_density,))]
    else:
        nodes = [Node("standardized", "standardize", {}, (column_density,))]
    channels = [nodes[0].name]
    for other in others:
        nodes.append(Node(f"{other}_standardized", "standardize", {}, (other,)))
        channels.append(nodes[-1].name)
    if others:
        nodes.append(Node("channels", "concatenate", {}, tuple(channels)))
    return nodes, nodes[-1].name


def ending(
    column_density: str,
    output: str,
    correction: str,
    *,
    residual: bool,
    scale_equivariant: bool,
    head: str = "point",
    prefix: str = "",
) -> list[Node]:
    """Return the nodes that turn the network's correction into the log density.

    Parameters
    ----------
    column_density, output, correction : str
        Names of the input, of the target, and of the node that corrects; it has :func:`head_channels` channels.
    residual : bool
        Correct a power law fitted to the training pixels; else the mean ratio to N, or the mean density.
    scale_equivariant : bool
        The power law is one in the contrast (node "contrast"), so that N -> lambda N gives lambda n.
    head : {"point", "gaussian", "quantiles"}
        What the answer says of its error: nothing, a standard deviation, or quantiles.
    prefix : str
        Of the baseline's name, where a blueprint has several outputs.
    """
    if head == "point" and not residual and not scale_equivariant:
        return [Node(output, "destandardize", {}, (correction,))]
    name = f"{prefix}baseline"
    if not residual and not scale_equivariant:
        baseline = Node(name, "target_mean", {}, (column_density,))
    elif not scale_equivariant:
        baseline = Node(name, "power_law", {}, (column_density,))
    elif residual:
        baseline = Node(name, "equivariant_power_law", {}, (column_density, "contrast"))
    else:
        baseline = Node(name, "offset", {}, (column_density,))
    block = {"point": "add_residual", "gaussian": "gaussian_residual", "quantiles": "quantile_residual"}[head]
    return [baseline, Node(output, block, {}, (name, correction))]


def head_channels(head: str) -> int:
    """Return the channels that a network must give for a head.

    Raises
    ------
    ValueError
        If the head is unknown.
    """
    if head not in HEADS:
        raise ValueError(f"head: unknown name {head!r}: {did_you_mean(str(head), list(HEADS))}")
    return {"point": 1, "gaussian": 2, "quantiles": len(LEVELS)}[head]


def checked_inputs(preset: str, inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the inputs of a preset as a tuple; a single name is one input.

    Raises
    ------
    TypeError, ValueError
        If there is none, or they are no names that differ.
    """
    if not isinstance(inputs, Sequence):
        raise TypeError(f'{preset}: expected inputs such as ("column_density",), got {inputs!r}')
    inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    if not inputs:
        raise ValueError(f'{preset}: expected at least one input, got none; the first is "column_density"')
    if len(set(inputs)) < len(inputs):
        raise ValueError(f"{preset}: expected inputs that differ, got {list(inputs)}; name each once")
    return inputs


def check_choices(*, reference_scale: float, **booleans: bool) -> None:
    """Refuse what is neither True nor False, and a scale that is no positive number of pixels.

    Raises
    ------
    TypeError, ValueError
        The error names the argument.
    """
    for name, value in booleans.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name}: expected True or False, got {value!r}")
    if isinstance(reference_scale, bool) or not isinstance(reference_scale, int | float):
        raise TypeError(f"reference_scale: expected a number of pixels, got {reference_scale!r}")
    if not (reference_scale > 0 and math.isfinite(reference_scale)):
        raise ValueError(f"reference_scale: expected a positive number of pixels, got {reference_scale}")
