"""The end of a preset that cannot contradict its column density: N/L <= <n>_M <= n_max."""

from __future__ import annotations

from collections.abc import Sequence

from polaris_lab.models.heads import LEVELS
from polaris_lab.models.node import Node

BOUNDED = ("mass_weighted_density", "max_density")
"""Targets that have a floor."""


def with_depth(inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the inputs and "depth"."""
    return tuple(inputs) if "depth" in inputs else (*inputs, "depth")


def bounded_endings(
    column_density: str, outputs: Sequence[str], corrections: Sequence[str], *, head: str
) -> list[Node]:
    """Return the nodes that turn corrections into log densities above their floors.

    Parameters
    ----------
    column_density : str
        Name of the input.
    outputs, corrections : sequence of str
        Targets, and the nodes that give the channels of each.
    head : {"point", "quantiles"}
        What the answer says of its error.

    Raises
    ------
    ValueError
        If a target has no floor, or the head reaches below any.
    """
    if head == "gaussian":
        raise ValueError(
            'bounds: expected head="point" or "quantiles", got "gaussian", whose lower tail lies below any bound'
        )
    for output in outputs:
        if output not in BOUNDED:
            raise ValueError(
                f"bounds: expected outputs among {list(BOUNDED)}, got {output!r}; leave bounds out"
            )
    settings = {"levels": list(LEVELS)} if head == "quantiles" else {}
    correction = dict(zip(outputs, corrections, strict=True))
    nodes = [Node("floor", "mean_density_floor", {}, (column_density, "depth"))]
    for output in BOUNDED:  # <n>_M first: n_max stands on it
        if output not in correction:
            continue
        if output == "max_density" and "mass_weighted_density" in correction:
            nodes.append(
                Node(output, "above_answer", settings, ("mass_weighted_density", correction[output]))
            )
        else:
            nodes.append(Node(output, "above_floor", settings, ("floor", correction[output])))
    return nodes
