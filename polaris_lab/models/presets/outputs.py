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
    outputs = checked_names_of("outputs", outputs)
    if not outputs:
        return (output,)
    if output not in (DEFAULT_OUTPUT, outputs[0]):
        raise ValueError(
            f"outputs: expected the first to be output={output!r}, got {list(outputs)}; leave one of the two out"
        )
    return outputs


def checked_names_of(argument: str, names: Sequence[str], *, beside: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names that an argument lists, which differ from each other and from those `beside` them.

    Raises
    ------
    TypeError, ValueError
        If they are no sequence of names (a bare text is none: its letters would be the names), or one comes twice.

    Examples
    --------
    >>> checked_names_of("extra_outputs", ["max_density"], beside=["mass_weighted_density"])
    ('max_density',)
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{argument}: expected a list of names, got {names!r}; write ({names!r},)")
    every = [*beside, *names]
    if any(name in every[:number] for number, name in enumerate(every)):
        raise ValueError(f"{argument}: expected names that differ, got {every}; name each once")
    return tuple(names)


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
