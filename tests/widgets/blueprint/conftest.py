"""An editor, and what a browser does to it."""

from __future__ import annotations

import pytest

import polaris_lab as lab
from widgets import BlueprintEditor


@pytest.fixture
def editor(tmp_path):
    return BlueprintEditor(lab.Blueprint.unet(layers=2, base_filters=4), workspace_folder=tmp_path)


def state(editor) -> tuple[str, str, str]:
    alert = editor._parts._state
    return alert.severity, alert.title, alert.object


def send(editor, **message) -> None:
    """Do what a browser does: change the drawing, and tell the server."""
    editor.canvas.flow._handle_msg(message)


def shown(editor) -> dict:
    return {node["id"]: node for node in editor.canvas.flow.nodes}


def wires(editor) -> list[tuple[str, str, str]]:
    return [(e["source"], e["target"], e["targetHandle"]) for e in editor.canvas.flow.edges]
