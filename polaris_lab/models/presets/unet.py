"""The report's U-Net, scale-equivariant and residual on a power law unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.node import Node
from polaris_lab.models.presets.bounds import bounded_endings, with_depth
from polaris_lab.models.presets.outputs import checked_outputs, split_channels
from polaris_lab.models.presets.parts import check_choices, checked_inputs, ending, front, head_channels
from polaris_lab.models.presets.registry import register_preset


@register_preset("unet", tiny={"layers": 2, "base_filters": 4})
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
    head: str = "point",
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
    outputs: Sequence[str] = (),
    residual_blocks: bool = False,
    bounds: bool = False,
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
    head : {"point", "gaussian", "quantiles"}
        What the answer says of its error: see :mod:`polaris_lab.models.heads`.
    inputs : sequence of str
        The first is the column density; others are standardised and given to the network as more channels.
    output : str
        The target.
    outputs : sequence of str
        Several targets in place of `output`, the main one first: the network has channels for each, and each starts
        from its own baseline (appendix E.1).
    residual_blocks : bool
        Convolution blocks with a shortcut.
    bounds : bool
        Guarantee N/L <= <n>_M <= n_max for any weights, in place of the residual on a power law: the network also takes
        the depth L of the box ("depth", [pc]). With `head` "point" or "quantiles".

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type: the error names it.

    Examples
    --------
    >>> unet(layers=3, base_filters=16, residual=False).node("baseline")
    Node(name='baseline', block='offset', settings={}, inputs=('column_density',))
    """
    check_choices(
        residual=residual, scale_equivariant=scale_equivariant, bounds=bounds, reference_scale=reference_scale
    )
    inputs = checked_inputs("unet", inputs)
    outputs = checked_outputs(output, outputs)
    channels = head_channels(head)
    nodes, image = front(inputs, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    settings = {
        "in_channels": len(inputs),
        "out_channels": channels * len(outputs),
        "layers": layers,
        "base_filters": base_filters,
        "attention": attention,
        "convolutions": convolutions,
        "dropout": dropout,
        "residual_blocks": residual_blocks,
    }
    nodes.append(Node("correction", "unet", settings, (image,)))
    parts, corrections = split_channels("correction", outputs, channels)
    nodes += parts
    if bounds:
        inputs = with_depth(inputs)
        nodes += bounded_endings(inputs[0], outputs, corrections, head=head)
    else:
        for target, correction in zip(outputs, corrections, strict=True):
            nodes += ending(
                inputs[0], target, correction, residual=residual, scale_equivariant=scale_equivariant,
                head=head, prefix="" if len(outputs) == 1 else f"{target}_",
            )  # fmt: skip
    name = f"U-Net {base_filters} x {layers}" + (" with attention" if attention else "")
    return Blueprint(
        inputs=inputs, nodes=tuple(nodes), output=outputs[0], name=name, extra_outputs=outputs[1:]
    )
