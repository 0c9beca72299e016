"""What presets with several inputs share: the nodes from each input to its encoder, or to the condition."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from polaris_lab.config import did_you_mean
from polaris_lab.models.node import Node
from polaris_lab.models.presets.parts import front
from polaris_lab.quantities import quantity, quantity_names

LINE_MAPS = ("integrated_intensity", "centroid_velocity", "velocity_dispersion", "peak_temperature")
"""Maps of one line: they share an encoder."""

LINE_FORMS = ("integrated", "moments", "projection", "spectra")
"""What a network is shown of a line cube."""

CONTEXT = ("context_column_density", "context_mask")
"""The surroundings: one condition."""

SCALAR_RANGES = {"pixel_size": (-1.5, 1.0), "depth": (1.0, 1.0), "beam_fwhm": (-1.0, 1.0)}
"""Centre and width of log10 of the numbers to expect [pc]; others (0, 1)."""


@dataclasses.dataclass(frozen=True)
class LineCube:
    """How a line cube is shown to a network.

    Attributes
    ----------
    channels : int or None
        Velocity channels; needed where "ppv_cube" is an input.
    form : {"integrated", "moments", "projection", "spectra"}
        Its integral, its four moments, a learned 1x1 projection, or features of each spectrum.
    features : int
        Of the projection and the spectra.
    channel_width : float
        [km/s].
    """

    channels: int | None = None
    form: str = "spectra"
    features: int = 16
    channel_width: float = 1.0


@dataclasses.dataclass(frozen=True)
class Parts:
    """Nodes, the images for the encoders by their nodes with their channels, and the condition with its channels."""

    nodes: tuple[Node, ...]
    images: tuple[str, ...]
    channels: tuple[int, ...]
    condition: str | None
    condition_channels: int


def input_parts(
    preset: str,
    inputs: Sequence[str],
    *,
    scale_equivariant: bool,
    reference_scale: float,
    line: LineCube,
    condition_channels: int,
) -> Parts:
    """Return the nodes between the inputs and a network with an encoder for each.

    Parameters
    ----------
    preset : str
        For errors.
    inputs : sequence of str
        The first is the column density.
    scale_equivariant : bool
        Show what scales with N (column density, estimators, surroundings) relative to its mean.
    reference_scale : float
        Of the local mean [pixels].
    line : LineCube
    condition_channels : int
        Of each part of the condition.
    """
    check_inputs(preset, inputs, line)
    nodes, first = front(inputs[:1], scale_equivariant=scale_equivariant, reference_scale=reference_scale)
    images, channels = [first], [1]
    groups = _groups(inputs[1:])
    for name, members in groups.items():
        made, count = _encoder_nodes(name, members, scale_equivariant, reference_scale, line)
        nodes += made
        images.append(made[-1].name)
        channels.append(count)
    conditions = [name for name in inputs if name in CONTEXT or _shape(name) == "scalar"]
    made = _condition_nodes(conditions, condition_channels)
    nodes += made
    parts = sum(node.block in ("context_encoder", "scalar_embedding") for node in made)
    return Parts(
        tuple(nodes),
        tuple(images),
        tuple(channels),
        made[-1].name if made else None,
        parts * condition_channels,
    )


def check_inputs(preset: str, inputs: Sequence[str], line: LineCube) -> None:
    """Refuse inputs that are unknown, come twice, or need others that are missing.

    Raises
    ------
    TypeError, ValueError
        With the input and the remedy.
    """
    for name in inputs:
        if name not in quantity_names():
            raise ValueError(f"{preset}: unknown input {name!r}: {did_you_mean(name, quantity_names())}")
    if not inputs or inputs[0] != "column_density":
        raise ValueError(f'{preset}: expected "column_density" as the first input, got {list(inputs)}')
    if len(set(inputs)) < len(inputs):
        raise ValueError(f"{preset}: expected inputs that differ, got {list(inputs)}")
    for name, needed in (("depth", "pixel_size"), *zip(CONTEXT, reversed(CONTEXT), strict=True)):
        if name in inputs and needed not in inputs:
            raise ValueError(
                f"{preset}: expected {needed!r} among the inputs with {name!r}, which means nothing without it, got "
                f"{list(inputs)}; add it"
            )
    if line.form not in LINE_FORMS:
        raise ValueError(f"line: unknown form {line.form!r}: {did_you_mean(str(line.form), LINE_FORMS)}")
    if isinstance(line.channel_width, bool) or not isinstance(line.channel_width, int | float):
        raise TypeError(f"channel_width: expected a number of km/s, such as 0.5, got {line.channel_width!r}")
    if ("ppv_cube" in inputs) != (line.channels is not None):
        raise ValueError(
            f'{preset}: expected velocity_channels with the input "ppv_cube", and only then, got {line.channels}; it is '
            "the length of the dataset's velocity axis"
        )


def _groups(inputs: Sequence[str]) -> dict[str, list[str]]:
    """Return the encoders beside the main one with their inputs."""
    groups: dict[str, list[str]] = {}
    for name in inputs:
        if name in CONTEXT or _shape(name) == "scalar":
            continue
        groups.setdefault("line" if name in LINE_MAPS else name, []).append(name)
    return groups


def _encoder_nodes(
    name: str, members: Sequence[str], scale_equivariant: bool, reference_scale: float, line: LineCube
) -> tuple[list[Node], int]:
    """Return the nodes of one encoder's image, the image last, and its channels."""
    nodes: list[Node] = []
    shown: list[tuple[str, int]] = []
    for member in members:
        if member == "ppv_cube":
            made, count = _cube_nodes(line, reference_scale)
        else:
            made = [_map_node(member, member, scale_equivariant, reference_scale)]
            count = 2 if _shape(member) == "maps" else 1
        nodes += made
        shown += [(made[-1].name, count)]
    nodes.append(Node(f"{name}_known", "known", {}, tuple(members)))
    sources = [source for source, _ in shown]
    nodes.append(Node(f"{name}_image", "concatenate", {}, (*sources, nodes[-1].name)))
    return nodes, sum(count for _, count in shown) + 1


def _map_node(name: str, source: str, scale_equivariant: bool, reference_scale: float) -> Node:
    """Return the node that shows a network one input."""
    relative = name == "centroid_velocity" or (scale_equivariant and name.endswith("_density"))
    if relative:  # to its own local mean: no dependence on v_LSR, or on the level of the column density
        return Node(f"{name}_shown", "local_difference", {"scale": float(reference_scale)}, (source,))
    intensity = (*LINE_MAPS, "number_of_components")
    settings = {
        "in_channels": 2 if _shape(name) == "maps" else 1,
        "compression": "arcsinh" if name in intensity else "none",
    }
    return Node(f"{name}_shown", "scaled_input", settings, (source,))


def _cube_nodes(line: LineCube, reference_scale: float) -> tuple[list[Node], int]:
    """Return the nodes that show a network a line cube, and the channels of the last."""
    cube = {"in_channels": line.channels}
    if line.form in ("moments", "integrated"):
        settings = cube | {"channel_width": float(line.channel_width)}
        nodes = [Node("line_moments", "spectral_moments", settings, ("ppv_cube",))]
        names = LINE_MAPS if line.form == "moments" else LINE_MAPS[:1]
        for number, name in enumerate(names):
            nodes.append(Node(f"line_{name}", "take_channels", {"first": number}, ("line_moments",)))
            nodes.append(_map_node(name, f"line_{name}", True, reference_scale))
        if len(names) == 1:
            return nodes, 1
        shown = tuple(f"{name}_shown" for name in names)
        return [*nodes, Node("line_shown", "concatenate", {}, shown)], len(names)
    block = "spectral_encoder" if line.form == "spectra" else "spectral_projection"
    return [
        Node("line_centred", "centre_spectra", cube | {"scale": float(reference_scale)}, ("ppv_cube",)),
        Node("line_scaled", "scaled_input", cube | {"compression": "arcsinh"}, ("line_centred",)),
        Node("line_shown", block, cube | {"out_channels": line.features}, ("line_scaled",)),
    ], line.features


def _condition_nodes(names: Sequence[str], channels: int) -> list[Node]:
    """Return the nodes of the condition, the whole condition last."""
    nodes, parts = [], []
    if CONTEXT[0] in names:
        nodes.append(Node("context_contrast", "context_contrast", {}, CONTEXT[:1]))
        settings = {"in_channels": 3, "out_channels": channels}
        nodes.append(Node("context", "context_encoder", settings, ("context_contrast", CONTEXT[1])))
        parts.append("context")
    for name in names:
        if name not in CONTEXT:
            centre, width = SCALAR_RANGES.get(name, (0.0, 1.0))
            settings = {"out_channels": channels, "centre": centre, "width": width}
            nodes.append(Node(f"{name}_embedded", "scalar_embedding", settings, (name,)))
            parts.append(nodes[-1].name)
    if len(parts) > 1:
        nodes.append(Node("condition", "concatenate", {}, tuple(parts)))
    return nodes


def _shape(name: str) -> str:
    return quantity(name).shape
