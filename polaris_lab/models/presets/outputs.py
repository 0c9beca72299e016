"""Several outputs of one network: which targets, and which channels belong to which."""

from __future__ import annotations

from collections.abc import Sequence

from polaris_lab.models.node import Node

DEFAULT_OUTPUT = "mass_weighted_density"


def checked_outputs(output: str, outputs: Sequence[str]) -> tuple[str, ...]:
    """Return the targets of a preset, the main one first: `outputs` where it is given, else `output` alone.

    Raises
    ------
    TypeError, ValueError
        If `outputs` is no sequence of names, or both are given and disagree.

    Examples
    --------
    >>> checked_outputs("max_density", ())
    ('max_density',)
    """
    if isinstance(outputs, str) or not isinstance(outputs, Sequence):
        raise TypeError(f"outputs: expected a list of names, got {outputs!r}; write ({outputs!r},)")
    if not outputs:
        return (output,)
    if output not in (DEFAULT_OUTPUT, outputs[0]):
        raise ValueError(
            f"outputs: expected the first to be output={output!r}, got {list(outputs)}; leave one of the two out"
        )
    if len(set(outputs)) < len(outputs):
        raise ValueError(f"outputs: expected names that differ, got {list(outputs)}; name each once")
    return tuple(outputs)


def split_channels(network: str, outputs: Sequence[str], channels: int) -> tuple[list[Node], list[str]]:
    """Return the nodes that take the channels of each output from a network, and the names of what they give.

    Examples
    --------
    >>> split_channels("correction", ("max_density",), 2)
    ([], ['correction'])
    """
    if len(outputs) == 1:
        return [], [network]
    names = [f"{output}_{network}" for output in outputs]
    nodes = [
        Node(name, "select_channels", {"first": channels * index, "count": channels}, (network,))
        for index, name in enumerate(names)
    ]
    return nodes, names
