"""The fields and buttons around the drawing: every action of the mouse also by keyboard."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from polaris_lab.models.draft import Draft
from polaris_lab.quantities import quantity_names
from widgets import parts
from widgets.blueprint.form import NodeForm
from widgets.blueprint.keys import Keys
from widgets.blueprint.palette import Palette
from widgets.file_choice import FileChoice

WIDE = {"sizing_mode": "stretch_width"}

TARGETS = [name for name in quantity_names() if name.endswith("_density") and name.split("_")[0] != "context"]


class Controls:
    """Everything of the editor but the drawing itself.

    Parameters
    ----------
    editor : BlueprintEditor
        Whose methods the buttons call.

    Attributes
    ----------
    sidebar, main : panel Column
    palette : Palette
    form : NodeForm
    """

    def __init__(self, editor: Any):
        self.editor = editor
        quietly = editor.quietly
        self.palette = Palette(editor.pick)
        self.form = NodeForm(
            on_set=lambda name, setting, value: quietly(editor.set, name, **{setting: value}),
            on_rename=lambda old, new: quietly(editor.rename, old, new),
        )
        self._busy = False
        self._state = pmui.Alert(title="", object="", severity="info", margin=10, **WIDE)
        self._make_buttons()
        self._make_wires()
        self._make_output()
        self._make_files()
        self._lines, self._python = parts.CodeLines(""), parts.CodeLines("")
        self._exported = pmui.Column(self._python.view, visible=False, **WIDE)
        self.keys = Keys(on_key=lambda key: quietly(editor.undo if key == "undo" else editor.redo))
        self.sidebar = pmui.Column(
            pmui.Typography("Blocks and presets: click to add, or drag", variant="body2"),
            self.palette.view,
            **WIDE,
        )
        self.main = self._make_main()

    # -- what is shown -------------------------------------------------------------------------------

    def show(self, state: tuple[str, str, str], *, can_undo: bool, can_redo: bool) -> None:
        """Show how the drawing stands."""
        severity, title, words = state
        self._state.param.update(severity=severity, title=title, object=words)
        self._undo.disabled, self._redo.disabled = not can_undo, not can_redo
        self._export.disabled = severity != "success"
        self.keys.unsaved = self.editor.unsaved
        self._lines.show(self.editor.code())
        draft = self.editor.draft
        self._busy = True
        names = draft.names
        self._choice.param.update(options={"none": "", **{name: name for name in names}})
        self._source.options = names
        if self._source.value not in names:
            self._source.value = next(iter(names), None)
        ports = _ports(draft)
        self._target.options = ports
        if self._target.value not in ports.values():
            self._target.value = next(iter(ports.values()), None)
        wires = {
            f"{source} → {target}.{port}": (source, target, port) for source, target, port in draft.wires
        }
        self._wire.options = wires
        if self._wire.value not in wires.values():
            self._wire.value = next(iter(wires.values()), None)
        self._busy = False

    def show_node(self, name: str) -> None:
        """Show the chosen node in the form."""
        draft = self.editor.draft
        self._busy = True
        self._choice.value = name
        self._optional.param.update(visible=name in draft.inputs, value=name in draft.optional_inputs)
        self._remove.disabled = not name
        is_node = bool(name) and name not in draft.inputs
        self._output_row.visible = is_node
        self._no_output.disabled = name not in draft.outputs
        if name in draft.outputs and name in self._quantity.options:
            self._quantity.value = name
        self._busy = False
        self.form.show(draft, name, self.editor.seen)

    def fit(self) -> None:
        """Bring all of the drawing into view."""
        self.keys.fit += 1

    # -- parts ---------------------------------------------------------------------------------------

    def _make_buttons(self) -> None:
        editor = self.editor
        self._undo = _button("Undo", "undo", lambda: editor.quietly(editor.undo))
        self._redo = _button("Redo", "redo", lambda: editor.quietly(editor.redo))
        self._arrange = _button("Arrange", "account_tree", lambda: editor.quietly(editor.layout))
        self._remove = _button(
            "Remove", "delete", lambda: editor.quietly(editor.remove, editor.node), color="error"
        )
        self._export = _button("Export Python", "code", self._show_python)
        self._side = pmui.IntInput.from_param(
            editor.param.image_side, label="Shapes for images of side [pixels]", start=1, width=230
        )

    def _make_wires(self) -> None:
        editor = self.editor
        self._choice = pmui.Select(label="Node", options={"none": ""}, value="", **WIDE)
        self._choice.param.watch(self._chosen, "value")
        self._source = pmui.Select(label="Wire from", options=[], **WIDE)
        self._target = pmui.Select(label="to", options={}, **WIDE)
        self._connect = _button("Connect", "cable", self._connect_chosen)
        self._wire = pmui.Select(label="Wire", options={}, **WIDE)
        self._cut = _button("Cut", "content_cut", self._cut_chosen)
        self._optional = pmui.Checkbox(label="This input may be missing", visible=False)
        self._optional.param.watch(
            lambda event: self._busy or editor.quietly(editor.set_optional, editor.node, event.new), "value"
        )

    def _make_output(self) -> None:
        editor = self.editor
        self._quantity = pmui.AutocompleteInput(
            label="Output: the quantity it learns", options=TARGETS, value="mass_weighted_density", restrict=False,
            min_characters=0, **WIDE,
        )  # fmt: skip
        self._output = _button(
            "Make output", "output", lambda: editor.quietly(editor.answer, editor.node, self._quantity.value)
        )
        self._further = _button(
            "One more output", "add",
            lambda: editor.quietly(editor.answer, editor.node, self._quantity.value, extra=True),
        )  # fmt: skip
        self._no_output = _button(
            "No output", "remove", lambda: editor.quietly(editor.no_answer, editor.node)
        )
        self._output_row = pmui.Column(
            self._quantity, pn.FlexBox(self._output, self._further, self._no_output), visible=False, **WIDE
        )

    def _make_files(self) -> None:
        editor = self.editor
        self.open_field = FileChoice(
            editor._workspace, (".json",), on_choose=self._open, label="Open a blueprint or a run (.json)"
        )
        self._name = pmui.TextInput(
            label="Save as, inside the workspace", value="blueprints/drawn.json", **WIDE
        )
        self._save = _button("Save", "save", lambda: self._save_as(overwrite=False))
        self._overwrite = _button(
            "Overwrite", "save_as", lambda: self._save_as(overwrite=True), color="error"
        )
        self._overwrite.visible = False
        self._saved = pmui.Typography("", variant="body2", **WIDE)
        self._name.param.watch(lambda _event: self._overwrite.param.update(visible=False), "value")

    def _make_main(self) -> Any:
        half = {"styles": {"flex": "1 1 330px", "min-width": "0"}}
        drawing = pn.Column(self.editor.canvas.flow, styles={"flex": "4 1 480px", "min-width": "0"})
        form = pn.Column(
            self._choice, self.form.view, self._optional, self._output_row,
            styles={"flex": "1 1 260px", "min-width": "0"}, scroll="y-auto", max_height=540,
        )  # fmt: skip
        return pmui.Column(
            self._state,
            pn.FlexBox(self._undo, self._redo, self._arrange, self._remove, self._export, self._side, **WIDE),
            self.keys,
            pn.FlexBox(drawing, form, **WIDE),
            pn.FlexBox(
                pn.Column(pmui.Row(self._source, self._target, self._connect, **WIDE), **half),
                pn.Column(pmui.Row(self._wire, self._cut, **WIDE), **half),
                **WIDE,
            ),
            self._exported,
            pn.FlexBox(
                pn.Column(
                    pmui.Typography("Files", variant="h6"), self.open_field.view,
                    pmui.Row(self._name, self._save, self._overwrite, **WIDE), self._saved, **half,
                ),
                pn.Column(self.editor.training.view, **half),
                **WIDE,
            ),
            self.editor.inside.view,
            pmui.Typography("The same in Python", variant="body2"),
            self._lines.view,
            **WIDE,
        )  # fmt: skip

    # -- what the buttons do -------------------------------------------------------------------------

    def _chosen(self, event: Any) -> None:
        if not self._busy:
            self.editor.node = event.new or ""

    def _connect_chosen(self) -> None:
        if self._target.value is not None:
            self.editor.quietly(self.editor.connect, self._source.value, *self._target.value)

    def _cut_chosen(self) -> None:
        if self._wire.value is not None:
            self.editor.quietly(self.editor.disconnect, *self._wire.value[1:])

    def _show_python(self) -> None:
        source = self.editor.quietly(self.editor.python)
        self._exported.visible = source is not None
        self._python.show(source or "")

    def _open(self, path: Any) -> None:
        self.editor.quietly(self.editor.load, path)

    def _save_as(self, *, overwrite: bool) -> None:
        path = self.editor.quietly(self.editor.save, self._name.value, overwrite=overwrite)
        there = path is None and self.editor.exists(self._name.value)
        self._overwrite.visible = there
        self._saved.object = f"Saved as {parts.plain(self._name.value)}." if path else ""
        self.open_field.look()


def _button(label: str, icon: str, work: Any, color: str = "primary") -> Any:
    button = pmui.Button(label=label, icon=icon, variant="outlined", color=color)
    button.on_click(lambda _event: work())
    return button


def _ports(draft: Draft) -> dict[str, tuple[str, str]]:
    """Return every input of every node that has no wire, by what it is called in the list."""
    taken = {(target, port) for _source, target, port in draft.wires}
    return {
        f"{node.name}.{port}": (node.name, port)
        for node in draft.nodes
        for port in node.ports
        if (node.name, port) not in taken
    }
