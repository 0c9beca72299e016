"""The form of one node: its name, its settings by the signature of its block, what feeds it, whether it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from polaris_lab.models.draft import Draft
from polaris_lab.models.draft_shapes import Seen
from polaris_lab.models.schema import block_schema
from widgets import parts
from widgets.blueprint.words import count, shape

WIDE = {"sizing_mode": "stretch_width"}


class NodeForm:
    """Fields for the chosen node; a value that is taken, or refused, comes back through :meth:`show`.

    Parameters
    ----------
    on_set : callable
        ``on_set(name, setting, value)``.
    on_rename : callable
        ``on_rename(old, new)``.

    Attributes
    ----------
    view : panel Column
    fields : dict
        Widgets by the name of their setting.
    """

    def __init__(self, *, on_set: Callable[[str, str, Any], Any], on_rename: Callable[[str, str], Any]):
        self._on_set, self._on_rename = on_set, on_rename
        self._shown: tuple[str, str] | None = None
        self._busy = False
        self.fields: dict[str, Any] = {}
        self._schema: dict[str, Any] = {}
        self._words = pn.pane.HTML("", stylesheets=[parts.STYLE], **WIDE)
        self._name = pmui.TextInput(label="Name", **WIDE)
        self._name.param.watch(self._rename, "value")
        self._settings = pmui.Column(**WIDE)
        self.view: Any = pmui.Column(self._name, self._words, self._settings, **WIDE)

    def show(self, draft: Draft, name: str | None, seen: dict[str, Seen]) -> None:
        """Show a node, or an input, or what to do where none is chosen."""
        self._busy = True
        try:
            known = name in draft.names
            self._name.visible = known
            self._settings.visible = known and name not in draft.inputs
            self._words.object = (
                _about(draft, name, seen) if known else "<p>Choose a node to see and change it.</p>"
            )
            if not known:
                self._shown = None
                return
            self._name.value = name
            if name not in draft.inputs:
                self._fill(draft.node(name))
        finally:
            self._busy = False

    def _fill(self, node: Any) -> None:
        """Put the settings of a node into the fields, which are made anew for another block only."""
        if self._shown != (node.name, node.block):
            self._shown = (node.name, node.block)
            self._schema = block_schema(node.block)["properties"]
            self.fields = {name: _field(entry, node.settings[name]) for name, entry in self._schema.items()}
            for name, field in self.fields.items():
                field.param.watch(lambda event, name=name: self._set(name, event), "value")
            self._settings.objects = list(self.fields.values()) or [
                pmui.Typography("This block has no settings.", variant="body2")
            ]
        for name, field in self.fields.items():
            value = _to_field(self._schema[name], node.settings[name])
            if field.value != value:
                field.value = value

    def _set(self, setting: str, event: Any) -> None:
        if not self._busy and self._shown is not None:
            self._on_set(self._shown[0], setting, _from_field(self._schema[setting], event.new))

    def _rename(self, event: Any) -> None:
        if not self._busy:
            self._on_rename(event.old, event.new)


def _about(draft: Draft, name: str, seen: dict[str, Seen]) -> str:
    """Return what is to be said of a node, in HTML."""
    known = seen[name]
    facts = f"gives {shape(known)}, {count(known.parameters)}"
    if name in draft.inputs:
        return f"<p><b>input</b>: {parts.plain(facts)}</p>"
    node = draft.node(name)
    wires = [
        f"<li>{parts.plain(port)}: {parts.plain(source) if source else '<i>no wire</i>'}</li>"
        for port, source in zip(node.ports, node.sources, strict=False)
    ]
    error = f"<p>⚠ {parts.plain(known.error)}</p>" if known.error else ""
    words = parts.plain(block_schema(node.block)["description"])
    return f"<p><b>{parts.plain(node.block)}</b>: {words}<br>{parts.plain(facts)}</p><ul>{''.join(wires)}</ul>{error}"


def _kind(entry: dict[str, Any]) -> str:
    kind = entry.get("type", "string")
    return "text" if isinstance(kind, list) else kind


def _field(entry: dict[str, Any], value: Any) -> Any:
    """Return the widget of one setting."""
    kind, value = _kind(entry), _to_field(entry, value)
    choices = {"label": entry["title"], "value": value, **WIDE}
    if "description" in entry:
        choices["description"] = entry["description"]
    if "enum" in entry:
        options = entry["enum"] if value in entry["enum"] else [value, *entry["enum"]]
        return pmui.Select(options=options, **choices)
    if kind == "boolean":
        return pmui.Checkbox(**choices)
    if kind == "integer":
        return pmui.IntInput(step=1, **choices)
    if kind == "number":
        return pmui.FloatInput(**choices)
    return pmui.TextInput(placeholder="nothing" if isinstance(entry.get("type"), list) else "", **choices)


def _to_field(entry: dict[str, Any], value: Any) -> Any:
    """Return a setting as its widget shows it: lists as "10, 10", nothing as an empty text."""
    kind = _kind(entry)
    if kind == "array":
        return ", ".join(map(str, value))
    if kind == "text":
        return "" if value is None else str(value)
    return value


def _from_field(entry: dict[str, Any], value: Any) -> Any:
    """Return what a widget holds as a setting; what cannot be read stays a text, which the block refuses."""
    kind = _kind(entry)
    if kind == "array":
        return _read(f"[{value}]", value)
    if kind == "text":
        return _read(value, value) if value.strip() else None
    return value


def _read(text: str, otherwise: Any) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return otherwise
