"""How the emission explorer is laid out: its parts, made once, and their places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from widgets import parts, timers
from widgets.emissions import files as emission_files
from widgets.file_choice import FileChoice

WIDE = {"sizing_mode": "stretch_width"}

PLAY_MS = 250
"""Time from channel to channel while playing [ms]."""


def make_parts(explorer: Any, workspace: Any) -> None:
    """Give the explorer its words, fields and buttons."""
    p = explorer.param
    explorer.panes = {name: pn.pane.Bokeh(figure) for name, figure in explorer.view.figures.items()}
    for name in ("strip", "spectrum", "ray 0", "ray 1", "ray 2"):
        explorer.panes[name].sizing_mode = "stretch_width"
    explorer.state = pmui.Alert(title="", object="", severity="info", margin=10, **WIDE)
    explorer.bar = pmui.LinearProgress(value=0, variant="determinate", visible=False, **WIDE)
    explorer.job_state = pmui.Alert(title="", object="", severity="info", margin=10, **WIDE)
    explorer.start_button = pmui.Button(label="Synthesise", icon="play_arrow", variant="outlined")
    explorer.cancel_button = pmui.Button(label="Cancel", icon="stop", color="error", variant="outlined")
    explorer.match_button = pmui.Button(label="Match the observed cube", icon="tune", variant="outlined")
    explorer.start_button.on_click(lambda _event: explorer.solve())
    explorer.cancel_button.on_click(lambda _event: explorer.cancel())
    explorer.match_button.on_click(lambda _event: explorer.match())
    explorer.fields = {
        "velocity": pmui.FloatInput.from_param(p.velocity, label="Velocity [km/s]", step=0.1, width=150),
        "x": pmui.FloatInput.from_param(p.x, label="Cursor x", step=0.1, width=130),
        "y": pmui.FloatInput.from_param(p.y, label="Cursor y", step=0.1, width=130),
    }
    explorer.player = pmui.Player.from_param(
        p.channel, label="Channel", start=0, end=1, interval=PLAY_MS, loop_policy="loop", show_loop_controls=False,
        visible_buttons=["previous", "pause", "play", "next"], width=340,
    )  # fmt: skip
    explorer.cursor = pn.pane.HTML("", stylesheets=[parts.STYLE], **WIDE)
    explorer.lines = parts.CodeLines("")
    explorer.file = FileChoice(
        workspace, emission_files.ENDINGS, label="Gas or line cube in the workspace",
        on_choose=lambda path: p.update(path=_name(workspace, path)),
    )  # fmt: skip
    explorer.observed_file = FileChoice(
        workspace, emission_files.LINE_CUBE_ENDINGS, label="Observed cube beside it",
        on_choose=lambda path: p.update(observed_path=_name(workspace, path)),
    )  # fmt: skip
    for choice, name in ((explorer.file, "path"), (explorer.observed_file, "observed_path")):
        with param.parameterized.discard_events(choice.field):  # shown; it is opened by the explorer
            choice.field.value = getattr(explorer, name)
        choice.field.param.watch(lambda event, name=name: event.new or p.update(**{name: ""}), "value")


def make_main(explorer: Any) -> Any:
    """Return everything but the controls."""
    panes = explorer.panes
    half = {"styles": {"flex": "1 1 290px", "min-width": "0"}}
    explorer.beside = pn.FlexBox(panes["observed channel"], panes["observed moment"], visible=False, **WIDE)
    explorer.rays_box = pmui.Column(
        pmui.Typography("The gas at the cursor, and its light (LTE, before the telescope)", variant="h6"),
        pn.FlexBox(*(pn.Column(panes[f"ray {number}"], **half) for number in range(3)), **WIDE),
        visible=False,
        **WIDE,
    )
    return pmui.Column(
        explorer.state,
        explorer.job_state,
        explorer.bar,
        pn.FlexBox(explorer.start_button, explorer.cancel_button, explorer.match_button, **WIDE),
        pn.FlexBox(explorer.player, *explorer.fields.values(), **WIDE),
        pn.FlexBox(panes["channel"], panes["moment"], **WIDE),
        explorer.beside,
        panes["spectrum"],
        explorer.cursor,
        pn.Column(panes["strip"], styles={"overflow-x": "auto"}, **WIDE),
        explorer.rays_box,
        pmui.Typography("The same in Python", variant="body2"),
        explorer.lines.view,
        **WIDE,
    )


def _name(workspace: Any, path: Path) -> str:
    """Return a path as it stands in the page's address."""
    return path.relative_to(Path(workspace).expanduser().resolve()).as_posix()


def tell(explorer: Any, state: tuple[str, str, str], *, solvable: bool) -> None:
    """Say how the explorer stands, and free the fields that have a meaning."""
    severity, title, words = state
    explorer.state.param.update(severity=severity, title=title, object=words)
    for widget in explorer.gas_widgets:
        widget.disabled = not solvable
    explorer.match_button.disabled = explorer.observed is None or explorer.ppv is None


def watch(look: Callable[[], Any], period_ms: int) -> None:
    """Look at a job on a timer until it ends; served pages look by themselves, and scripts without a loop wait."""
    if pn.state.curdoc is None or pn.state.curdoc.session_context is None:
        timers.watch(lambda: look().busy, period_ms)
