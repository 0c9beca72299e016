"""Context: the surroundings of the patch, and the size and depth of the box, modulate a U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.presets.multi import multi_input
from polaris_lab.models.presets.registry import register_preset


@register_preset("context_unet", tiny={"layers": 2, "base_filters": 4})
def context_unet(
    inputs: Sequence[str] = (
        "column_density",
        "context_column_density",
        "context_mask",
        "pixel_size",
        "depth",
    ),
    *,
    layers: int = 4,
    base_filters: int = 64,
    attention: bool = True,
    convolutions: int = 1,
    dropout: float = 0.0,
    condition_channels: int = 16,
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    head: str = "point",
    output: str = "mass_weighted_density",
    extra_outputs: Sequence[str] = (),
) -> Blueprint:
    """Return the blueprint of a U-Net that is told what surrounds the patch, and how large and deep the box is.

    A coarse map of the surroundings with the place of the patch in it, the pixel size and the depth are made into a
    condition that scales and shifts the features at each level. All are optional: unknown ones (NaN, or not given)
    leave the answer that is marginal over the training set, if the network was trained with
    ``TrainingConfig(input_dropout=...)``. The condition is the same for all pixels of an image, so the answer does
    not depend on how a map is tiled as long as all tiles are given the same condition.

    Parameters
    ----------
    inputs : sequence of str
        The column density, and what is to be a condition.
    layers, base_filters, attention, convolutions, dropout, residual, scale_equivariant, reference_scale, head
        As of :func:`polaris_lab.models.presets.unet`.
    condition_channels : int
        Of the surroundings and of each number.
    output : str
        The target.
    extra_outputs : sequence of str
        More targets.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type, or an input that needs another: the error names it.

    References
    ----------
    Report, section 5 (second possibility); reference/science.md, section 1 (the depth of the box is hidden).

    Examples
    --------
    >>> context_unet(("column_density", "pixel_size", "depth"), layers=3, base_filters=16).optional_inputs
    ('pixel_size', 'depth')
    """
    settings: dict[str, Any] = {
        "layers": layers,
        "base_filters": base_filters,
        "attention": attention,
        "convolutions": convolutions,
        "dropout": dropout,
        "condition_channels": condition_channels,
        "residual": residual,
        "scale_equivariant": scale_equivariant,
        "reference_scale": reference_scale,
        "head": head,
        "output": output,
        "extra_outputs": extra_outputs,
    }
    return multi_input(inputs, **settings)
