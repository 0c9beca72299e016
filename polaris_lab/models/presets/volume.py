"""3D: a cube behind the map, of which the column closes exactly; from a map alone or with a line cube."""

from __future__ import annotations

from collections.abc import Sequence

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.node import Node
from polaris_lab.models.presets.outputs import checked_names_of
from polaris_lab.models.presets.parts import check_choices, checked_inputs
from polaris_lab.models.presets.registry import register_preset
from polaris_lab.models.presets.several import LineCube, input_parts

DERIVED = {"mass_weighted_density": "volume_mean", "max_density": "volume_maximum"}
"""Maps that are made of the cube."""


@register_preset(
    "volume",
    tiny={
        "inputs": ("column_density", "ppv_cube"),
        "velocity_channels": 6,
        "line_features": 4,
        "depth_cells": 8,
        "layers": 2,
        "base_filters": 4,
    },
)
def volume(
    inputs: Sequence[str] = ("column_density",),
    *,
    depth_cells: int = 32,
    cell_size_pc: float | None = 0.2,
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
    line_features: int = 32,
    condition_channels: int = 16,
    reference_scale: float = 16.0,
    outputs: Sequence[str] = ("mass_weighted_density", "max_density"),
    optional_inputs: Sequence[str] | None = None,
) -> Blueprint:
    """Return the blueprint of a network that answers with a cube: position-position(-velocity) to positions.

    Its softmax over the depth shares out the column density of each pixel, so that the cube adds up to the map;
    <n>_M and n_max are those of the cube, hence N / L <= <n>_M <= n_max. ``model.volume(inputs)`` gives the cube.
    N -> lambda N gives lambda n. Which of two structures on a line of sight lies in front cannot be told from an
    optically thin map: losses compare cubes up to the mirror z -> -z.

    Parameters
    ----------
    inputs : sequence of str
        As of :func:`polaris_lab.models.presets.multi.multi_input`; a line cube enters as features of its channels.
        With "depth" (and "pixel_size") the depth of the box, where it is known, sets the length of the cells.
    depth_cells : int
        Cells along the line of sight.
    cell_size_pc : float or None
        Length of one [pc]: the depth of the training boxes over `depth_cells`. None if "depth" always says it.
    layers, base_filters, branch_filters, merge, attention, convolutions, dropout
        As of :func:`polaris_lab.models.presets.multi.multi_input`.
    line, velocity_channels, channel_width, line_features, condition_channels, reference_scale, optional_inputs
        As there.
    outputs : sequence of str
        Targets out of "mass_weighted_density", "max_density" and "density_cube", the main one first.

    Raises
    ------
    ValueError, TypeError
        An argument out of its range or of the wrong type, or an input that needs another: the error names it.

    References
    ----------
    reference/science.md, section 3.10; report, appendix E.3.

    Examples
    --------
    >>> volume(outputs=("max_density", "density_cube")).extra_outputs
    ('density_cube',)
    """
    check_choices(reference_scale=reference_scale)
    inputs = checked_inputs("volume", inputs)
    outputs = checked_names_of("outputs", (outputs,) if isinstance(outputs, str) else outputs)
    optional = inputs[1:] if optional_inputs is None else checked_names_of("optional_inputs", optional_inputs)
    known = (*DERIVED, "density_cube")
    if not outputs or outputs[0] == "density_cube" or not set(outputs) <= set(known):
        raise ValueError(
            f"volume: expected outputs out of {', '.join(known)}, a map first, got {list(outputs)}"
        )
    if cell_size_pc is None and "depth" not in inputs:
        raise ValueError(
            'volume: expected the length of a depth cell, got cell_size_pc=None without the input "depth"; set one'
        )
    parts = input_parts(
        "volume",
        inputs,
        scale_equivariant=True,
        reference_scale=reference_scale,
        line=LineCube(velocity_channels, line, line_features, channel_width),
        condition_channels=condition_channels,
    )
    settings = {
        "in_channels": parts.channels,
        "out_channels": depth_cells,
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
    cube = {"depth_cells": depth_cells, "cell_size_pc": cell_size_pc}
    taken = (inputs[0], "logits", *(("depth",) if "depth" in inputs else ()))
    nodes = [
        *parts.nodes,
        Node("logits", "multi_unet", settings, sources),
        Node("density_cube", "column_closing_volume", cube, taken),
    ]
    nodes += [Node(name, DERIVED[name], {}, ("density_cube",)) for name in outputs if name in DERIVED]
    return Blueprint(
        inputs=inputs,
        nodes=tuple(nodes),
        output=outputs[0],
        name=f"volume of {depth_cells} cells, U-Net {base_filters} x {layers}",
        extra_outputs=outputs[1:],
        optional_inputs=optional,
    )
