"""Several inputs: an encoder for each, merged at each level, one decoder; and the condition that modulates it."""

from __future__ import annotations

from collections.abc import Sequence

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.node import Node
from polaris_lab.models.presets.outputs import checked_names_of
from polaris_lab.models.presets.parts import check_choices, checked_inputs, ending, head_channels
from polaris_lab.models.presets.registry import register_preset
from polaris_lab.models.presets.several import LineCube, input_parts
from polaris_lab.quantities import is_logarithmic


@register_preset(
    "multi_input",
    tiny={
        "inputs": ("column_density", "ppv_cube", "temperature", "position"),
        "velocity_channels": 6,
        "line_features": 4,
        "layers": 2,
        "base_filters": 4,
    },
)
def multi_input(
    inputs: Sequence[str] = (
        "column_density",
        "integrated_intensity",
        "centroid_velocity",
        "velocity_dispersion",
        "peak_temperature",
    ),
    *,
    layers: int = 4,
    base_filters: int = 64,
    branch_filters: int | None = None,
    merge: str = "concatenate",
    attention: bool = True,
    convolutions: int = 1,
    dropout: float = 0.0,
    line: str = "spectra",
    velocity_channels: int | None = None,
    channel_width: float = 1.0,
    line_features: int = 16,
    condition_channels: int = 16,
    residual: bool = True,
    scale_equivariant: bool = True,
    reference_scale: float = 16.0,
    head: str = "point",
    output: str = "mass_weighted_density",
    extra_outputs: Sequence[str] = (),
    optional_inputs: Sequence[str] | None = None,
) -> Blueprint:
    """Return the blueprint of a U-Net with an encoder for each input, merged at each level.

    Inputs beyond the column density may be missing: one network then serves maps with and without line data, if it
    is trained with ``TrainingConfig(input_dropout=...)``.

    Parameters
    ----------
    inputs : sequence of str
        The first is the column density. The maps of a line (integrated intensity, centroid, dispersion, peak) share
        an encoder; "ppv_cube", "temperature", "position", "number_of_components", and estimators have one each.
        "context_column_density" with "context_mask", and the scalars "pixel_size" and "depth", modulate all levels
        (FiLM).
    layers, base_filters, attention, convolutions, dropout
        As of :func:`polaris_lab.models.presets.unet`.
    branch_filters : int or None
        Channels of the first block of the other encoders; None for `base_filters`.
    merge : str
        "concatenate" (and a 3x3 convolution), "sum", or a block such as "kan_convolution".
    line : {"spectra", "projection", "moments", "integrated"}
        What the network is shown of "ppv_cube": features of each spectrum, a learned 1x1 projection, its moments, or
        its integral.
    velocity_channels : int or None
        Of "ppv_cube".
    channel_width : float
        Of it [km/s].
    line_features : int
        Of the spectra or the projection.
    condition_channels : int
        Of each part of the condition.
    residual, scale_equivariant, reference_scale, head
        As of :func:`polaris_lab.models.presets.unet`; scale-equivariant is N -> lambda N at given other inputs
        (with the surroundings and estimators scaled along).
    output : str
        The target, a density.
    extra_outputs : sequence of str
        More targets, such as "max_density" and "number_of_components".
    optional_inputs : sequence of str or None
        None for all but the column density.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type, or an input that needs another: the error names it.

    Examples
    --------
    >>> blueprint = multi_input(("column_density", "ppv_cube"), velocity_channels=64, line="projection")
    >>> blueprint.optional_inputs
    ('ppv_cube',)
    """
    check_choices(residual=residual, scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    inputs = checked_inputs("multi_input", inputs)
    parts = input_parts(
        "multi_input",
        inputs,
        scale_equivariant=scale_equivariant,
        reference_scale=reference_scale,
        line=LineCube(velocity_channels, line, line_features, channel_width),
        condition_channels=condition_channels,
    )
    outputs = (output, *checked_names_of("extra_outputs", extra_outputs, beside=(output,)))
    optional = inputs[1:] if optional_inputs is None else checked_names_of("optional_inputs", optional_inputs)
    if not is_logarithmic(output):
        raise ValueError(
            f"multi_input: expected a density as the main output, got {output!r}, which has no dex; name it among "
            "extra_outputs"
        )
    count = head_channels(head)
    settings = {
        "in_channels": parts.channels,
        "out_channels": count * len(outputs),
        "layers": layers,
        "base_filters": base_filters,
        "branch_filters": branch_filters,
        "merge": merge,
        "attention": attention,
        "convolutions": convolutions,
        "dropout": dropout,
        "condition_channels": parts.condition_channels,
    }
    sources = parts.images if parts.condition is None else (*parts.images, parts.condition)
    nodes = [*parts.nodes, Node("network", "multi_unet", settings, sources)]
    for number, name in enumerate(outputs):
        correction = f"{name}_correction"
        nodes.append(
            Node(correction, "take_channels", {"first": number * count, "count": count}, ("network",))
        )
        physical = is_logarithmic(name)  # a number of components is no density: nothing scales it with N
        nodes += ending(
            inputs[0],
            name,
            correction,
            residual=residual and physical,
            scale_equivariant=scale_equivariant and physical,
            head=head,
            prefix=f"{name}_",
        )
    return Blueprint(
        inputs=inputs,
        nodes=tuple(nodes),
        output=output,
        name=f"U-Net {base_filters} x {layers} of {len(inputs)} inputs",
        extra_outputs=outputs[1:],
        optional_inputs=optional,
    )
