"""A blueprint as a table: node, block, inputs, shape, parameters, operations."""

from __future__ import annotations

from html import escape

import torch

from polaris_lab.models.blueprint import Blueprint
from polaris_lab.models.build import BlueprintModel, check_shapes
from polaris_lab.models.inspect import node_flops

COLUMNS = ("node", "block", "inputs", "shape (C, H, W)", "parameters", "MFLOP")


def summary_text(blueprint: Blueprint, size: tuple[int, int] = (64, 64)) -> str:
    """Return a table of the nodes as text, with the shapes for images of `size` and the operations for one, forward.

    Examples
    --------
    >>> print(summary_text(Blueprint.unet(layers=3, base_filters=16, convolutions=2)))
    U-Net 16 x 3 with attention: column_density -> mass_weighted_density
    node                   block                  inputs                    shape (C, H, W)  parameters  MFLOP
    contrast               local_contrast         column_density            1 x 64 x 64               0    4.2
    correction             unet                   contrast                  1 x 64 x 64         488,930  294.0
    baseline               equivariant_power_law  column_density, contrast  1 x 64 x 64               0    0.0
    mass_weighted_density  add_residual           baseline, correction      1 x 64 x 64               0    0.0
    488,930 parameters; a pixel sees 83 pixels around it; tiles in steps of 8 pixels
    """
    rows = [COLUMNS, *_rows(blueprint, size)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    left = len(COLUMNS) - 2  # texts to the left, numbers to the right
    lines = [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([_title(blueprint), *lines, _closing(blueprint)])


def summary_html(blueprint: Blueprint, size: tuple[int, int] = (64, 64)) -> str:
    """Return the same table as HTML, for notebooks."""
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in _rows(blueprint, size)
    )
    return (
        f"<p><b>{escape(_title(blueprint))}</b></p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        f"</table><p>{escape(_closing(blueprint))}</p>"
    )


def channels_of(blueprint: Blueprint) -> dict[str, int | None]:
    """Return how many channels each input has; None where no block says."""
    return _on_meta(blueprint).channels


def _title(blueprint: Blueprint) -> str:
    return f"{blueprint.name}: {', '.join(blueprint.inputs)} -> {blueprint.output}"


def _rows(blueprint: Blueprint, size: tuple[int, int]) -> list[tuple[str, ...]]:
    shapes = check_shapes(blueprint, size)
    flops = node_flops(blueprint, size)
    model = _on_meta(blueprint)
    return [
        (
            node.name,
            node.block,
            ", ".join(node.inputs),
            " x ".join(map(str, shapes[node.name])),
            f"{sum(p.numel() for p in model.nodes[node.name].parameters()):,}",
            f"{flops[node.name] / 1e6:,.1f}",
        )
        for node in blueprint.nodes
    ]


def _closing(blueprint: Blueprint) -> str:
    model = _on_meta(blueprint)
    count = sum(p.numel() for p in model.parameters())
    return (
        f"{count:,} parameters; a pixel sees {model.receptive_margin} pixels around it; "
        f"tiles in steps of {model.stride} pixels"
    )


def _on_meta(blueprint: Blueprint) -> BlueprintModel:
    with torch.device("meta"):
        return BlueprintModel(blueprint)
