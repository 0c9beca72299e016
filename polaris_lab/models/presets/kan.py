"""The report's Kolmogorov-Arnold networks: K-Net, U-KAN, the "symbolic" U-Net and KAN, and the KAN alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polaris_lab.config import did_you_mean
from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.node import Node
from polaris_lab.models.presets.parts import check_choices, checked_inputs, ending, front, head_channels
from polaris_lab.models.presets.registry import register_preset

COMBINE = {"sum": "add", "product": "multiply"}
"""How the "symbolic" network joins its halves, and the block that does it."""


@register_preset("knet", tiny={"layers": 2, "base_filters": 4})
def knet(
    layers: int = 4,
    base_filters: int = 64,
    attention: bool = True,
    *,
    convolutions: int = 1,
    basis: str = "radial",
    grid_size: int = 4,
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    dropout: float = 0.0,
    head: str = "point",
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
) -> Blueprint:
    """Return the K-Net: a U-Net whose last 1x1 convolution has curves in place of weights.

    Parameters
    ----------
    layers, base_filters, attention, convolutions, dropout
        The network: see :class:`polaris_lab.models.unet.UNet`.
    basis, grid_size
        The curves: see :class:`polaris_lab.models.kan.KANConv`.
    residual, scale_equivariant, reference_scale, head, inputs, output
        See :func:`polaris_lab.models.presets.unet`.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type: the error names it.

    Examples
    --------
    >>> knet(layers=3, base_filters=16).node("correction").settings["kan_output"]
    True
    """
    settings = {
        "layers": layers,
        "base_filters": base_filters,
        "attention": attention,
        "convolutions": convolutions,
        "dropout": dropout,
        "kan_levels": 0,
        "kan_output": True,
        "basis": basis,
        "grid_size": grid_size,
    }
    return _with_network(
        f"K-Net {base_filters} x {layers}",
        settings,
        residual=residual,
        scale_equivariant=scale_equivariant,
        reference_scale=reference_scale,
        head=head,
        inputs=checked_inputs("knet", inputs),
        output=output,
    )


@register_preset("ukan", tiny={"layers": 2, "base_filters": 4, "kan_levels": 1})
def ukan(
    layers: int = 5,
    base_filters: int = 64,
    attention: bool = True,
    *,
    kan_levels: int = 4,
    form: str = "full",
    basis: str = "radial",
    grid_size: int = 4,
    convolutions: int = 2,
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    dropout: float = 0.0,
    head: str = "point",
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
) -> Blueprint:
    """Return the U-KAN: a U-Net whose deepest levels are Kolmogorov-Arnold convolutions.

    Parameters
    ----------
    layers, base_filters, attention, convolutions, dropout
        The network: see :class:`polaris_lab.models.unet.UNet`. 8 base filters train on a computer without a GPU.
    kan_levels : int
        How many levels have them, beside the bottleneck. 4 of 5 give the 264 million parameters of the report's
        network (3 of 5: 263 million).
    form : {"full", "bottleneck"}
        The second has 3.7 times fewer parameters, and a layer takes about 3 times less time.
    basis, grid_size
        The curves: see :class:`polaris_lab.models.kan.KANConv`.
    residual, scale_equivariant, reference_scale, head, inputs, output
        See :func:`polaris_lab.models.presets.unet`.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type: the error names it.

    Examples
    --------
    >>> from polaris_lab.models import parameter_count
    >>> round(parameter_count(ukan()) / 1e6)
    264
    """
    settings = {
        "layers": layers,
        "base_filters": base_filters,
        "attention": attention,
        "convolutions": convolutions,
        "dropout": dropout,
        "kan_levels": kan_levels,
        "kan_output": False,
        "form": form,
        "basis": basis,
        "grid_size": grid_size,
    }
    return _with_network(
        f"U-KAN {base_filters} x {layers}",
        settings,
        residual=residual,
        scale_equivariant=scale_equivariant,
        reference_scale=reference_scale,
        head=head,
        inputs=checked_inputs("ukan", inputs),
        output=output,
    )


@register_preset("unet_and_kan", tiny={"layers": 2, "base_filters": 4, "widths": (3, 3)})
def unet_and_kan(
    layers: int = 4,
    base_filters: int = 64,
    attention: bool = True,
    *,
    combine: str = "sum",
    widths: Sequence[int] = (10, 10, 10),
    basis: str = "radial",
    grid_size: int = 4,
    convolutions: int = 1,
    residual: bool = False,
    scale_equivariant: bool = False,
    reference_scale: float = 16.0,
    dropout: float = 0.0,
    head: str = "point",
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
) -> Blueprint:
    """Return the report's "symbolic" network: log n = U-Net(log N) + KAN(log N), or their product.

    The KAN sees single pixels, so it can only learn a curve N -> n; the U-Net learns what the surroundings add. The
    curve is what :func:`polaris_lab.models.kan.learned_curve` gives.

    Parameters
    ----------
    layers, base_filters, attention, convolutions, dropout
        The U-Net: see :class:`polaris_lab.models.unet.UNet`.
    combine : {"sum", "product"}
        How its answer and the KAN's are joined, in standardised log n.
    widths, basis, grid_size
        The KAN: see :class:`polaris_lab.models.kan.PixelKAN`.
    residual, scale_equivariant : bool
        Off, so that the curve is the law N -> n itself. With `residual` it is what a power law leaves over; with
        `scale_equivariant` it is n / N against the contrast, and the network carries over to other clouds.
    reference_scale, head, inputs, output
        See :func:`polaris_lab.models.presets.unet`.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type: the error names it.

    Examples
    --------
    >>> [node.name for node in unet_and_kan(layers=3, base_filters=16).nodes]
    ['standardized', 'unet', 'kan', 'correction', 'mass_weighted_density']
    """
    if combine not in COMBINE:
        raise ValueError(f"combine: unknown name {combine!r}: {did_you_mean(str(combine), list(COMBINE))}")
    check_choices(residual=residual, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    inputs = checked_inputs("unet_and_kan", inputs)
    nodes, image = front(inputs, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    channels = head_channels(head)
    unet = {
        "in_channels": len(inputs),
        "out_channels": channels,
        "layers": layers,
        "base_filters": base_filters,
        "attention": attention,
        "convolutions": convolutions,
        "dropout": dropout,
    }
    kan = {"out_channels": channels, "widths": widths, "basis": basis, "grid_size": grid_size}
    nodes += [
        Node("unet", "unet", unet, (image,)),
        Node("kan", "pixel_kan", kan, (nodes[0].name,)),
        Node("correction", COMBINE[combine], {}, ("unet", "kan")),
    ]
    nodes += ending(
        inputs[0], output, "correction", residual=residual, scale_equivariant=scale_equivariant, head=head
    )
    return Blueprint(
        inputs=inputs,
        nodes=tuple(nodes),
        output=output,
        name=f"U-Net {base_filters} x {layers} and KAN ({combine})",
    )


@register_preset("just_kan", tiny={"widths": (3, 3)})
def just_kan(
    widths: Sequence[int] = (10, 10, 10),
    *,
    layers: int | None = None,
    base_filters: int | None = None,
    basis: str = "radial",
    grid_size: int = 4,
    residual: bool = False,
    scale_equivariant: bool = False,
    reference_scale: float = 16.0,
    head: str = "point",
    inputs: Sequence[str] = ("column_density",),
    output: str = "mass_weighted_density",
) -> Blueprint:
    """Return a KAN of single pixels: the best curve N -> n there is, and no surroundings.

    Parameters
    ----------
    widths, basis, grid_size
        See :class:`polaris_lab.models.kan.PixelKAN`; the report's is 1 -> 10 -> 10 -> 10 -> 1.
    layers, base_filters : int, optional
        So many equal layers, and their width, instead of `widths`: the names of a complexity map.
    residual, scale_equivariant, reference_scale, head, inputs, output
        See :func:`unet_and_kan`.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type: the error names it.

    Examples
    --------
    >>> from polaris_lab.models import parameter_count
    >>> parameter_count(just_kan())
    1131
    """
    check_choices(residual=residual, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    inputs = checked_inputs("just_kan", inputs)
    for argument, value in {"layers": layers, "base_filters": base_filters}.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{argument}: expected a whole number from 1 up, got {value!r}")
    if isinstance(widths, Sequence) and not widths:
        raise ValueError(
            f"widths: expected whole numbers, at least one, such as (10, 10, 10), got {widths!r}"
        )
    if layers is not None or base_filters is not None:
        widths = (base_filters or widths[0],) * (layers or len(widths))
    nodes, image = front(inputs, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    settings = {
        "in_channels": len(inputs),
        "out_channels": head_channels(head),
        "widths": widths,
        "basis": basis,
        "grid_size": grid_size,
    }
    nodes.append(Node("kan", "pixel_kan", settings, (image,)))
    nodes += ending(
        inputs[0], output, "kan", residual=residual, scale_equivariant=scale_equivariant, head=head
    )
    return Blueprint(inputs=inputs, nodes=tuple(nodes), output=output, name="KAN of single pixels")


def _with_network(
    name: str,
    settings: dict[str, Any],
    *,
    residual: bool,
    scale_equivariant: bool,
    reference_scale: float,
    head: str,
    inputs: tuple[str, ...],
    output: str,
) -> Blueprint:
    """Return a blueprint whose correction comes from one network of the block "kan_unet"."""
    check_choices(residual=residual, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    nodes, image = front(inputs, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    settings = {"in_channels": len(inputs), "out_channels": head_channels(head), **settings}
    nodes.append(Node("correction", "kan_unet", settings, (image,)))
    nodes += ending(
        inputs[0], output, "correction", residual=residual, scale_equivariant=scale_equivariant, head=head
    )
    return Blueprint(inputs=inputs, nodes=tuple(nodes), output=output, name=name)
