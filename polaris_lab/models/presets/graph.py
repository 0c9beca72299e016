"""A U-Net that knows of the structures around a pixel from a graph of them."""

from __future__ import annotations

from collections.abc import Sequence

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.node import Node
from polaris_lab.models.presets.parts import check_choices, checked_inputs, ending, front, head_channels
from polaris_lab.models.presets.registry import register_preset


@register_preset("graph_unet", tiny={"layers": 2, "base_filters": 4, "size": 4, "width": 4, "rounds": 1})
def graph_unet(
    layers: int = 4,
    base_filters: int = 64,
    attention: bool = True,
    *,
    context_channels: int = 8,
    size: int = 8,
    rounds: int = 2,
    width: int = 16,
    structures: str = "superpixels",
    window: int = 64,
    convolutions: int = 1,
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    dropout: float = 0.0,
    head: str = "point",
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
) -> Blueprint:
    """Return a U-Net with the context of a graph network as more channels.

    Parameters
    ----------
    layers, base_filters, attention, convolutions, dropout
        The U-Net: see :class:`polaris_lab.models.unet.UNet`.
    context_channels, size, rounds, width, structures, window
        The graph of structures of the column density: see :class:`polaris_lab.models.graph.GraphContext`.
    residual, scale_equivariant, reference_scale, head, inputs, output
        See :func:`polaris_lab.models.presets.unet`.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type: the error names it.

    Examples
    --------
    >>> [node.name for node in graph_unet(layers=3, base_filters=16).nodes]
    ['contrast', 'structures', 'image', 'correction', 'baseline', 'mass_weighted_density']
    """
    check_choices(residual=residual, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    inputs = checked_inputs("graph_unet", inputs)
    nodes, shown = front(inputs, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    graph = {
        "out_channels": context_channels,
        "size": size,
        "rounds": rounds,
        "width": width,
        "structures": structures,
        "window": window,
    }
    unet = {
        "in_channels": len(inputs) + context_channels,
        "out_channels": head_channels(head),
        "layers": layers,
        "base_filters": base_filters,
        "attention": attention,
        "convolutions": convolutions,
        "dropout": dropout,
    }
    nodes += [
        Node("structures", "graph_context", graph, (inputs[0],)),
        Node("image", "concatenate", {}, (shown, "structures")),
        Node("correction", "unet", unet, ("image",)),
    ]
    nodes += ending(
        inputs[0], output, "correction", residual=residual, scale_equivariant=scale_equivariant, head=head
    )
    name = f"U-Net {base_filters} x {layers} and graph of {structures}"
    return Blueprint(inputs=inputs, nodes=tuple(nodes), output=output, name=name)
