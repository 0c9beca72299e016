"""How the explorer of residuals is laid out: its parts, its figures in their places, and when those are filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn
import panel_material_ui as pmui

from widgets import parts, shell
from widgets.residuals import controls as residual_controls

if TYPE_CHECKING:
    from widgets.residuals.side import RunSide

_SIZES = {"styles": {"flex": "1 1 330px", "min-width": "0"}}
_QUARTER = {"styles": {"flex": "1 1 240px", "min-width": "0"}}


def make_parts(explorer: Any) -> None:
    """Make what is shown, once."""
    html = {"stylesheets": [parts.STYLE], "sizing_mode": "stretch_width"}
    explorer._region_words, explorer._within = pn.pane.HTML("", **html), pn.pane.HTML("", **html)
    explorer._scores = pn.pane.HTML("", **html)
    explorer._where = pmui.Typography("", variant="body2")
    explorer._number = shell.prompt(
        pmui.IntSlider.from_param(
            explorer.param.patch, label="Patch", start=0, end=1, step=1, sizing_mode="stretch_width"
        )
    )
    explorer._next = pmui.Button(
        label="Next patch with such pixels", icon="chevron_right", variant="outlined"
    )
    explorer._next.on_click(lambda _event: explorer.next_patch())
    explorer._clear = pmui.Button(label="Clear", icon="close", variant="text")
    explorer._clear.on_click(lambda _event: explorer.choose(None))
    explorer._lines = parts.CodeLines("")
    explorer._accuracy_pane = pn.pane.Bokeh(explorer._accuracy.figure, sizing_mode="stretch_width")


def make_main(explorer: Any) -> Any:
    """Return everything but the choices."""
    wide = {"sizing_mode": "stretch_width"}
    columns = [
        {name: pn.Column(visible=False, **_SIZES) for name in ("correlation", "violins", "errors")}
        for _ in explorer.sides
    ]
    maps = [
        pn.FlexBox(*(pn.Column(**_QUARTER) for _ in range(4)), visible=False, **wide) for _ in explorer.sides
    ]
    explorer._boxes = [{**column, "maps": row} for column, row in zip(columns, maps, strict=True)]
    explorer._seen = pmui.Column(
        pn.FlexBox(*(column["correlation"] for column in columns), **wide),
        pn.FlexBox(*residual_controls.region_fields(explorer), explorer._clear, **wide),
        explorer._region_words,
        pn.FlexBox(explorer._number, explorer._next, explorer._where, **wide),
        *maps,
        visible=False,
        **wide,
    )
    explorer._more = pmui.Column(
        pn.FlexBox(*(column["errors"] for column in columns), **wide),
        pn.FlexBox(
            *(column["violins"] for column in columns), pn.Column(explorer._accuracy_pane, **_SIZES), **wide
        ),
        explorer._within,
        explorer._before_after.view,
        pmui.Typography("Scores", variant="h6"),
        explorer._scores,
        visible=False,
        **wide,
    )
    explorer._calibrated = pn.Column(visible=False, **wide)
    return pmui.Column(
        *(side.head for side in explorer.sides),
        explorer._seen,
        explorer._more,
        explorer._calibrated,
        pmui.Typography("The same in Python", variant="body2"),
        explorer._lines.view,
        **wide,
    )


def show_boxes(side: RunSide, boxes: dict[str, Any]) -> None:
    """Show the figures of a run where it has a result; the browser builds none before.

    They have to be drawn already: a change of a figure could reach the browser before the figure does.
    """
    for name, box in boxes.items():
        columns = list(box) if name == "maps" else [box]
        if side.judged is not None and not len(columns[0]):
            panes = side.panes[name] if name == "maps" else [side.panes[name]]
            for column, pane in zip(columns, panes, strict=True):
                column.append(pane)
        box.visible = side.judged is not None
